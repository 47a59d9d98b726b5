/* Output of containers: questions about it, one call at a time, with answers of any kind and size. */
#include "docker_world.h"

#include "box_log.h"
#include "docker_log.h"
#include "list.h"

#define FRAMED                                                                                               \
    "\1\0\0\0\0\0\0\0312026-01-01T00:00:01Z one\n"                                                           \
    "\2\0\0\0\0\0\0\0412026-01-01T00:00:02Z Error: boom\n"                                                   \
    "\1\0\0\0\0\0\0\0272026-01-01T00:00:02Z }\n"
/* 2026-01-01T00:00:00Z */
#define SECOND UINT64_C(1767225600)

typedef struct asker {
    provider_question_t question;
    unsigned answers;
    unsigned order; /* of its answer among all */
    provider_result_t result;
    uint64_t end;
    size_t len;
    char text[100], sentence[300];
} asker_t;

static unsigned answered;

static void on_answered(provider_question_t *question, const provider_words_t *words)
{
    asker_t *asker = CONTAINER_OF(asker_t, question, question);
    assert_null(question->provider);
    asker->answers++;
    asker->order = ++answered;
    asker->result = words->result;
    asker->end = words->end;
    asker->len = words->text.n;
    snprintf(asker->text, sizeof(asker->text), "%.*s", STR_ARG(words->text));
    snprintf(asker->sentence, sizeof(asker->sentence), "%s",
             words->result == PROVIDER_OK ? "" : words->sentence);
}

static bool ask(world_t *world, asker_t *asker, const char *id, bool line)
{
    provider_t *provider = world->provider;
    asker->question.answered = on_answered;
    asker->answers = 0;
    bool taken = line ? provider->line(provider, str_from(id), &asker->question)
                      : provider->log(provider, str_from(id), &asker->question);
    assert_ptr_equal(asker->question.provider, taken ? provider : NULL);
    assert_int_equal(asker->answers, 0); /* never from within */
    return taken;
}

static void forget(world_t *world, asker_t *asker)
{
    world->provider->forget(world->provider, &asker->question);
    assert_null(asker->question.provider);
}

static void ask_and_wait(world_t *world, asker_t *asker, bool line, provider_result_t result)
{
    assert_true(ask(world, asker, "a", line));
    WAIT(world, asker->answers == 1);
    assert_int_equal(asker->result, result);
}

static void expect_address(world_t *world, const char *words)
{
    engine_lock(world->engine);
    if (strstr(world->engine->last_log, words) == NULL)
        fail_msg("%s lacks %s", world->engine->last_log, words);
    engine_unlock(world->engine);
}

static engine_container_t *begin(world_t *world, const char *log, size_t len)
{
    engine_container_t *container = add(world, "a", "running");
    container->log = log;
    container->log_len = len;
    docker_world_begin(world);
    answered = 0;
    return container;
}

static void hold(world_t *world, bool holds)
{
    engine_lock(world->engine);
    world->engine->holds_logs = holds;
    engine_unlock(world->engine);
}

static void the_line_and_the_log(void **state)
{
    world_t *world = *state;
    asker_t asker = {.question = {.lines = 200}};
    engine_container_t *container = begin(world, FRAMED, sizeof(FRAMED) - 1);
    ask_and_wait(world, &asker, true, PROVIDER_OK);
    assert_string_equal(asker.text, "Error: boom");
    expect_address(world, "stdout=1&stderr=1&timestamps=1&tail=100&since=1767225599"); /* of this life */
    ask_and_wait(world, &asker, false, PROVIDER_OK);
    assert_string_equal(asker.text, "one\nError: boom\n}\n");
    assert_true(asker.end == ((SECOND + 2) << DOCKER_LOG_COUNT_BITS | 2));
    expect_address(world, "&tail=512");
    /* The output after it, also when the box does not run. */
    set(world, container, "exited", "die");
    asker.question.from = asker.end - 1;
    ask_and_wait(world, &asker, false, PROVIDER_OK);
    assert_string_equal(asker.text, "}\n");
    expect_address(world, "&tail=512&since=1767225602");
    /* More lines than a log can have. */
    asker.question = (provider_question_t){.lines = UINT64_MAX};
    ask_and_wait(world, &asker, false, PROVIDER_OK);
    expect_address(world, "&tail=262144");
}

static void one_call_at_a_time(void **state)
{
    world_t *world = *state;
    asker_t logs[8] = {{.answers = 0}}, line = {.answers = 0}, more = {.answers = 0};
    begin(world, "Error: boom\n", 0);
    hold(world, true);
    for (unsigned i = 0; i < 7; i++)
        assert_true(ask(world, &logs[i], "a", false));
    WAIT(world, world->engine->logs == 1);
    assert_true(ask(world, &line, "a", true));
    assert_false(ask(world, &more, "a", true)); /* too many */
    assert_false(ask(world, &more, "none", true));
    assert_int_equal(docker_engine_busy(docker_of(world)->engine), 1);
    hold(world, false);
    WAIT(world, answered == 8);
    assert_int_equal(logs[0].order, 1);
    assert_int_equal(line.order, 2); /* before the waiting logs */
    for (unsigned i = 1; i < 7; i++)
        assert_int_equal(logs[i].order, 2 + i);
    assert_int_equal(world->engine->logs, 8);
    assert_int_equal(docker_engine_busy(docker_of(world)->engine), 0);
}

static void questions_are_forgotten(void **state)
{
    world_t *world = *state;
    asker_t first = {.answers = 0}, second = first, third = first;
    begin(world, "Error: boom\n", 0);
    hold(world, true);
    assert_true(ask(world, &first, "a", true) && ask(world, &second, "a", true) &&
                ask(world, &third, "a", true));
    WAIT(world, world->engine->logs == 1);
    forget(world, &second);
    forget(world, &second);
    forget(world, &first); /* its call ends, and the next one begins */
    hold(world, false);
    WAIT(world, third.answers == 1);
    assert_int_equal(world->engine->logs, 2);
    assert_int_equal(first.answers + second.answers, 0);
    /* Before its call began. */
    assert_true(ask(world, &first, "a", true));
    forget(world, &first);
    loop_turn(world->loop, 0);
    assert_int_equal(world->engine->logs, 2);
}

static void there_is_none(void **state)
{
    world_t *world = *state;
    asker_t asker = {.answers = 0}, other = {.answers = 0};
    engine_container_t *container = begin(world, "x", 0);
    container->log_status = 501;
    ask_and_wait(world, &asker, false, PROVIDER_FAILED);
    assert_string_equal(asker.sentence,
                        "The container engine does not show the log: the driver cannot read (501)");
    container->log = NULL;
    ask_and_wait(world, &asker, true, PROVIDER_GONE);
    take_away(world, container);
    WAIT(world, of(world, "a")->box.state == BOX_GONE);
    assert_false(ask(world, &asker, "a", true));
    /* The container leaves while the question is open. */
    container = add(world, "b", "running");
    WAIT(world, of(world, "b")->box.state == BOX_RUNNING);
    hold(world, true);
    assert_true(ask(world, &asker, "b", true) && ask(world, &other, "b", false));
    take_away(world, container);
    hold(world, false);
    WAIT(world, asker.answers == 1 && other.answers == 1);
    assert_int_equal(asker.result, PROVIDER_GONE);
    assert_int_equal(other.result, PROVIDER_GONE);
    WAIT(world, docker_find_box(docker_of(world), STR("b")) == NULL);
}

static void an_engine_that_does_not_answer(void **state)
{
    world_t *world = *state;
    asker_t asker = {.answers = 0};
    begin(world, "x", 0);
    hold(world, true);
    assert_true(ask(world, &asker, "a", false));
    PASS(world, asker.answers == 1);
    assert_int_equal(asker.result, PROVIDER_UNAVAILABLE);
    assert_int_equal(docker_engine_busy(docker_of(world)->engine), 0);
    hold(world, false);
    engine_end(world->engine);
    assert_true(ask(world, &asker, "a", true));
    WAIT(world, asker.answers == 1);
    assert_int_equal(asker.result, PROVIDER_UNAVAILABLE);
    assert_string_equal(asker.sentence, "The container engine cannot be reached.");
}

static void answers_are_bounded(void **state)
{
    world_t *world = *state;
    asker_t asker = {.question = {.lines = UINT64_MAX}};
    const size_t most = 64u << 20;
    char *big = malloc(most + 1);
    assert_non_null(big);
    memset(big, 'x', most + 1);
    engine_container_t *container = begin(world, big, (2u << 20) + 1);
    ask_and_wait(world, &asker, true, PROVIDER_FAILED);
    ask_and_wait(world, &asker, false, PROVIDER_OK);
    assert_int_equal(asker.len, BOX_LOG_BYTES);
    container->log_len = 2u << 20;
    ask_and_wait(world, &asker, true, PROVIDER_OK);
    assert_int_equal(asker.len, DOCKER_LOG_LINE_MAX);
    container->log_len = most;
    ask_and_wait(world, &asker, false, PROVIDER_OK);
    assert_int_equal(asker.len, BOX_LOG_BYTES);
    container->log_len = most + 1;
    ask_and_wait(world, &asker, false, PROVIDER_FAILED);
    assert_string_equal(asker.sentence, "The end of the log is too large to be read: ask for fewer lines.");
    container->log = "x";
    container->log_len = 0;
    ask_and_wait(world, &asker, false, PROVIDER_OK); /* and everything is as before */
    free(big);
}

/* `lines` of such a second, to be freed. */
static char *make_lines(const char *second, size_t lines, size_t *len)
{
    char line[40];
    size_t n = (size_t)snprintf(line, sizeof(line), "2026-01-01T00:00:%sZ x\n", second);
    char *body = malloc(lines * n);
    assert_non_null(body);
    for (size_t i = 0; i < lines; i++)
        memcpy(body + i * n, line, n);
    *len = lines * n;
    return body;
}

/* A second with more entries than the call requested: the next call reads more, and in the end all, so that
 * they are counted. */
static void a_second_is_counted_whole(void **state)
{
    world_t *world = *state;
    asker_t asker = {.question = {.lines = 1}};
    size_t len;
    char *some = make_lines("02", 512, &len);
    engine_container_t *container = begin(world, some, len);
    ask_and_wait(world, &asker, false, PROVIDER_OK);
    assert_int_equal(world->engine->logs, 2);
    expect_address(world, "&tail=16384&since=1767225602");
    assert_true(asker.end == ((SECOND + 2) << DOCKER_LOG_COUNT_BITS | 512));
    assert_int_equal(asker.len, 512 * 2);
    char *many = make_lines("02", 16384, &len);
    container->log = many;
    container->log_len = len;
    ask_and_wait(world, &asker, false, PROVIDER_OK);
    assert_int_equal(world->engine->logs, 5);
    expect_address(world, "&tail=all&since=1767225602");
    assert_true(asker.end == ((SECOND + 2) << DOCKER_LOG_COUNT_BITS | 16384));
    /* From a position on: as many as arrived, and no more than the log keeps. */
    asker.question.from = (SECOND + 1) << DOCKER_LOG_COUNT_BITS | 1;
    ask_and_wait(world, &asker, false, PROVIDER_OK);
    assert_int_equal(world->engine->logs, 7);
    expect_address(world, "&tail=16384&since=1767225601");
    assert_int_equal(asker.len, 16384 * 2);
    free(some);
    free(many);
}

/* Waiting questions are answered when the provider leaves. */
static void the_provider_goes(void **state)
{
    world_t *world = *state;
    asker_t first = {.answers = 0}, second = {.answers = 0};
    begin(world, "x", 0);
    hold(world, true);
    assert_true(ask(world, &first, "a", true) && ask(world, &second, "a", false));
    WAIT(world, world->engine->logs == 1);
    world->provider->free(world->provider);
    world->provider = NULL;
    hold(world, false);
    assert_int_equal(first.answers + second.answers, 2);
    assert_int_equal(first.result, PROVIDER_UNAVAILABLE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, docker_world_setup, docker_world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_line_and_the_log),           TEST(one_call_at_a_time),
        TEST(questions_are_forgotten),        TEST(there_is_none),
        TEST(an_engine_that_does_not_answer), TEST(answers_are_bounded),
        TEST(a_second_is_counted_whole),      TEST(the_provider_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
