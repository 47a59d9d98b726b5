/* Features of the edge behind the HTTP/2 server: tunnels that the edge closes, and pages of other origins. */
#include "http2_world.h"

#include "linger.h"
#include "list.h"
#include "tunnel.h"
#include "worker.h"

static int set_up(void **state)
{
    static worker_t worker;
    static world_t world;
    worker = (worker_t){.birth = 0};
    *state = &world;
    world_start_in(&world, &worker.context, &edge_pipeline);
    loop_hold(world.loop);
    return 0;
}

static int tear_down(void **state)
{
    world_stop(*state);
    return 0;
}

/* ---- tunnels that the edge closes ---- */

/* Its exchange is over immediately. */
static int32_t withdrawn(world_t *world)
{
    http2_world_connect(world);
    const nghttp2_nv nva[] = {nv(":method", "CONNECT"), nv(":protocol", "websocket"),
                              nv(":scheme", "https"),   nv(":authority", "box-3000.preview.test"),
                              nv(":path", "/ws"),       nv("sec-websocket-version", "13")};
    int32_t id = world_raw_upload(world, nva, 6, "", 0, true);
    world_pump(world);
    origin_head(world->last, 101, LENGTH_UNKNOWN, false, true);
    tunnels_close_preview(world->context, STR(""), 0, 1);
    world_pump(world);
    assert_true(world_seen(world, id)->ended);
    assert_int_equal(world->counters.exchanges_open, 0);
    return id;
}

static void test_tunnel_ends_with_its_client(void **state)
{
    world_t *world = *state;
    int32_t id = withdrawn(world);
    world_upload_more(world, id, "\x88\x80\0\0\0\0", 6, false);
    world_pump(world);
    assert_true(world_seen(world, id)->closed && !world_seen(world, id)->reset);
    assert_true(list_is_empty(&((http2_conn_t *)world->server)->rests));
}

/* A client that continues in spite of the Close frame keeps no stream. */
static void test_tunnel_of_a_silent_client(void **state)
{
    world_t *world = *state;
    int32_t id = withdrawn(world);
    loop_skip(world->loop, LINGER_IDLE_MS);
    world_pump(world);
    assert_true(world_seen(world, id)->reset);
    assert_int_equal(world_seen(world, id)->code, NGHTTP2_NO_ERROR);
    assert_true(list_is_empty(&((http2_conn_t *)world->server)->rests));
    assert_false(world->goaway);
}

/* ---- pages of other origins ---- */

/* In a refused head, Host and Origin count if they were read, and only with one reading (docs/http.md, "Pages
 * of other origins"). */
static void test_whose_origin_counts(void **state)
{
    world_t *world = *state;
    static char *hosts[] = {"a-1.test"};
    static conf_origin_t listed[] = {{"https://b.test"}};
    world->conf.api.hosts = hosts;
    world->conf.api.host_count = 1;
    world->conf.api.cors = listed;
    world->conf.api.cors_count = 1;
    http2_world_connect(world);
#define ORIGIN NV("origin", "https://b.test")
#define EXPECT NV("expect", "a-miracle")
    static const struct {
        bool counts;
        nghttp2_nv nva[8];
    } rows[] = {
        {true, {METHOD, SCHEME, AUTHORITY, PATH, ORIGIN, EXPECT}},
        {true, {METHOD, SCHEME, PATH, NV("host", "a-1.test"), ORIGIN, EXPECT}},
        {true, {METHOD, SCHEME, AUTHORITY, PATH, NV("host", "A-1.test:443"), ORIGIN, EXPECT}},
        {true, {METHOD, SCHEME, AUTHORITY, NV(":path", "/a#b"), ORIGIN}},
        {true, {NV(":method", "CONNECT"), AUTHORITY, ORIGIN}},
        {true, {METHOD, SCHEME, AUTHORITY, PATH, ORIGIN, NV("content-length", "3")}},
        {false, {METHOD, SCHEME, AUTHORITY, PATH, NV("origin", "https://c.test"), EXPECT}},
        {false, {METHOD, SCHEME, NV(":authority", "c.test"), PATH, ORIGIN, EXPECT}},
        {false, {METHOD, SCHEME, AUTHORITY, PATH, NV("host", "c.test"), ORIGIN, EXPECT}},
        {false, {METHOD, SCHEME, AUTHORITY, PATH, ORIGIN, ORIGIN}},
        {false, {METHOD, SCHEME, AUTHORITY, PATH, ORIGIN, NV("a b", "c")}},
        {false, {METHOD, SCHEME, AUTHORITY, AUTHORITY, PATH, ORIGIN}},
        {false, {METHOD, SCHEME, NV(":authority", "u@a-1.test"), PATH, ORIGIN}},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int32_t id = world_raw_request(world, rows[i].nva, world_nv_count(rows[i].nva));
        world_pump(world);
        const seen_t *seen = world_seen(world, id);
        bool counts = strstr(seen->fields, "access-control-allow-credentials: true\n") != NULL;
        if (seen->status < 400 || counts != rows[i].counts)
            fail_msg("%zu: status %d, fields %s", i, seen->status, seen->fields);
    }
#undef ORIGIN
#undef EXPECT
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_tunnel_ends_with_its_client),
        T(test_tunnel_of_a_silent_client),
        T(test_whose_origin_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
