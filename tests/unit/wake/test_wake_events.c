/* The events of a wake: their contents and their end, that they wake nothing, and their bounds. */
#include "wake_world.h"

#include "wake_events.h"
#include "wake_page.h"

static step_result_t step_events(exchange_t *ex)
{
    assert_true(access_is_events_request(ex));
    (void)step_wake_events(ex);
    return STEP_DONE;
}

static const exchange_step_t event_steps[] = {{"events", step_events}, {NULL, NULL}};

static int setup(void **state)
{
    wake_world_t *w = wake_world_new();
    loop_hold(w->worker->context.loop);
    w->world->fixture->client.steps = event_steps;
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    wake_world_free(*state);
    return 0;
}

static exchange_t *ask(wake_world_t *w)
{
    exchange_t *ex = wake_world_next(w);
    ex->request.target = STR(WAKE_EVENTS_PATH);
    return ex;
}

static exchange_t *listen_to(wake_world_t *w)
{
    exchange_t *ex = ask(w);
    exchange_start(ex);
    assert_int_equal(ex->status, 200);
    assert_true(str_eq(wake_world_got(ex, "content-type"), STR("text/event-stream")));
    assert_true(str_eq(wake_world_got(ex, "cache-control"), STR("no-store")));
    return ex;
}

/* The bytes since the last call. */
static void expect_events(wake_world_t *w, const char *text)
{
    exchange_world_t *world = w->world;
    if (world->out_n != strlen(text) || memcmp(world->out, text, world->out_n) != 0)
        fail_msg("got \"%.*s\" in place of \"%s\"", (int)world->out_n, world->out, text);
    world->out_n = 0;
}

#define HELLO "retry: 1000\n\n"

static void what_is_asked_for(void **state)
{
    static const struct {
        const char *target;
        bool asked;
    } table[] = {
        {WAKE_EVENTS_PATH, true},
        {WAKE_EVENTS_PATH "?", true},
        {WAKE_EVENTS_PATH "?x=/", true},
        {WAKE_EVENTS_PATH "/", false},
        {WAKE_EVENTS_PATH "s", false},
        {"/" WAKE_EVENTS_PATH, false},
        {"/.well-known/boxedge", false},
        {"/", false},
        {"*", false},
    };
    wake_world_t *w = *state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        w->world->ex->request.target = str_from(table[i].target);
        assert_int_equal(access_is_events_request(w->world->ex), table[i].asked);
    }
}

static void a_wake_from_beginning_to_end(void **state)
{
    static const wake_answer_t answer = {.resume_ms = 800, .listen_ms = 90};
    wake_world_t *w = *state;
    listen_to(w);
    expect_events(w, HELLO);
    assert_int_equal(wake_world_asked(w), WAKE_WISH_WATCH);
    wake_world_stage(w, WAKE_RESUMING, 0);
    assert_true(wake_world_body_has(w, "event: stage\ndata: {\"stage\":\"resuming\",\"elapsed_ms\":"));
    w->world->out_n = 0;
    wake_world_stage(w, WAKE_STARTING, 0);
    assert_true(wake_world_body_has(w, "\"stage\":\"starting\""));
    w->world->out_n = 0;
    wake_world_runs(w, &answer);
    expect_events(w, "event: ready\ndata: {\"elapsed_ms\":890}\n\n");
    assert_int_equal(w->world->ends, 1);
    assert_int_equal(w->worker->wake_streams, 0);
}

/* Other requests began the wake before: the controller knows when. */
static void the_time_is_that_of_the_wake(void **state)
{
    wake_world_t *w = *state;
    listen_to(w);
    wake_world_stage(w, WAKE_STARTING, 60000);
    const char *elapsed = memmem(w->world->out, w->world->out_n, "elapsed_ms\":6", 13);
    assert_non_null(elapsed);
    assert_in_range(strtoul(elapsed + 12, NULL, 10), 60000, 69999);
}

static void a_wake_that_fails(void **state)
{
    static const wake_answer_t answer = {.retry_after_ms = 5000, .sentence = "A \"bad\" \\ box."};
    wake_world_t *w = *state;
    listen_to(w);
    w->world->out_n = 0;
    wake_world_ends(w, WAKE_FAILED, &answer);
    expect_events(w, "event: failed\ndata: {\"sentence\":\"A \\\"bad\\\" \\\\ box.\",\"retry_after\":5}\n\n");
    assert_int_equal(w->world->ends, 1);
}

static void the_longest_sentence(void **state)
{
    wake_answer_t answer = {.retry_after_ms = UINT32_MAX};
    wake_world_t *w = *state;
    memset(answer.sentence, '"', WAKE_SENTENCE_MAX);
    listen_to(w);
    w->world->out_n = 0;
    wake_world_ends(w, WAKE_FAILED, &answer);
    assert_true(w->world->out_n > 2 * WAKE_SENTENCE_MAX);
    assert_true(wake_world_body_has(w, "\\\"\",\"retry_after\":4294968}\n\n"));
}

static void a_box_that_nothing_wakes(void **state)
{
    wake_world_t *w = *state;
    listen_to(w);
    w->world->out_n = 0;
    assert_int_equal(wake_world_asked(w), WAKE_WISH_WATCH);
    wake_world_ends(w, WAKE_ASLEEP, NULL);
    expect_events(w, "event: asleep\ndata: {}\n\n");
    assert_int_equal(w->world->ends, 1);
}

static void a_box_that_runs(void **state)
{
    wake_world_t *w = *state;
    exchange_t *ex = ask(w);
    ex->box.state = BOX_RUNNING;
    exchange_start(ex);
    expect_events(w, HELLO "event: ready\ndata: {\"elapsed_ms\":0}\n\n");
    assert_int_equal(w->world->ends, 1);
    assert_int_equal(wake_world_asked(w), -1);
}

/* ---- methods ---- */

static void other_methods(void **state)
{
    static const char *const methods[] = {"HEAD", "POST", "OPTIONS"};
    wake_world_t *w = *state;
    for (size_t i = 0; i < 3; i++) {
        exchange_t *ex = ask(w);
        ex->request.method = str_from(methods[i]);
        exchange_start(ex);
        assert_int_equal(ex->status, 405);
        assert_true(str_eq(wake_world_got(ex, "allow"), STR("GET")));
    }
    exchange_t *ex = ask(w);
    ex->request.websocket = true;
    exchange_start(ex);
    assert_int_equal(ex->status, 404);
    assert_int_equal(wake_world_asked(w), -1);
}

/* ---- ends and bounds ---- */

static void a_client_that_leaves(void **state)
{
    wake_world_t *w = *state;
    listen_to(w);
    assert_int_equal(w->worker->wake_streams, 1);
    assert_int_equal(w->worker->context.counters->wake_waiters, 1);
    exchange_end(&w->world->ex, EXCHANGE_END_CLIENT_GONE);
    assert_int_equal(w->worker->wake_streams, 0);
    assert_int_equal(w->worker->context.counters->wake_waiters, 0);
    w->world->ex = exchange_new(&w->world->fixture->client, &world_client_ops, w->world);
}

static void a_client_that_does_not_read(void **state)
{
    wake_world_t *w = *state;
    listen_to(w);
    w->world->room = 10;
    w->world->out_n = 0;
    wake_world_stage(w, WAKE_STARTING, 0);
    assert_int_equal(w->world->out_n, 0);
    wake_world_ends(w, WAKE_FAILED, NULL);
    assert_int_equal(w->world->out_n, 0);
    assert_int_equal(w->world->ends, 1);
}

/* Comments keep intermediaries from treating it as dead. */
static void a_comment_each_ten_seconds(void **state)
{
    wake_world_t *w = *state;
    listen_to(w);
    expect_events(w, HELLO);
    for (int second = 1; second <= 30; second++) {
        wake_world_skip(w, 1000);
        expect_events(w, second % 10 == 0 ? ":\n\n" : "");
    }
}

static void it_ends_in_time(void **state)
{
    wake_world_t *w = *state;
    listen_to(w);
    for (uint32_t gone = 0; gone < 2 * w->worker->context.conf->wake.timeout; gone += 1000) {
        assert_int_equal(w->world->ends, 0);
        wake_world_skip(w, 1000);
    }
    assert_int_equal(w->world->ends, 1);
}

static void it_ends_with_the_worker(void **state)
{
    wake_world_t *w = *state;
    listen_to(w);
    w->worker->context.draining = true;
    wake_world_skip(w, 1000);
    assert_int_equal(w->world->ends, 1);
}

static void there_are_so_many(void **state)
{
    wake_world_t *w = *state;
    w->worker->wake_streams = WAKE_EVENTS_MAX - 1;
    listen_to(w);
    exchange_t *first = w->world->ex; /* one more beside it */
    exchange_world_t *second = worker_world_new();
    second->ex->context = &w->worker->context;
    wake_world_prepare(second->ex);
    second->ex->request.target = STR(WAKE_EVENTS_PATH);
    (void)step_wake_events(second->ex);
    assert_int_equal(second->ex->status, 503);
    assert_string_equal(second->ex->local_code, "too_many_waiting");
    second->ex->context = second->fixture->context;
    exchange_world_free(second);
    assert_ptr_equal(w->world->ex, first);
    w->worker->wake_streams = 1;
}

static void too_many_wait(void **state)
{
    wake_world_t *w = *state;
    wake_waiter_t other = {.done = NULL};
    w->worker->context.conf->wake.waiters = 1;
    assert_true(wake_wait(w->worker->wake_client, &other, STR("box"), 3000, 1));
    exchange_t *ex = ask(w);
    exchange_start(ex);
    assert_int_equal(ex->status, 200);
    assert_true(wake_world_body_has(w, "event: failed"));
    assert_int_equal(w->world->ends, 1);
    wake_leave(&other);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_is_asked_for),
        TEST(a_wake_from_beginning_to_end),
        TEST(the_time_is_that_of_the_wake),
        TEST(a_wake_that_fails),
        TEST(the_longest_sentence),
        TEST(a_box_that_nothing_wakes),
        TEST(a_box_that_runs),
        TEST(other_methods),
        TEST(a_client_that_leaves),
        TEST(a_client_that_does_not_read),
        TEST(a_comment_each_ten_seconds),
        TEST(it_ends_in_time),
        TEST(it_ends_with_the_worker),
        TEST(there_are_so_many),
        TEST(too_many_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
