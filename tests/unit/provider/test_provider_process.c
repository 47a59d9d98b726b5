/* The provider of process boxes against a runner that the test plays. The test moves the loop's clock. */
#include "provider_process.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

#include "bytes.h"
#include "ipc.h"
#include "list.h"
#include "memfile.h"

#define LOG_MAX 64

typedef struct world {
    loop_t *loop;
    conf_t *conf;
    runner_client_t *client;
    provider_t *provider;
    int runner; /* the runner's end; -1: none */
    char log[LOG_MAX][400];
    size_t log_count, log_read;
} world_t;

static const char conf_text[] =
    "preview_domain: preview.localhost\nstate_dir: /nonexistent\n"
    "listeners: [{address: \"127.0.0.1:1\", kind: tls}]\nprocesses:\n"
    "  - {id: web, command: [web], directory: /, ports: [3000, 3001], idle: 1s}\n"
    "  - {id: ice, command: [ice], directory: /, ports: [4000], idle: 0s, idle_action: freeze}\n"
    "  - {id: pin, command: [pin], directory: /, ports: [5000], keep_alive: true}\n";
static const char conf_fewer[] = "preview_domain: preview.localhost\nstate_dir: /nonexistent\n"
                                 "listeners: [{address: \"127.0.0.1:1\", kind: tls}]\nprocesses:\n"
                                 "  - {id: new, command: [new], directory: /, ports: [6000]}\n"
                                 "  - {id: web, command: [web], directory: /, ports: [3000]}\n";

static conf_t *parse(str_t text)
{
    conf_errors_t *errors = conf_errors_new();
    conf_t *conf = conf_parse("test", text, errors);
    if (conf == NULL)
        conf_errors_print(errors, stderr);
    conf_errors_free(&errors);
    assert_non_null(conf);
    return conf;
}

/* ---- the provider's reports, as lines ---- */

static void note(world_t *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void note(world_t *w, const char *format, ...)
{
    va_list args;
    assert_true(w->log_count < LOG_MAX);
    va_start(args, format);
    vsnprintf(w->log[w->log_count++], sizeof(w->log[0]), format, args);
    va_end(args);
}

static void on_box(void *owner, provider_t *provider, const provider_box_t *box)
{
    world_t *w = owner;
    static const char *const states[] = {"unknown", "running", "paused", "gone"};
    assert_ptr_equal(provider, w->provider);
    note(w, "%s %s%s%s pid %u ports %u", box->id, states[box->state], box->renewed ? " renewed" : "",
         IN6_IS_ADDR_LOOPBACK(&box->address) ? " on ::1" : "", box->pid, box->port_count);
    if (box->state != BOX_GONE && !IN6_IS_ADDR_LOOPBACK(&box->address))
        assert_memory_equal(&box->address, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x7f\0\0\1", 16);
}

static void on_sync_began(void *owner, provider_t *provider)
{
    (void)provider;
    note(owner, "sync");
}

static void on_sync_ended(void *owner, provider_t *provider)
{
    (void)provider;
    note(owner, "synced");
}

static void on_resumed(void *owner, provider_t *provider, str_t id, provider_result_t result,
                       const char *sentence)
{
    static const char *const results[] = {"ok", "gone", "failed", "unavailable"};
    (void)provider;
    note(owner, "resumed %.*s %s %s", STR_ARG(id), results[result], sentence != NULL ? sentence : "");
}

static const provider_handlers_t handlers = {
    .box = on_box, .sync_began = on_sync_began, .sync_ended = on_sync_ended, .resumed = on_resumed};

static void turns(world_t *w)
{
    for (int i = 0; i < 4; i++)
        loop_turn(w->loop, 0);
}

static void pass(world_t *w, uint64_t ms)
{
    loop_skip(w->loop, ms);
    turns(w);
}

/* The next lines are these and no others. */
static void expect(world_t *w, const char *const *lines, size_t count)
{
    turns(w);
    for (size_t i = 0; i < count; i++) {
        assert_true(w->log_read < w->log_count);
        assert_string_equal(w->log[w->log_read++], lines[i]);
    }
    if (w->log_read != w->log_count)
        fail_msg("and then: %s", w->log[w->log_read]);
}
#define EXPECT(w, ...)                                                                                       \
    do {                                                                                                     \
        const char *const lines_[] = {__VA_ARGS__};                                                          \
        expect(w, lines_, sizeof(lines_) / sizeof(lines_[0]));                                               \
    } while (0)

/* ---- the runner ---- */

static void runner_up(world_t *w)
{
    int fds[2];
    assert_true(ipc_pair(fds));
    runner_client_take(w->client, &fds[0]);
    w->runner = fds[1];
    turns(w);
}

static void runner_down(world_t *w)
{
    close(w->runner);
    w->runner = -1;
    turns(w);
}

/* The provider's next request; returns the number of the question. */
static uint64_t asked(world_t *w, runner_message_t type, const char *id)
{
    ipc_message_t message;
    turns(w);
    assert_int_equal(ipc_receive(w->runner, &message), IPC_OK);
    assert_int_equal(message.type, type);
    assert_true(str_eq(str_make(message.bytes, message.len), str_from(id)));
    return message.value;
}

static void asked_nothing(world_t *w)
{
    ipc_message_t message;
    turns(w);
    assert_int_equal(ipc_receive(w->runner, &message), IPC_AGAIN);
}

static void say(world_t *w, runner_message_t type, uint64_t value, str_t bytes)
{
    assert_int_equal(ipc_send(w->runner, type, value, bytes, NULL, 0), IPC_OK);
}

static void say_box(world_t *w, const char *id, runner_state_t state, uint64_t life, uint32_t pid)
{
    runner_status_t status = {.state = state, .life = life, .pid = pid};
    char bytes[RUNNER_STATUS_BYTES];
    snprintf(status.id, sizeof(status.id), "%s", id);
    size_t n = runner_status_write(&status, bytes);
    say(w, RUNNER_BOX, 0, str_make(bytes, n));
}

static void say_done(world_t *w, uint64_t question, runner_result_t result, const char *sentence)
{
    char bytes[64];
    bytes[0] = (char)result;
    memcpy(bytes + 1, sentence, strlen(sentence));
    say(w, RUNNER_DONE, question, str_make(bytes, 1 + strlen(sentence)));
}

static void begin(world_t *w, bool may_run)
{
    w->provider = provider_process_new(w->loop, w->conf, w->client, may_run, &handlers, w);
    assert_int_equal(w->log_count, 0); /* nothing from within */
}

/* A provider that has reported all boxes as paused, and a runner that was asked for its list. */
static void begin_with_runner(world_t *w)
{
    begin(w, false);
    EXPECT(w, "sync", "web paused pid 0 ports 2", "ice paused pid 0 ports 1", "pin paused pid 0 ports 1",
           "synced");
    runner_up(w);
    asked(w, RUNNER_LIST, "");
}

static int setup(void **state)
{
    world_t *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    *w = (world_t){.loop = loop_new(), .conf = parse(STR(conf_text)), .runner = -1};
    loop_hold(w->loop);
    w->client = runner_client_new(w->loop);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world_t *w = *state;
    if (w->provider != NULL)
        w->provider->free(w->provider);
    runner_client_free(&w->client);
    if (w->runner >= 0)
        close(w->runner);
    loop_turn(w->loop, 0);
    loop_free(&w->loop);
    conf_release(&w->conf);
    free(w);
    return 0;
}

/* ---- tests ---- */

static void with_a_runner_since_before_its_list_is_awaited(void **state)
{
    world_t *w = *state;
    begin(w, true);
    turns(w);
    runner_up(w);
    asked(w, RUNNER_LIST, "");
    say_box(w, "web", RUNNER_RUNNING, 7, 70);
    say_box(w, "ice", RUNNER_FROZEN, 8, 80);
    say_box(w, "pin", RUNNER_STOPPED, 0, 0);
    expect(w, NULL, 0);
    /* A resume waits for it, too. */
    w->provider->resume(w->provider, STR("pin"));
    asked_nothing(w);
    say(w, RUNNER_LISTED, 3, STR(""));
    EXPECT(w, "sync", "web running pid 70 ports 2", "ice paused pid 80 ports 1", "pin paused pid 0 ports 1",
           "synced");
    asked(w, RUNNER_START, "pin");
}

static void the_first_listing_waits_for_the_runner_so_long(void **state)
{
    world_t *w = *state;
    begin(w, true);
    w->provider->resume(w->provider, STR("web"));
    pass(w, PROVIDER_PROCESS_FIRST_MS - 1);
    expect(w, NULL, 0);
    pass(w, 1);
    EXPECT(w, "sync", "web paused pid 0 ports 2", "ice paused pid 0 ports 1", "pin paused pid 0 ports 1",
           "synced");
    runner_up(w); /* late */
    asked(w, RUNNER_LIST, "");
    asked(w, RUNNER_START, "web");
}

static const char no_runner[] = "resumed web unavailable The process that runs boxes is not running.";

static void a_resume_waits_for_a_runner_so_long(void **state)
{
    world_t *w = *state;
    begin(w, false);
    EXPECT(w, "sync", "web paused pid 0 ports 2", "ice paused pid 0 ports 1", "pin paused pid 0 ports 1",
           "synced");
    w->provider->resume(w->provider, STR("web"));
    pass(w, PROVIDER_PROCESS_PATIENCE_MS - 1);
    expect(w, NULL, 0);
    pass(w, 1);
    EXPECT(w, no_runner);
    /* A question that the runner holds has its own time; when the runner dies, the provider waits for the
     * next one. */
    runner_up(w);
    asked(w, RUNNER_LIST, "");
    w->provider->resume(w->provider, STR("web"));
    asked(w, RUNNER_START, "web");
    pass(w, PROVIDER_PROCESS_PATIENCE_MS);
    pass(w, PROVIDER_PROCESS_PATIENCE_MS - 1);
    runner_down(w);
    expect(w, NULL, 0);
    pass(w, 1);
    EXPECT(w, no_runner);
}

static void an_answer_has_its_time(void **state)
{
    world_t *w = *state;
    begin_with_runner(w);
    w->provider->resume(w->provider, STR("web"));
    uint64_t question = asked(w, RUNNER_START, "web");
    pass(w, RUNNER_CLIENT_ANSWER_MS - 1); /* here patience begins anew */
    pass(w, 1);                           /* and here the state is as without a runner */
    pass(w, PROVIDER_PROCESS_PATIENCE_MS - 2);
    expect(w, NULL, 0);
    pass(w, 1);
    EXPECT(w, no_runner);
    say_done(w, question, RUNNER_OK, ""); /* too late */
    expect(w, NULL, 0);
}

static void resumed_when_the_runner_says_so(void **state)
{
    world_t *w = *state;
    begin_with_runner(w);
    w->provider->resume(w->provider, STR("web"));
    uint64_t question = asked(w, RUNNER_START, "web");
    say_box(w, "web", RUNNER_STARTING, 1, 0);
    say_box(w, "web", RUNNER_RUNNING, 1, 70);
    say_done(w, question + 1, RUNNER_OK, ""); /* no such request */
    EXPECT(w, "web paused pid 0 ports 2", "web running pid 70 ports 2");
    say_done(w, question, RUNNER_OK, "");
    EXPECT(w, "resumed web ok ");
    say_done(w, question, RUNNER_OK, ""); /* once */
    expect(w, NULL, 0);
}

static void failures_have_their_sentence(void **state)
{
    world_t *w = *state;
    begin_with_runner(w);
    w->provider->resume(w->provider, STR("web"));
    say_done(w, asked(w, RUNNER_START, "web"), RUNNER_FAILED, "No.\nA secret.");
    EXPECT(w, "resumed web failed No.");
    w->provider->resume(w->provider, STR("web"));
    say_done(w, asked(w, RUNNER_START, "web"), RUNNER_UNKNOWN, "");
    EXPECT(w, "resumed web failed The process that runs boxes does not know this box (yet).");
    w->provider->resume(w->provider, STR("nobody"));
    w->provider->look(w->provider, STR("nothing"));
    assert_true(w->log_read == w->log_count); /* not from within */
    EXPECT(w, "nothing gone pid 0 ports 0", "nobody gone pid 0 ports 0", "resumed nobody gone ");
    asked_nothing(w);
}

static void a_new_life_is_renewed(void **state)
{
    world_t *w = *state;
    begin_with_runner(w);
    say_box(w, "web", RUNNER_RUNNING, 1, 70);
    say_box(w, "web", RUNNER_FROZEN, 1, 70);
    say_box(w, "web", RUNNER_RUNNING, 1, 70);
    say_box(w, "web", RUNNER_STOPPING, 1, 70);
    say_box(w, "web", RUNNER_STOPPED, 1, 0);
    say_box(w, "web", RUNNER_RUNNING, 2, 71);
    say_box(w, "web", RUNNER_RUNNING, 3, 72);
    say_box(w, "other", RUNNER_RUNNING, 3, 72);
    say(w, RUNNER_BOX, 0, STR("short"));
    EXPECT(w, "web running pid 70 ports 2", "web paused pid 70 ports 2", "web running pid 70 ports 2",
           "web paused renewed pid 0 ports 2", "web paused pid 0 ports 2", "web running pid 71 ports 2",
           "web running renewed pid 72 ports 2");
    w->provider->look(w->provider, STR("web"));
    asked(w, RUNNER_LOOK, "web");
}

static void on_the_other_loopback_address(void **state)
{
    world_t *w = *state;
    runner_status_t status = {.id = "web", .state = RUNNER_RUNNING, .life = 1, .pid = 5, .loopback6 = true};
    char bytes[RUNNER_STATUS_BYTES];
    begin_with_runner(w);
    size_t n = runner_status_write(&status, bytes);
    say(w, RUNNER_BOX, 0, str_make(bytes, n));
    EXPECT(w, "web running on ::1 pid 5 ports 2");
}

static void the_end_of_the_runner(void **state)
{
    world_t *w = *state;
    begin_with_runner(w);
    say_box(w, "web", RUNNER_RUNNING, 1, 70);
    EXPECT(w, "web running pid 70 ports 2");
    w->provider->resume(w->provider, STR("ice"));
    asked(w, RUNNER_START, "ice");
    runner_down(w);
    EXPECT(w, "web paused renewed pid 0 ports 2");
    /* The next one is asked again, and answers. */
    runner_up(w);
    asked(w, RUNNER_LIST, "");
    say_done(w, asked(w, RUNNER_START, "ice"), RUNNER_OK, "");
    EXPECT(w, "resumed ice ok ");
    /* A channel that replaces one whose end was not seen. */
    say_box(w, "web", RUNNER_RUNNING, 2, 71);
    EXPECT(w, "web running pid 71 ports 2");
    int before = w->runner;
    runner_up(w);
    close(before);
    EXPECT(w, "web paused renewed pid 0 ports 2");
}

static void paused_as_the_configuration_says(void **state)
{
    world_t *w = *state;
    begin_with_runner(w);
    w->provider->pause(w->provider, STR("web"));
    asked(w, RUNNER_STOP, "web");
    w->provider->pause(w->provider, STR("ice"));
    say_done(w, asked(w, RUNNER_FREEZE, "ice"), RUNNER_OK, "");
    w->provider->pause(w->provider, STR("pin"));
    w->provider->pause(w->provider, STR("nobody"));
    asked_nothing(w);
    runner_down(w);
    w->provider->pause(w->provider, STR("web"));
    expect(w, NULL, 0);
}

static void another_configuration(void **state)
{
    world_t *w = *state;
    begin_with_runner(w);
    say_box(w, "web", RUNNER_RUNNING, 1, 70);
    EXPECT(w, "web running pid 70 ports 2");
    w->provider->resume(w->provider, STR("ice"));
    uint64_t old = asked(w, RUNNER_START, "ice");
    conf_t *next = parse(STR(conf_fewer));
    conf_release(&w->conf); /* the provider keeps its own copies */
    w->conf = next;
    w->provider->set_conf(w->provider, next);
    EXPECT(w, "sync", "new paused pid 0 ports 1", "web running pid 70 ports 1", "synced",
           "ice gone pid 0 ports 0", "resumed ice gone ");
    asked(w, RUNNER_LIST, "");
    say_done(w, old, RUNNER_OK, ""); /* nobody waits any more */
    say_box(w, "ice", RUNNER_RUNNING, 1, 80);
    expect(w, NULL, 0);
}

static void a_resume_goes_on_through_a_reload(void **state)
{
    world_t *w = *state;
    begin_with_runner(w);
    w->provider->resume(w->provider, STR("web"));
    asked(w, RUNNER_START, "web");
    conf_t *next = parse(STR(conf_fewer));
    conf_release(&w->conf);
    w->conf = next;
    w->provider->set_conf(w->provider, next);
    EXPECT(w, "sync", "new paused pid 0 ports 1", "web paused pid 0 ports 1", "synced");
    uint64_t question = asked(w, RUNNER_START, "web");
    asked(w, RUNNER_LIST, "");
    say_done(w, question, RUNNER_OK, "");
    EXPECT(w, "resumed web ok ");
}

/* ---- the client by itself ---- */

static void keep_answer(void *arg, const runner_answer_t *answer)
{
    world_t *w = arg;
    note(w, "%d %.*s %llu %s", answer->result, STR_ARG(answer->log), (unsigned long long)answer->log_end,
         answer->sentence);
}

static void logs_come_in_a_memory_file(void **state)
{
    world_t *w = *state;
    char head[RUNNER_LOG_HEAD_BYTES + 3], end[RUNNER_LOG_HEAD_BYTES];
    const str_t text = STR("two\nlines\n");
    assert_false(runner_client_request(w->client, RUNNER_LOG, STR("web"), 0, keep_answer, w));
    runner_up(w);
    assert_true(runner_client_request(w->client, RUNNER_LOG, STR("web"), 77, keep_answer, w));
    ipc_message_t message;
    assert_int_equal(ipc_receive(w->runner, &message), IPC_OK);
    bytes_put64(head, 77);
    memcpy(head + RUNNER_LOG_HEAD_BYTES, "web", 3);
    assert_true(message.len == sizeof(head) && memcmp(message.bytes, head, sizeof(head)) == 0);
    int fd = memfile_write("test", &text, 1);
    bytes_put64(end, 87);
    assert_int_equal(ipc_send(w->runner, RUNNER_TEXT, message.value, str_make(end, sizeof(end)), &fd, 1),
                     IPC_OK);
    close(fd);
    EXPECT(w, "0 two\nlines\n 87 ");
}

static void questions_are_bounded_and_forgotten(void **state)
{
    world_t *w = *state;
    ipc_message_t message;
    runner_up(w);
    for (int i = 0; i < RUNNER_CLIENT_QUESTIONS_MAX; i++)
        assert_true(
            runner_client_request(w->client, RUNNER_STOP, STR("web"), 0, i == 0 ? keep_answer : NULL, w));
    assert_false(runner_client_request(w->client, RUNNER_STOP, STR("web"), 0, NULL, NULL));
    while (ipc_receive(w->runner, &message) == IPC_OK)
        turns(w);
    runner_client_forget(w->client, w);
    assert_true(runner_client_request(w->client, RUNNER_STOP, STR("web"), 0, keep_answer, w));
    runner_down(w);
    EXPECT(w, "4  0 The process that runs boxes has died.");
}

typedef struct asker {
    provider_question_t question;
    world_t *w;
} asker_t;

static void on_words(provider_question_t *question, const provider_words_t *words)
{
    const asker_t *asker = CONTAINER_OF(asker_t, question, question);
    assert_null(question->provider);
    note(asker->w, "words %d \"%.*s\" %llu %s", words->result, STR_ARG(words->text),
         (unsigned long long)words->end, words->result == PROVIDER_OK ? "" : words->sentence);
}

/* The runner answers questions to the provider about a box's output, or nobody does. */
static void questions_about_output(void **state)
{
    world_t *w = *state;
    asker_t line = {.question = {.answered = on_words}, .w = w}, log = line;
    str_t text = STR("two\n");
    ipc_message_t message;
    char end[RUNNER_LOG_HEAD_BYTES];
    begin(w, false);
    EXPECT(w, "sync", "web paused pid 0 ports 2", "ice paused pid 0 ports 1", "pin paused pid 0 ports 1",
           "synced");
    assert_false(w->provider->line(w->provider, STR("web"), &line.question)); /* no runner */
    assert_null(line.question.provider);
    runner_up(w);
    asked(w, RUNNER_LIST, "");
    assert_true(w->provider->line(w->provider, STR("web"), &line.question));
    assert_ptr_equal(line.question.provider, w->provider);
    say_done(w, asked(w, RUNNER_LINE, "web"), RUNNER_OK, "Error: boom");
    EXPECT(w, "words 0 \"Error: boom\" 0 ");
    assert_true(w->provider->log(w->provider, STR("web"), &log.question));
    turns(w);
    assert_int_equal(ipc_receive(w->runner, &message), IPC_OK);
    int fd = memfile_write("test", &text, 1);
    bytes_put64(end, 87);
    assert_int_equal(ipc_send(w->runner, RUNNER_TEXT, message.value, str_make(end, sizeof(end)), &fd, 1),
                     IPC_OK);
    close(fd);
    EXPECT(w, "words 0 \"two\n\" 87 ");
    assert_true(w->provider->line(w->provider, STR("none"), &line.question));
    say_done(w, asked(w, RUNNER_LINE, "none"), RUNNER_UNKNOWN, "?");
    EXPECT(w, "words 1 \"\" 0 ?");
    assert_true(w->provider->line(w->provider, STR("web"), &line.question));
    w->provider->forget(w->provider, &line.question);
    w->provider->forget(w->provider, &line.question);
    say_done(w, asked(w, RUNNER_LINE, "web"), RUNNER_OK, "late");
    expect(w, NULL, 0);
    /* The end of the provider is an answer. */
    assert_true(w->provider->log(w->provider, STR("web"), &log.question));
    w->provider->free(w->provider);
    w->provider = NULL;
    EXPECT(w, "words 3 \"\" 0 The edge is ending.");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(with_a_runner_since_before_its_list_is_awaited),
        TEST(the_first_listing_waits_for_the_runner_so_long),
        TEST(a_resume_waits_for_a_runner_so_long),
        TEST(an_answer_has_its_time),
        TEST(resumed_when_the_runner_says_so),
        TEST(failures_have_their_sentence),
        TEST(a_new_life_is_renewed),
        TEST(on_the_other_loopback_address),
        TEST(the_end_of_the_runner),
        TEST(paused_as_the_configuration_says),
        TEST(another_configuration),
        TEST(a_resume_goes_on_through_a_reload),
        TEST(logs_come_in_a_memory_file),
        TEST(questions_are_bounded_and_forgotten),
        TEST(questions_about_output),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
