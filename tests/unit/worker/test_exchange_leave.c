/* An exchange that is answered, cut or ended while a step waits is not resumed afterwards: every wait of a
 * worker, every way in which its client's codec ends it, and every event that the wait was for. */
#include "wake_world.h"

#include "api.h"
#include "arena.h"
#include "wake_times.h"
#include "worker.h"

/* How a codec ends an exchange whose step waits. */
typedef enum way { BAD_BODY, BODY_TIMEOUT, RESET, HALF_CLOSE_THEN_RESET, DRAIN_THEN_BAD_BODY, WAYS } way_t;

/* The box's later state. */
typedef enum event { RUNS, FAILS, IS_GONE, NOTHING_FOR_LONG, EVENTS } event_t;

static int setup(void **state)
{
    wake_world_t *w = wake_world_new();
    w->worker->upstream_queue = upstream_queue_new(w->worker);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    wake_world_t *w = *state;
    exchange_end(&w->world->ex, EXCHANGE_END_COMPLETE);
    upstream_queue_free(&w->worker->upstream_queue);
    w->world->ex = exchange_new(&w->world->fixture->client, &world_client_ops, w->world);
    wake_world_free(w);
    return 0;
}

static void end_by(wake_world_t *w, way_t way)
{
    exchange_world_t *world = w->world;
    switch (way) {
    case DRAIN_THEN_BAD_BODY:
        exchange_drain(world->ex);
        assert_int_equal(world->ex->state, EXCHANGE_STEPS);
        exchange_refuse(world->ex, 400, "bad_chunk", "The request's chunked body is not valid.", NULL);
        break;
    case BAD_BODY:
        exchange_refuse(world->ex, 400, "bad_chunk", "The request's chunked body is not valid.", NULL);
        break;
    case BODY_TIMEOUT:
        exchange_refuse(world->ex, 408, "request_timeout", "The request's body did not come in time.", NULL);
        break;
    case HALF_CLOSE_THEN_RESET:
        exchange_client_half_closed(world->ex);
        exchange_end(&world->ex, EXCHANGE_END_CLIENT_GONE);
        break;
    default:
        exchange_end(&world->ex, EXCHANGE_END_CLIENT_GONE);
        break;
    }
}

static bool answers(way_t way)
{
    return way != RESET && way != HALF_CLOSE_THEN_RESET;
}

/* The answer that the client does not take stays the only one. */
static void expect_answered(const wake_world_t *w, way_t way)
{
    const exchange_world_t *world = w->world;
    assert_int_equal(world->heads, 1);
    assert_int_equal(world->ends, 0);
    assert_int_equal(world->ex->status, way == BODY_TIMEOUT ? 408 : 400);
    assert_int_equal(world->ex->state, EXCHANGE_RESPONSE);
    assert_null(world->ex->origin_ops);
}

/* An exchange that the world may end: the next one, or a fresh one if the last has ended. */
static exchange_t *fresh(wake_world_t *w)
{
    exchange_world_t *world = w->world;
    if (world->ex == NULL)
        world->ex = exchange_new(&world->fixture->client, &world_client_ops, world);
    world->informational_count = 0;
    exchange_t *ex = wake_world_next(w);
    ex->request.method = STR("POST");
    ex->request.has_body = true;
    world->room = 0; /* its client takes no byte of a body */
    return ex;
}

/* ---- a box ---- */

static void happens(wake_world_t *w, event_t event)
{
    switch (event) {
    case RUNS:
        wake_world_runs(w, NULL);
        break;
    case FAILS:
        wake_world_ends(w, WAKE_FAILED, NULL);
        break;
    case IS_GONE:
        wake_world_ends(w, WAKE_GONE, NULL);
        break;
    default:
        wake_world_skip(w, 60000);
        break;
    }
}

static void wait_for_box(wake_world_t *w, way_t way, event_t event, bool navigation)
{
    exchange_t *ex = fresh(w);
    if (navigation) {
        ex->request.method = STR("GET");
        wake_world_field(ex, "Sec-Fetch-Mode", "navigate");
    }
    exchange_start(ex);
    assert_int_equal(ex->state, EXCHANGE_STEPS);
    assert_int_equal(w->worker->context.counters->wake_waiters, 1);
    end_by(w, way);
    assert_int_equal(w->worker->context.counters->wake_waiters, 0);
    assert_false(wake_goes_on(w->worker->wake_client, STR("box"), 3000));
    if (answers(way))
        assert_int_equal(wake_outcome(ex), WAKE_OUTCOME_LEFT);
    happens(w, event);
    if (answers(way))
        expect_answered(w, way);
}

static void a_box_wakes_or_fails_for_nobody(void **state)
{
    for (int way = 0; way < WAYS; way++)
        for (int event = 0; event < EVENTS; event++) {
            wait_for_box(*state, (way_t)way, (event_t)event, false);
            wait_for_box(*state, (way_t)way, (event_t)event, true);
        }
}

/* Other requests that wait for the same box are not disturbed. */
static void the_others_go_on(void **state)
{
    wake_world_t *w = *state;
    for (int way = 0; way < WAYS; way++) {
        exchange_t *ex = fresh(w);
        exchange_start(ex);
        wake_waiter_t other = {.done = NULL};
        assert_true(wake_wait(w->worker->wake_client, &other, STR("box"), 3000, 1));
        end_by(w, (way_t)way);
        assert_true(wake_goes_on(w->worker->wake_client, STR("box"), 3000));
        wake_leave(&other);
    }
}

/* The answer comes when the box runs already and this request's turn has not come. */
static void a_box_that_woke_in_the_same_turn(void **state)
{
    wake_world_t *w = *state;
    for (int way = 0; way < WAYS; way++) {
        exchange_t *ex = fresh(w);
        exchange_start(ex);
        ex->box.state = BOX_RUNNING;
        wake_world_ends(w, WAKE_OK, NULL); /* it is put off to a timer */
        end_by(w, (way_t)way);
        wake_world_skip(w, 1000);
        if (answers((way_t)way))
            expect_answered(w, (way_t)way);
    }
}

/* ---- a slot ---- */

static void leave_line(exchange_t *ex, await_end_t how)
{
    if (how == AWAIT_RESUMED)
        upstream_queue_turn(&ex->api->waiter);
    else
        upstream_queue_leave(worker_of(ex->context)->upstream_queue, &ex->api->waiter);
}

static const await_source_t line_source = {.name = "line", .leave = leave_line};

/* Continues to wait however often it looks for a slot: like pick while every server is full. */
static step_result_t step_line(exchange_t *ex)
{
    api_t *api = ex->api;
    if (api->waiter.ex == NULL)
        assert_true(upstream_queue_wait(worker_of(ex->context)->upstream_queue, &api->waiter, ex, 0, 100));
    else
        upstream_queue_wait_on(worker_of(ex->context)->upstream_queue, &api->waiter);
    await_begin(ex, &line_source);
    return STEP_WAIT;
}

static const exchange_step_t line_steps[] = {{"line", step_line}, {NULL, NULL}};

static void give_api(exchange_t *ex)
{
    api_t *api = arena_alloc(&ex->arena, sizeof(*api));
    *api = (api_t){.conf = conf_acquire(ex->context->conf), .outcome = BALANCE_LEFT};
    ex->api = api;
}

/* `looked`: number of looks for a slot before, all in vain. */
static void wait_for_place(wake_world_t *w, way_t way, unsigned looked)
{
    worker_t *worker = w->worker;
    exchange_t *ex = fresh(w);
    give_api(ex);
    exchange_start(ex);
    for (unsigned i = 0; i < looked; i++)
        wake_world_skip(w, 100);
    assert_true(upstream_queue_waiting(worker->upstream_queue, 0));
    end_by(w, way);
    assert_false(upstream_queue_waiting(worker->upstream_queue, 0));
    assert_int_equal(balance_waiters(shm_balance(worker->context.shm), 0), 0);
    upstream_queue_freed(worker->upstream_queue, 0);
    wake_world_skip(w, 100);
    if (answers(way))
        expect_answered(w, way);
}

static void a_place_comes_free_for_nobody(void **state)
{
    wake_world_t *w = *state;
    w->world->fixture->client.steps = line_steps;
    for (int way = 0; way < WAYS; way++)
        for (unsigned looked = 0; looked < 3; looked++)
            wait_for_place(w, (way_t)way, looked);
}

/* A call that resumes the second in the queue answers the first. */
static void a_line_of_two(void **state)
{
    wake_world_t *w = *state;
    upstream_waiter_t second = {.ex = NULL};
    w->world->fixture->client.steps = line_steps;
    exchange_t *ex = fresh(w);
    give_api(ex);
    exchange_start(ex);
    exchange_world_t *other = worker_world_new();
    assert_true(upstream_queue_wait(w->worker->upstream_queue, &second, other->ex, 0, 100));
    end_by(w, BAD_BODY);
    assert_true(upstream_queue_waiting(w->worker->upstream_queue, 0));
    upstream_queue_leave(w->worker->upstream_queue, &second);
    exchange_world_free(other);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_box_wakes_or_fails_for_nobody), TEST(the_others_go_on), TEST(a_box_that_woke_in_the_same_turn),
        TEST(a_place_comes_free_for_nobody),   TEST(a_line_of_two),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
