/* The queue of traces and the calls of the receiver: one at a time, bounds, failures. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>

#include "fetch_server.h"
#include "trace_message.h"
#include "trace_service.h"

typedef struct world {
    loop_t *loop;
    server_t *server;
    trace_service_t *service;
    char url[64];
    conf_t conf;
} world_t;

static int setup(void **state)
{
    world_t *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    signal(SIGPIPE, SIG_IGN);
    w->loop = loop_new();
    w->server = fetch_server_server_new(NULL, NULL);
    (void)snprintf(w->url, sizeof(w->url), "http://127.0.0.1:%u/boxes/x", w->server->port);
    w->conf.tracing.otlp = w->url;
    w->conf.tracing.ca_file = (char *)(uintptr_t) "";
    w->conf.tracing.timeout = 60000;
    w->conf.node = (char *)(uintptr_t) "node";
    w->service = trace_service_new(w->loop, &w->conf);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world_t *w = *state;
    trace_service_free(&w->service);
    server_free(&w->server);
    loop_free(&w->loop);
    free(w);
    return 0;
}

static void take(world_t *w, size_t count)
{
    trace_message_t trace = {
        .id = "4bf92f3577b34da6a3ce929d0e0e4736", .span = "00f067aa0ba902b7", .over = 2, .lost = 1};
    for (size_t i = 0; i < count; i++)
        trace_service_take(w->service, str_make((const char *)&trace, sizeof(trace)));
}

/* A call begins at once with a whole batch; the next one follows its answer. */
static void test_batches(void **state)
{
    world_t *w = *state;
    server_will_answer(w->server, 200, "{}");
    server_will_answer(w->server, 200, "{\"partialSuccess\":{\"rejectedSpans\":\"3\"}}");
    take(w, 2 * TRACE_BATCH);
    while (trace_service_figures(w->service).sent < 2 * TRACE_BATCH)
        loop_turn(w->loop, 100);
    trace_figures_t figures = trace_service_figures(w->service);
    assert_int_equal(figures.rejected, 3);
    assert_int_equal(figures.over, 4 * TRACE_BATCH);
    assert_int_equal(figures.lost, 2 * TRACE_BATCH);
    assert_int_equal(figures.crowded + figures.failed, 0);
    assert_true(server_gave_all(w->server));
}

/* A single trace goes after TRACE_GATHER_MS. */
static void test_one(void **state)
{
    world_t *w = *state;
    server_will_answer(w->server, 202, "");
    take(w, 1);
    while (trace_service_figures(w->service).sent < 1)
        loop_turn(w->loop, 100);
}

/* A receiver that does not answer: one call is under way, the queue takes its bound, and nothing waits. */
static void test_the_queue_is_bounded(void **state)
{
    world_t *w = *state;
    take(w, TRACE_BATCH + TRACE_QUEUE_MAX);
    assert_int_equal(trace_service_figures(w->service).crowded, 0);
    take(w, 3);
    assert_int_equal(trace_service_figures(w->service).crowded, 3);
}

static void test_failures_are_counted(void **state)
{
    world_t *w = *state;
    server_will_answer(w->server, 503, "{}");
    take(w, TRACE_BATCH);
    while (trace_service_figures(w->service).failed < TRACE_BATCH)
        loop_turn(w->loop, 100);
    take(w, TRACE_BATCH); /* the next call waits */
    loop_turn(w->loop, 1);
    assert_int_equal(atomic_load(&w->server->requests), 1);
    server_will_answer(w->server, 200, "{}");
    trace_service_set_conf(w->service, &w->conf); /* perhaps another receiver: no wait */
    take(w, 1);
    while (trace_service_figures(w->service).sent == 0)
        loop_turn(w->loop, 100);
    assert_int_equal(trace_service_figures(w->service).failed, TRACE_BATCH);
}

static void turn_until_empty(world_t *w)
{
    while (!trace_service_is_empty(w->service))
        loop_turn(w->loop, 100);
}

/* The edge ends: what waits goes at once, batch by batch, and so does what comes later. */
static void test_the_end(void **state)
{
    world_t *w = *state;
    for (int i = 0; i < 4; i++)
        server_will_answer(w->server, 200, "{}");
    take(w, TRACE_BATCH + 1);
    trace_service_hurry(w->service);
    assert_false(trace_service_is_empty(w->service));
    take(w, TRACE_BATCH);
    turn_until_empty(w);
    assert_int_equal(trace_service_figures(w->service).sent, 2 * TRACE_BATCH + 1);
    take(w, 1);
    turn_until_empty(w);
    assert_int_equal(trace_service_figures(w->service).sent, 2 * TRACE_BATCH + 2);
    assert_true(server_gave_all(w->server));
}

/* No end waits for a receiver that has failed, or longer than TRACE_LAST_MS for one that does not answer. */
static void test_the_end_with_a_bad_receiver(void **state)
{
    world_t *w = *state;
    server_will_answer(w->server, 503, "{}");
    take(w, TRACE_BATCH);
    while (trace_service_figures(w->service).failed < TRACE_BATCH)
        loop_turn(w->loop, 100);
    take(w, 1);
    trace_service_hurry(w->service);
    assert_true(trace_service_is_empty(w->service));
    trace_service_set_conf(w->service, &w->conf);
    take(w, 2 * TRACE_BATCH); /* a call, which gets no answer */
    assert_false(trace_service_is_empty(w->service));
    turn_until_empty(w);
    take(w, TRACE_BATCH);
    assert_true(trace_service_is_empty(w->service));
    assert_int_equal(trace_service_figures(w->service).failed, TRACE_BATCH);
}

static void test_without_a_receiver(void **state)
{
    world_t *w = *state;
    char none[] = "";
    w->conf.tracing.otlp = none;
    trace_service_set_conf(w->service, &w->conf);
    take(w, 1);
    trace_service_take(w->service, STR("junk"));
    assert_int_equal(trace_service_figures(w->service).over, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_batches, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_queue_is_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failures_are_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_end, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_end_with_a_bad_receiver, setup, teardown),
        cmocka_unit_test_setup_teardown(test_without_a_receiver, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
