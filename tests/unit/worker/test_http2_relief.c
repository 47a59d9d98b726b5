/* Memory is short, and one connection's streams make no progress: first they close, then, if the connection
 * holds memory again, it closes itself. The tests hold the loop's clock. */
#include "http2_world.h"

#include "budget.h"
#include "relief.h"

static int set_up(void **state)
{
    world_t *world = malloc(sizeof(*world));
    world_start(world);
    loop_hold(world->loop);
    loop_skip(world->loop, EXCHANGE_STALL_MS);
    http2_world_connect(world);
    world_pump(world);
    world->context->memory.held += world->conf.limits.memory_bytes; /* by others */
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    world_t *world = *state;
    world->context->memory.held -= world->conf.limits.memory_bytes;
    world_stop(world);
    free(world);
    return 0;
}

/* Advances the clock, and gives relief its turns. */
static void pass(world_t *world, uint64_t ms)
{
    for (uint64_t gone = 0; gone < ms && !world_closed(world); gone += RELIEF_PERIOD_MS) {
        loop_skip(world->loop, RELIEF_PERIOD_MS);
        relief_turn(world->context);
        world_pump(world);
    }
}

static int32_t hold(world_t *world)
{
    int32_t id = world_request(world, "GET", "/", NULL, 0);
    world_pump(world);
    return id;
}

static void expect(const world_t *world, unsigned resets, unsigned closes)
{
    assert_int_equal(world->counters.memory_resets_total, resets);
    assert_int_equal(world->counters.memory_closes_total, closes);
    assert_int_equal(world_closed(world), closes != 0);
}

/* Its stream is stalled, and taken; a moment earlier it is not. */
static void lose_one(world_t *world)
{
    int32_t id = hold(world);
    pass(world, EXCHANGE_STALL_MS - RELIEF_PERIOD_MS);
    expect(world, 0, 0);
    pass(world, RELIEF_PERIOD_MS);
    expect(world, 1, 0);
    assert_true(world_seen(world, id)->reset);
}

static void test_a_connection_that_holds_again_is_closed(void **state)
{
    world_t *world = *state;
    lose_one(world);
    (void)hold(world);
    pass(world, EXCHANGE_STALL_MS - RELIEF_PERIOD_MS);
    expect(world, 1, 0);
    assert_false(world->goaway);
    pass(world, RELIEF_PERIOD_MS);
    expect(world, 1, 1);
    assert_int_equal(world->goaway_code, NGHTTP2_ENHANCE_YOUR_CALM);
}

/* However long it pauses in between. */
static void test_one_that_holds_again_later(void **state)
{
    world_t *world = *state;
    uint64_t others = world->conf.limits.memory_bytes / 2;
    lose_one(world);
    world->context->memory.held -= others; /* not short meanwhile: idle connections stay */
    pass(world, 4 * EXCHANGE_STALL_MS);
    expect(world, 1, 0);
    world->context->memory.held += others;
    (void)hold(world);
    pass(world, EXCHANGE_STALL_MS - RELIEF_PERIOD_MS);
    expect(world, 1, 0);
    pass(world, RELIEF_PERIOD_MS);
    expect(world, 1, 1);
}

/* It is idle: closed for the memory of its session, like any idle connection. */
static void test_one_that_holds_nothing(void **state)
{
    world_t *world = *state;
    lose_one(world);
    pass(world, EXCHANGE_STALL_MS - RELIEF_PERIOD_MS);
    expect(world, 1, 0);
    assert_int_equal(world->counters.connections_given_up_total, 0);
    pass(world, RELIEF_PERIOD_MS);
    assert_true(world_closed(world) && world->goaway);
    assert_int_equal(world->goaway_code, NGHTTP2_NO_ERROR);
    assert_int_equal(world->counters.connections_given_up_total, 1);
    assert_int_equal(world->counters.memory_closes_total, 0);
}

/* Its streams are all younger than EXCHANGE_STALL_MS, as its client replaces them. */
static void test_streams_that_replace_each_other(void **state)
{
    world_t *world = *state;
    for (unsigned i = 0; i < 4 && !world_closed(world); i++) {
        int32_t id = hold(world);
        pass(world, EXCHANGE_STALL_MS - 2 * RELIEF_PERIOD_MS);
        if (world_closed(world))
            break;
        assert_int_equal(nghttp2_submit_rst_stream(world->client, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL), 0);
        world_pump(world);
    }
    expect(world, 0, 1);
    assert_int_equal(world->goaway_code, NGHTTP2_ENHANCE_YOUR_CALM);
}

static char body[HTTP2_PROGRESS_BYTES];

static void test_progress_keeps_the_connection(void **state)
{
    world_t *world = *state;
    int32_t moving = hold(world);
    exchange_t *download = world->last;
    origin_head(download, 200, LENGTH_UNKNOWN, false, false);
    for (unsigned i = 0; i < 8; i++) {
        int32_t stalled = hold(world);
        for (unsigned j = 0; j < 4; j++) {
            origin_body(download, body, sizeof(body));
            pass(world, EXCHANGE_STALL_MS / 4);
        }
        expect(world, i + 1, 0);
        assert_true(world_seen(world, stalled)->reset);
    }
    assert_false(world_seen(world, moving)->reset);
}

/* A short response of the app is progress, too. */
static void test_answers_keep_the_connection(void **state)
{
    world_t *world = *state;
    for (unsigned i = 0; i < 4; i++) {
        (void)hold(world);
        pass(world, EXCHANGE_STALL_MS - RELIEF_PERIOD_MS);
        (void)hold(world);
        origin_head(world->last, 204, 0, true, false);
        origin_end(world->last);
        pass(world, RELIEF_PERIOD_MS);
        expect(world, i + 1, 0);
    }
}

/* Below three quarters no stream is taken, and earlier takings are no reason to close. */
static void test_only_while_memory_is_short(void **state)
{
    world_t *world = *state;
    uint64_t memory = world->conf.limits.memory_bytes;
    lose_one(world);
    world->context->memory.held -= memory / 2;
    (void)hold(world);
    pass(world, 4 * EXCHANGE_STALL_MS);
    expect(world, 1, 0);
    world->context->memory.held += memory / 2;
    pass(world, RELIEF_PERIOD_MS);
    expect(world, 1, 1);
}

static void test_a_trusted_proxy_stays(void **state)
{
    world_t *world = *state;
    conf_proxy_t all = {.network.bits = 0};
    world->conf.trusted = &all;
    world->conf.trusted_count = 1;
    for (unsigned i = 0; i < 4; i++) {
        (void)hold(world);
        pass(world, EXCHANGE_STALL_MS);
        expect(world, i + 1, 0);
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_a_connection_that_holds_again_is_closed),
        T(test_one_that_holds_again_later),
        T(test_one_that_holds_nothing),
        T(test_streams_that_replace_each_other),
        T(test_progress_keeps_the_connection),
        T(test_answers_keep_the_connection),
        T(test_only_while_memory_is_short),
        T(test_a_trusted_proxy_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
