/* Which open tunnels end, and how. */
#include "store_fixture.h"
#include "worker_fixture.h"

#include "routes.h"
#include "tunnel.h"

#define WITHDRAWN                                                                                            \
    STR("\x88\x16\x03\xf0"                                                                                   \
        "access was withdrawn")

static exchange_world_t *open_tunnel(uint64_t version, uint64_t expires_at)
{
    exchange_world_t *world = worker_world_new();
    *test_preview(world->ex) =
        (store_preview_t){.id = "my-box", .port = 3000, .version = version, .expires_at = expires_at};
    world_open_tunnel(world);
    assert_int_equal(world->fixture->counters.tunnels_open, 1);
    return world;
}

static context_t *context_of(exchange_world_t *world)
{
    return world->fixture->context;
}

static void expect_open(exchange_world_t *world)
{
    assert_int_equal(world->ex->state, EXCHANGE_TUNNEL);
    assert_int_equal(world->out_n + world->ends + world->cuts + world->cancels, 0);
}

static void expect_goodbye(exchange_world_t *world, const char *code)
{
    assert_int_equal(world->ex->state, EXCHANGE_DONE);
    assert_true(str_eq(str_make(world->out, world->out_n), WITHDRAWN));
    assert_int_equal(world->ends, 1);
    assert_int_equal(world->cuts, 0);
    assert_int_equal(world->cancels, 1);
    assert_string_equal(world->ex->local_code, code);
}

static void of_a_preview(void **state)
{
    (void)state;
    exchange_world_t *world = open_tunnel(7, 0);
    context_t *context = context_of(world);
    tunnels_close_preview(context, STR("my-box"), 3001, UINT64_MAX);
    tunnels_close_preview(context, STR("my-bo"), 3000, UINT64_MAX);
    tunnels_close_preview(context, STR("my-box2"), 3000, UINT64_MAX);
    tunnels_close_preview(context, STR("my-box"), 3000, 7); /* the present version admitted it */
    expect_open(world);
    tunnels_close_preview(context, STR("my-box"), 3000, 8);
    expect_goodbye(world, "withdrawn");
    tunnels_close_preview(context, STR("my-box"), 3000, 9); /* closed: no further message */
    expect_goodbye(world, "withdrawn");
    exchange_world_free(world);
}

static void expired(void **state)
{
    (void)state;
    exchange_world_t *never = open_tunnel(1, 0);
    tunnels_close_expired(context_of(never));
    expect_open(never);
    exchange_world_free(never);
    exchange_world_t *world = open_tunnel(1, 1);
    uint64_t now = loop_wall_us(context_of(world)->loop) / 1000000;
    test_preview(world->ex)->expires_at = now + 1;
    tunnels_close_expired(context_of(world));
    expect_open(world);
    test_preview(world->ex)->expires_at = now;
    tunnels_close_expired(context_of(world));
    expect_goodbye(world, "expired");
    exchange_world_free(world);
}

/* Judged by the store's present record: a worker may have missed messages. */
static void outdated(void **state)
{
    (void)state;
    fixture_t dirs;
    _Atomic uint64_t epoch = 1;
    fixture_make(&dirs);
    fixture_open(&dirs, FIXTURE_MAP_BYTES);
    store_preview_t preview = fixture_preview("my-box", 3000);
    assert_int_equal(store_put_preview(dirs.store, &preview), STORE_OK);
    for (unsigned deleted = 0; deleted < 2; deleted++) {
        assert_int_equal(store_get_preview(dirs.store, STR("my-box"), 3000, &preview), STORE_OK);
        exchange_world_t *world = open_tunnel(preview.version, 0);
        worker_t *worker = worker_of(context_of(world));
        worker->routes = routes_new(dirs.store, STR("p.example"), &epoch);
        world->ex->request.authority = STR("my-box-3000.p.example");
        tunnels_close_outdated(context_of(world));
        expect_open(world);
        world->ex->routed = true;
        tunnels_close_outdated(context_of(world));
        expect_open(world);
        if (deleted == 0)
            assert_int_equal(store_put_preview(dirs.store, &preview), STORE_OK); /* another version */
        else
            assert_int_equal(store_delete_preview(dirs.store, STR("my-box"), 3000), STORE_OK);
        atomic_fetch_add(&epoch, 1);
        tunnels_close_outdated(context_of(world));
        expect_goodbye(world, "withdrawn");
        routes_free(&worker->routes);
        exchange_world_free(world);
    }
    fixture_remove(&dirs);
}

/* Within a frame of the box the edge cannot send a Close frame. */
static void within_a_frame(void **state)
{
    (void)state;
    exchange_world_t *world = open_tunnel(7, 0);
    exchange_response_body(world->ex, STR("\x82\x05"
                                          "12"));
    exchange_response_flush(world->ex);
    tunnels_close_preview(context_of(world), STR("my-box"), 3000, 8);
    assert_int_equal(world->ex->state, EXCHANGE_DONE);
    assert_int_equal(world->out_n, 4);
    assert_int_equal(world->cuts, 1);
    assert_int_equal(world->cancels, 1);
    exchange_world_free(world);
}

static void without_tunnels(void **state)
{
    (void)state;
    exchange_world_t *world = worker_world_new(); /* no tunnel was ever open in this worker */
    tunnels_close_preview(context_of(world), STR("my-box"), 3000, 8);
    tunnels_close_expired(context_of(world));
    tunnels_close_blocked(context_of(world));
    tunnels_close_outdated(context_of(world));
    exchange_world_free(world);
}

/* The second of the last minute in which the tunnel of the request with that id gets its Close frame. */
static unsigned closing_second(unsigned id, uint64_t drain_tunnels_ms)
{
    exchange_world_t *world = open_tunnel(7, 0);
    context_t *context = context_of(world);
    unsigned second = 0;
    loop_hold(context->loop);
    snprintf(world->ex->request_id, sizeof(world->ex->request_id), "request-%u", id);
    context->tunnels_until_ms = loop_now(context->loop) + drain_tunnels_ms;
    tunnel_drain(world->ex);
    loop_skip(context->loop, drain_tunnels_ms - 60000 - 1);
    loop_turn(context->loop, 0);
    expect_open(world);
    while (world->ex->state == EXCHANGE_TUNNEL && second < 60) {
        loop_skip(context->loop, 1000);
        loop_turn(context->loop, 0);
        second++;
    }
    assert_memory_equal(world->out, "\x88", 1);
    assert_memory_equal(world->out + 2, "\x03\xf4", 2); /* 1012 */
    exchange_world_free(world);
    return second;
}

/* Those that outlive an upgrade return spread over the last minute, and before its end. */
static void restarted_in_the_last_minute(void **state)
{
    (void)state;
    unsigned closed[61] = {0}, seconds = 0;
    for (unsigned id = 0; id < 200; id++)
        closed[closing_second(id, 3600000)]++;
    for (unsigned second = 0; second <= 60; second++) {
        seconds += closed[second] != 0;
        assert_in_range(closed[second], 0, 20);
    }
    assert_in_range(seconds, 40, 55);
    assert_int_equal(closed[56] + closed[57] + closed[58] + closed[59] + closed[60], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(restarted_in_the_last_minute),
        cmocka_unit_test(of_a_preview),
        cmocka_unit_test(expired),
        cmocka_unit_test(outdated),
        cmocka_unit_test(within_a_frame),
        cmocka_unit_test(without_tunnels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
