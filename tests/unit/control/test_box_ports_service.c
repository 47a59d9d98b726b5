/* The controller's answers after a port of a box refused a connection: this process stands for the box. */
#include "wake_coordinator_world.h"

#include "box_ports_message.h"

typedef struct desk_world {
    world_t *w;
    box_ports_service_t *service;
    uint64_t generation;
    unsigned asked;                /* questions about a line, until runner_asked */
    provider_question_t *question; /* the last of them; NULL: no request waits for an answer */
} service_world_t;

/* The provider has no room for a pointer back to its world. */
static service_world_t *of_provider;

static bool provider_line(provider_t *provider, str_t id, provider_question_t *question)
{
    assert_true(str_eq(id, STR("a")) || id.p[0] == 'b');
    if (of_provider->question != NULL)
        return false;
    of_provider->asked++;
    of_provider->question = question;
    question->provider = provider;
    return true;
}

static void provider_forget(provider_t *provider, provider_question_t *question)
{
    assert_ptr_equal(question, of_provider->question);
    assert_ptr_equal(question->provider, provider);
    of_provider->question = NULL;
    question->provider = NULL;
}

/* The answer; NULL: none. */
static void say(service_world_t *d, const char *line)
{
    provider_question_t *question = d->question;
    const provider_words_t words = {.result = line != NULL ? PROVIDER_OK : PROVIDER_UNAVAILABLE,
                                    .sentence = "",
                                    .text = str_from(line != NULL ? line : "")};
    assert_non_null(question);
    d->question = NULL;
    question->provider = NULL;
    question->answered(question, &words);
}

static void report_with_pid(service_world_t *d, const char *id)
{
    world_t *w = d->w;
    provider_box_t box = box_at(id, BOX_RUNNING, "::ffff:127.0.0.1");
    box.pid = (uint32_t)getpid();
    box.ports[box.port_count++] = w->port;
    w->provider.handlers->box(w->boxes, &w->provider, &box);
    d->generation = boxes_find(w->boxes, str_from(id))->generation;
}

static int desk_setup(void **state)
{
    service_world_t *d = calloc(1, sizeof(*d));
    assert_non_null(d);
    void *world;
    assert_int_equal(wake_coordinator_world_setup(&world), 0);
    d->w = world;
    of_provider = d;
    d->w->provider.line = provider_line;
    d->w->provider.forget = provider_forget;
    d->service = box_ports_service_new(d->w->loop, d->w->store, d->w->boxes, d->w->worker_links);
    report_with_pid(d, "a");
    settle(d->w);
    *state = d;
    return 0;
}

static int desk_teardown(void **state)
{
    service_world_t *d = *state;
    void *world = d->w;
    /* In the controller's order: the store's thread goes first, and its last jobs still answer. */
    boxes_stop(d->w->boxes);
    store_thread_free(&d->w->store);
    box_ports_service_free(&d->service);
    assert_null(d->service);
    assert_null(d->question);
    free(d);
    return wake_coordinator_world_teardown(&world);
}

/* The next message to worker `index`; false: none within the turns. */
static bool heard(service_world_t *d, unsigned index, box_ports_answer_t *out, unsigned turns)
{
    ipc_message_t message;
    str_t name;
    for (unsigned i = 0; i <= turns; i++) {
        while (ipc_receive(d->w->workers[index], &message) == IPC_OK)
            if (message.type == PROCESS_BOX_PORTS) {
                assert_true(box_ports_parse(str_make(message.bytes, message.len), &name, out));
                assert_true(str_eq(name, label(d->w, "a")));
                assert_int_equal(message.value, d->generation);
                return true;
            }
        if (i < turns)
            loop_turn(d->w->loop, 50);
    }
    return false;
}

static void one_look_for_all(void **state)
{
    service_world_t *d = *state;
    box_ports_answer_t got;
    for (unsigned worker = 0; worker < 3; worker++)
        box_ports_service_request(d->service, worker, label(d->w, "a"), d->generation);
    for (unsigned worker = 0; worker < 3; worker++) {
        assert_true(heard(d, worker, &got, 200));
        assert_true(got.known && got.count == 1 && got.ports[0].port == d->w->port && got.ports[0].loopback);
    }
    /* The ports are remembered, although nothing listens any more; and then forgotten. */
    close(d->w->listener);
    d->w->listener = -1;
    box_ports_service_request(d->service, 0, label(d->w, "a"), d->generation);
    assert_true(heard(d, 0, &got, 0) && got.count == 1);
    const store_box_t *box = boxes_find(d->w->boxes, STR("a"));
    assert_non_null(box_ports_service_find(d->service, box));
    loop_skip(d->w->loop, BOX_PORTS_FRESH_MS);
    loop_turn(d->w->loop, 0);
    assert_null(box_ports_service_find(d->service, box)); /* being read */
    box_ports_service_request(d->service, 0, label(d->w, "a"), d->generation);
    assert_true(heard(d, 0, &got, 200) && got.known && got.count == 0);
}

/* The number of times that the provider was asked for a line since the last call. */
static unsigned line_asked(service_world_t *d)
{
    unsigned asked = d->asked;
    d->asked = 0;
    return asked;
}

static void request_of_box(service_world_t *d, unsigned worker)
{
    box_ports_service_request(d->service, worker, label(d->w, "a"), d->generation);
}

/* The provider's line answers all questions; without one, the answer has only the ports. */
static void a_line_of_the_log(void **state)
{
    service_world_t *d = *state;
    box_ports_answer_t got;
    request_of_box(d, 0);
    request_of_box(d, 1);
    assert_int_equal(line_asked(d), 1);
    settle(d->w);
    assert_false(heard(d, 0, &got, 0)); /* the table alone is no answer */
    say(d, "Error: boom");
    for (unsigned worker = 0; worker < 2; worker++) {
        assert_true(heard(d, worker, &got, 200));
        assert_true(got.known && got.count == 1);
        assert_string_equal(got.line, "Error: boom");
    }
    loop_skip(d->w->loop, BOX_PORTS_FRESH_MS);
    request_of_box(d, 0);
    assert_int_equal(line_asked(d), 1);
    settle(d->w);
    assert_false(heard(d, 0, &got, 0));
    loop_skip(d->w->loop, BOX_PORTS_LINE_MS);
    assert_true(heard(d, 0, &got, 200) && got.known && got.line[0] == '\0');
    assert_null(d->question); /* and the provider was notified that no request waits */
    loop_skip(d->w->loop, BOX_PORTS_FRESH_MS);
    request_of_box(d, 0);
    settle(d->w);
    say(d, NULL); /* it closes, or cannot answer */
    assert_true(heard(d, 0, &got, 200) && got.known && got.line[0] == '\0');
    loop_skip(d->w->loop, BOX_PORTS_FRESH_MS);
    request_of_box(d, 0); /* waits at the end */
    assert_non_null(d->question);
}

static void a_line_is_cut_and_printable(void **state)
{
    service_world_t *d = *state;
    box_ports_answer_t got;
    char line[5000];
    memset(line, 'x', sizeof(line));
    memcpy(line, "\x1b[31mr\001ed", 9);
    line[sizeof(line) - 1] = '\0';
    request_of_box(d, 0);
    settle(d->w);
    say(d, line);
    assert_true(heard(d, 0, &got, 200));
    assert_int_equal(strlen(got.line), BOX_PORTS_LINE_MAX);
    assert_memory_equal(got.line, "r edxxx", 7);
}

/* The box's log exists, under the generation in question; its ports are unknown. */
static void a_box_that_has_ended(void **state)
{
    service_world_t *d = *state;
    box_ports_answer_t got;
    tell(d->w, "a", BOX_PAUSED, "::ffff:127.0.0.1");
    settle(d->w);
    request_of_box(d, 0);
    assert_int_equal(line_asked(d), 1);
    say(d, "boom");
    assert_true(heard(d, 0, &got, 200) && !got.known && got.count == 0);
    assert_string_equal(got.line, "boom");
}

static void what_is_not_known(void **state)
{
    service_world_t *d = *state;
    box_ports_answer_t got;
    d->generation += 7; /* of another life of the box */
    box_ports_service_request(d->service, 0, label(d->w, "a"), d->generation);
    assert_true(heard(d, 0, &got, 0) && !got.known);
    box_ports_service_request(d->service, 0, STR("nonsense"), 1);
    box_ports_service_request(d->service, SHM_WORKERS_MAX, label(d->w, "a"), d->generation);
    assert_false(heard(d, 0, &got, 2));
}

static void bounds(void **state)
{
    service_world_t *d = *state;
    box_ports_answer_t got;
    char id[16], text[32];
    unsigned unknown = 0;
    /* No answer comes before the loop turns, so all of them are being read. */
    for (unsigned i = 0; i < BOX_PORTS_BOXES_MAX; i++) {
        (void)snprintf(id, sizeof(id), "b%u", i);
        report_with_pid(d, id);
        (void)snprintf(text, sizeof(text), "%s-%u", id, d->w->port);
        box_ports_service_request(d->service, 1, str_from(text), d->generation);
    }
    d->generation = boxes_find(d->w->boxes, STR("a"))->generation;
    box_ports_service_request(d->service, 0, label(d->w, "a"), d->generation);
    assert_true(heard(d, 0, &got, 0) && !got.known);
    d->generation = boxes_find(d->w->boxes, STR("b0"))->generation;
    (void)snprintf(text, sizeof(text), "b0-%u", d->w->port);
    for (unsigned i = 0; i < BOX_PORTS_QUESTIONS_MAX; i++)
        box_ports_service_request(d->service, 2, str_from(text), d->generation);
    ipc_message_t message;
    while (ipc_receive(d->w->workers[2], &message) == IPC_OK)
        unknown += message.type == PROCESS_BOX_PORTS;
    assert_int_equal(unknown, BOX_PORTS_BOXES_MAX); /* which the others had taken */
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, desk_setup, desk_teardown)
    const struct CMUnitTest tests[] = {
        TEST(one_look_for_all),     TEST(a_line_of_the_log), TEST(a_line_is_cut_and_printable),
        TEST(a_box_that_has_ended), TEST(what_is_not_known), TEST(bounds)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
