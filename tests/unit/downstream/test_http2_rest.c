/* Uploads over HTTP/2 that are answered before their end: the rest is accepted within bounds, and no reset
 * comes before the client has ended. */
#include "http2_world.h"

#include "list.h"

static char big[300000];

static int set_up(void **state)
{
    static world_t world;
    *state = &world;
    world_start(&world);
    loop_hold(world.loop);
    http2_world_connect(&world);
    return 0;
}

static int tear_down(void **state)
{
    world_t *world = *state;
    world_stop(world);
    linger_rates_free(&world->context->linger_rates);
    return 0;
}

static list_t *rests(world_t *world)
{
    return &((http2_conn_t *)world->server)->rests;
}

/* The same with these fields. */
static int32_t refused_with(world_t *world, const nghttp2_nv *fields, size_t count)
{
    int32_t id = world_upload(world, fields, count, big, sizeof(big), true);
    world->origin_room = 0;
    world_pump(world);
    origin_head(world->last, 403, 2, false, false);
    origin_body(world->last, "no", 2);
    origin_end(world->last);
    world_pump(world);
    assert_int_equal(world_seen(world, id)->status, 403);
    assert_true(world_seen(world, id)->ended);
    return id;
}

/* An upload that stays open, answered with 403 while the box takes nothing. */
static int32_t refused(world_t *world)
{
    return refused_with(world, NULL, 0);
}

/* The exchange is over immediately; the client sends all its bytes, and nothing is reset. */
static void test_sent_to_the_end(void **state)
{
    world_t *world = *state;
    int32_t id = refused(world);
    assert_int_equal(world->counters.exchanges_open, 0);
    assert_int_equal(world->context->memory.held, ((http2_conn_t *)world->server)->memory.bytes);
    assert_int_equal(world_seen(world, id)->upload_left, 0);
    for (unsigned i = 0; i < 20; i++) {
        world_upload_more(world, id, big, sizeof(big), true);
        world_pump(world);
        assert_int_equal(world_seen(world, id)->upload_left, 0);
    }
    world_upload_more(world, id, big, 1, false);
    world_pump(world);
    assert_true(world_seen(world, id)->closed && !world_seen(world, id)->reset);
    assert_false(world->goaway);
    assert_true(list_is_empty(rests(world)));
    /* All but the window that was held when it was answered. */
    assert_int_equal(world->counters.discarded_bytes_total, 21 * sizeof(big) + 1 - HTTP2_WINDOW_MIN);
}

/* RFC 9113 section 8.1.1 holds for the rest, too. */
static void test_its_length_is_checked(void **state)
{
    static const struct {
        size_t more;
        bool wrong;
    } cases[] = {{9, true}, {10, false}, {11, true}};
    world_t *world = *state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        nghttp2_nv length = nv("content-length", "300010"); /* 10 more than had arrived before the answer */
        int32_t id = refused_with(world, &length, 1);
        world_upload_more(world, id, big, cases[i].more, false);
        world_pump(world);
        assert_int_equal(world_seen(world, id)->reset, cases[i].wrong);
        assert_int_equal(world_seen(world, id)->code, cases[i].wrong ? NGHTTP2_PROTOCOL_ERROR : 0);
        assert_true(list_is_empty(rests(world)));
        assert_false(world->goaway);
    }
}

static void test_trailers_end_it(void **state)
{
    world_t *world = *state;
    int32_t id = refused(world);
    nghttp2_nv trailer = nv("x-sum", "9");
    assert_int_equal(nghttp2_submit_trailer(world->client, id, &trailer, 1), 0);
    world_pump(world);
    assert_true(world_seen(world, id)->closed && !world_seen(world, id)->reset && !world->goaway);
}

/* RFC 9113 section 8.1: fields after the body are the end. */
static void test_fields_that_do_not_end_it(void **state)
{
    world_t *world = *state;
    int32_t id = refused(world);
    nghttp2_nv field = nv("x-sum", "9");
    assert_int_equal(nghttp2_submit_headers(world->client, NGHTTP2_FLAG_NONE, id, NULL, &field, 1, NULL), 0);
    world_pump(world);
    assert_true(world_seen(world, id)->reset);
    assert_int_equal(world_seen(world, id)->code, NGHTTP2_PROTOCOL_ERROR);
    assert_true(list_is_empty(rests(world)));
    assert_false(world->goaway);
}

static void test_reset_ends_it(void **state)
{
    world_t *world = *state;
    int32_t id = refused(world);
    assert_int_equal(nghttp2_submit_rst_stream(world->client, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL), 0);
    world_pump(world);
    assert_true(list_is_empty(rests(world)));
    assert_false(world->goaway);
}

static void assert_let_go(world_t *world, int32_t id)
{
    assert_true(world_seen(world, id)->reset);
    assert_int_equal(world_seen(world, id)->code, NGHTTP2_NO_ERROR);
    assert_true(list_is_empty(rests(world)));
    assert_false(world->goaway);
}

static void test_idle(void **state)
{
    world_t *world = *state;
    int32_t id = refused(world);
    loop_skip(world->loop, LINGER_IDLE_MS - 1);
    world_pump(world);
    assert_false(world_seen(world, id)->reset);
    loop_skip(world->loop, 1);
    world_pump(world);
    assert_let_go(world, id);
}

static void test_slow(void **state)
{
    world_t *world = *state;
    int32_t id = refused(world);
    for (unsigned ms = 0; ms < LINGER_WHOLE_MS; ms += LINGER_IDLE_MS / 2) {
        assert_false(world_seen(world, id)->reset);
        world_upload_more(world, id, big, 1, true);
        world_pump(world);
        loop_skip(world->loop, LINGER_IDLE_MS / 2);
    }
    world_pump(world);
    assert_let_go(world, id);
}

/* A client over its rate gets no window for a while; other streams continue. */
static void test_rate(void **state)
{
    world_t *world = *state;
    static const linger_handlers_t none;
    linger_t other = {.bytes = 0};
    world->context->linger_rates = linger_rates_new();
    remote_t remote = remote_of_connection(world->server);
    linger_begin(&other, world->server, &remote, &none);
    assert_int_equal(linger_take(&other, LINGER_BURST_BYTES), LINGER_READ_ON);
    linger_end(&other);
    int32_t id = refused(world);
    for (unsigned i = 0; i < 10; i++) {
        world_upload_more(world, id, big, sizeof(big), true);
        world_pump(world);
        if (world_seen(world, id)->upload_left != 0)
            break;
    }
    assert_int_not_equal(world_seen(world, id)->upload_left, 0);
    world->answer_at_once = true;
    world->origin_room = 65536;
    int32_t next = world_upload(world, NULL, 0, big, sizeof(big), false);
    world_pump(world);
    assert_int_equal(world_seen(world, next)->status, 200);
    loop_skip(world->loop, LINGER_PAUSE_MS);
    world_pump(world);
    assert_int_equal(world_seen(world, id)->upload_left, 0);
    assert_false(world_seen(world, id)->reset);
}

/* An edge that cannot spend time on the client does not wait for it. */
static void test_overloaded(void **state)
{
    world_t *world = *state;
    int32_t id = world_upload(world, NULL, 0, big, sizeof(big), true);
    world->origin_room = 0;
    world_pump(world);
    exchange_refuse(world->last, 503, "overloaded", "Busy.", NULL);
    world_pump(world);
    assert_int_equal(world_seen(world, id)->status, 503);
    assert_true(world_seen(world, id)->ended);
    assert_let_go(world, id);
}

/* It counts among the client's allowed streams. */
static void test_counts_as_a_stream(void **state)
{
    world_t *world = *state;
    world->answer_at_once = true;
    for (unsigned i = 0; i < world->conf.limits.streams; i++)
        (void)world_upload(world, NULL, 0, big, 100, true);
    world_pump(world);
    int32_t id = world_request(world, "GET", "/", NULL, 0);
    world_pump(world);
    assert_int_equal(world_seen(world, id)->status, 0);
    loop_skip(world->loop, LINGER_IDLE_MS);
    world_pump(world);
    assert_int_equal(world_seen(world, id)->status, 200);
}

static void test_client_leaves(void **state)
{
    world_t *world = *state;
    (void)refused(world);
    assert_int_equal(shutdown(world->fd, SHUT_WR), 0);
    world_pump(world);
    assert_true(world_closed(world));
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {T(test_sent_to_the_end),
                                       T(test_its_length_is_checked),
                                       T(test_trailers_end_it),
                                       T(test_fields_that_do_not_end_it),
                                       T(test_reset_ends_it),
                                       T(test_idle),
                                       T(test_slow),
                                       T(test_rate),
                                       T(test_overloaded),
                                       T(test_counts_as_a_stream),
                                       T(test_client_leaves)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
