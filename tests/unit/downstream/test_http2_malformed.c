/* Malformed requests (RFC 9113 section 8.1.1): their answer, and the reset behind it. */
#include "http2_world.h"

static void test_bad_trailers(void **state)
{
    world_t *world = *state;
    http2_world_connect(world);
    int32_t id = world_upload(world, NULL, 0, "abc", 3, true);
    world_pump(world);
    nghttp2_nv trailer = nv("authorization", "x");
    assert_int_equal(nghttp2_submit_trailer(world->client, id, &trailer, 1), 0);
    world_pump(world);
    assert_true(world_seen(world, id)->reset);
    assert_int_equal(world_seen(world, id)->code, NGHTTP2_PROTOCOL_ERROR);
    assert_int_equal(world->cancelled, 1);
}

/* RFC 9113 section 8.1.1: the whole answer, then RST_STREAM(PROTOCOL_ERROR) in place of END_STREAM, also for
 * an answer without a body. */
static void test_malformed(void **state)
{
    world_t *world = *state;
    static const char *const methods[] = {"GET", "HEAD"};
    nghttp2_nv bad = nv("connection", "close");
    http2_world_connect(world);
    for (size_t i = 0; i < 2; i++) {
        int32_t id = world_request(world, methods[i], "/", &bad, 1);
        world_pump(world);
        const seen_t *seen = world_seen(world, id);
        assert_int_equal(seen->status, 400);
        assert_true(seen->reset && !seen->ended);
        assert_int_equal(seen->code, NGHTTP2_PROTOCOL_ERROR);
        assert_true((seen->body == 0) == (i == 1));
        assert_int_equal(world->counters.exchanges_open, 0);
        assert_int_equal(world->counters.client_departures_total, 0);
    }
    assert_int_equal(world->started, 0);
}

/* A client that does not answer the PING still gets the reset; a client that leaves has had its answer. */
static void test_malformed_without_a_pong(void **state)
{
    world_t *world = *state;
    nghttp2_nv bad = nv("connection", "close");
    http2_world_connect(world);
    world_pump(world);
    world->reads = false;
    for (int i = 0; i < 2; i++) {
        (void)world_request(world, "GET", "/", &bad, 1);
        world_pump(world);
        assert_int_equal(world->counters.exchanges_open, 1);
        if (i == 0)
            loop_skip(world->loop, HTTP2_NOTICE_MS);
        else
            (void)shutdown(world->fd, SHUT_RDWR);
        world_pump(world);
        assert_int_equal(world->counters.exchanges_open, 0);
        assert_int_equal(world->counters.client_departures_total, 0);
    }
}

/* The answer waits for the client's window like any other, and a second offence ends the wait. */
static void test_malformed_without_a_window(void **state)
{
    world_t *world = *state;
    nghttp2_nv bad = nv("connection", "close"), trailer = nv("x", "y");
    const nghttp2_settings_entry none = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0};
    http2_world_connect(world);
    assert_int_equal(nghttp2_submit_settings(world->client, NGHTTP2_FLAG_NONE, &none, 1), 0);
    world_pump(world);
    int32_t id = world_upload(world, &bad, 1, "abc", 3, true);
    world_pump(world);
    const seen_t *seen = world_seen(world, id);
    assert_int_equal(seen->status, 400);
    assert_false(seen->reset);
    assert_int_equal(nghttp2_submit_headers(world->client, NGHTTP2_FLAG_NONE, id, NULL, &trailer, 1, NULL),
                     0);
    world_pump(world);
    assert_true(seen->reset);
    assert_int_equal(seen->code, NGHTTP2_PROTOCOL_ERROR);
    assert_int_equal(seen->body, 0);
    assert_int_equal(world->counters.exchanges_open, 0);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, world_set_up, world_tear_down)
    const struct CMUnitTest tests[] = {T(test_bad_trailers), T(test_malformed),
                                       T(test_malformed_without_a_window), T(test_malformed_without_a_pong)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
