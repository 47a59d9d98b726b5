/* Windows of uploads on a connection: they grow with the distance, their credit counts against the memory
 * budget, and bytes held for one stream stall no other. The responses that a connection holds have a bound,
 * too. */
#include "http2_world.h"

#include "budget.h"

#define ROUND_TRIP 100

static char big[1000000];

static int set_up(void **state)
{
    static world_t world;
    *state = &world;
    world_start(&world);
    loop_hold(world.loop);
    world.conf.limits.memory_bytes = 256u * 1024 * 1024;
    http2_world_connect(&world);
    world_pump(&world);
    http2_conn_t *conn = (http2_conn_t *)world.server;
    assert_int_equal(conn->round_trip_ms, 1); /* its SETTINGS were acknowledged immediately */
    conn->round_trip_ms = ROUND_TRIP;
    world.origin_room = SIZE_MAX / 2; /* the box takes all */
    return 0;
}

static int tear_down(void **state)
{
    world_stop(*state);
    return 0;
}

static http2_conn_t *conn_of(world_t *world)
{
    return (http2_conn_t *)world->server;
}

/* One round trip: the client sends as much of its bytes as its window allows. Returns the number sent. */
static size_t round_trip(world_t *world, int32_t id)
{
    size_t before = world->taken, took;
    int32_t open = nghttp2_session_get_stream_remote_window_size(world->client, id);
    size_t left = (size_t)open;
    while (left != 0) {
        size_t n = left < sizeof(big) ? left : sizeof(big);
        world_upload_more(world, id, big, n, true);
        world_pump(world);
        took = n - world_seen(world, id)->upload_left;
        assert_int_not_equal(took, 0);
        left -= took;
    }
    loop_skip(world->loop, ROUND_TRIP);
    return world->taken - before;
}

/* Upper bound of the memory of the session and an exchange beside bodies and windows. */
#define OWN_BYTES 65536

static int32_t grow(world_t *world, unsigned rounds)
{
    int32_t id = world_upload(world, NULL, 0, "x", 1, true);
    world_pump(world);
    for (unsigned i = 0; i < rounds; i++)
        (void)round_trip(world, id);
    return id;
}

static void test_grows_to_the_widest(void **state)
{
    world_t *world = *state;
    int32_t id = grow(world, 8);
    assert_true(round_trip(world, id) >= HTTP2_WINDOW_MAX - 1024 * 1024);
    assert_true(nghttp2_session_get_stream_remote_window_size(world->client, id) <= HTTP2_WINDOW_MAX);
    uint64_t granted =
        (uint64_t)nghttp2_session_get_stream_remote_window_size(world->client, id) - HTTP2_WINDOW_MIN;
    assert_in_range(world->context->memory.held, granted, granted + OWN_BYTES);
    world_upload_more(world, id, big, 1, false);
    world_pump(world);
    assert_true(world->request_ended);
    assert_in_range(world->context->memory.held, 0, OWN_BYTES); /* no more comes */
}

/* Two streams take a connection's share; a third one has its first window. */
static void test_bound_of_the_connection(void **state)
{
    world_t *world = *state;
    int32_t ids[4];
    uint64_t all = 0;
    for (unsigned i = 0; i < 4; i++) {
        ids[i] = grow(world, 8);
        all += (uint64_t)nghttp2_session_get_stream_remote_window_size(world->client, ids[i]);
    }
    assert_true(all <= 4 * HTTP2_WINDOW_MIN + HTTP2_GROWN_BYTES);
    assert_true(all >= HTTP2_GROWN_BYTES - 1024 * 1024);
    assert_true(nghttp2_session_get_stream_remote_window_size(world->client, ids[3]) <= HTTP2_WINDOW_MIN);
    assert_true(round_trip(world, ids[3]) > 0);
}

static void test_not_renewed_under_pressure(void **state)
{
    world_t *world = *state;
    int32_t id = grow(world, 8);
    /* Another exchange holds more than three quarters of the budget. */
    uint64_t others = world->conf.limits.memory_bytes;
    assert_true(nghttp2_session_get_stream_remote_window_size(world->client, id) > 8 * 1024 * 1024);
    world->context->memory.held += others;
    for (unsigned i = 0; i < 3; i++)
        (void)round_trip(world, id);
    assert_true(nghttp2_session_get_stream_remote_window_size(world->client, id) <= HTTP2_WINDOW_MIN);
    assert_in_range(world->context->memory.held, others, others + OWN_BYTES);
    assert_true(round_trip(world, id) > 0); /* its first window continues */
    world->context->memory.held -= others;
    for (unsigned i = 0; i < 8; i++)
        (void)round_trip(world, id);
    assert_true(nghttp2_session_get_stream_remote_window_size(world->client, id) > 8 * 1024 * 1024);
}

/* The credit of many streams together stays within the budget. */
static void test_budget(void **state)
{
    world_t *world = *state;
    world->conf.limits.memory_bytes = 12 * 1024 * 1024;
    for (unsigned i = 0; i < 3; i++) {
        (void)grow(world, 8);
        assert_true(world->context->memory.held <= 9 * 1024 * 1024);
    }
    assert_true(world->context->memory.held >= 8 * 1024 * 1024);
}

/* The box stops reading: the granted bytes arrive and are held. None of them is refused, and they count
 * once. */
static void test_a_stalled_stream_costs_what_it_holds(void **state)
{
    world_t *world = *state;
    int32_t id = grow(world, 8);
    exchange_t *stalled = world->last;
    uint64_t granted = (uint64_t)nghttp2_session_get_stream_remote_window_size(world->client, id);
    world->origin_room = 0;
    world->window_updates = 0;
    assert_int_equal(round_trip(world, id), 0);
    http2_stream_t *stream = stalled->codec;
    assert_int_equal(stream->in.size, granted);
    assert_int_equal(nghttp2_session_get_stream_remote_window_size(world->client, id), 0);
    assert_int_equal(world->window_updates, 0);
    assert_in_range(world->context->memory.held, granted, granted + granted / 64 + 65536);
    assert_true(conn_of(world)->held <= HTTP2_WINDOW_MIN);
    assert_false(world_seen(world, id)->reset);
    /* Another stream of the connection continues. */
    world->answer_at_once = true;
    int32_t other = world_upload(world, NULL, 0, big, sizeof(big), false);
    world_pump(world);
    assert_int_equal(world_seen(world, other)->status, 200);
    /* This stream continues, too, when the box takes bytes again. */
    world->origin_room = SIZE_MAX / 2;
    exchange_request_room_grew(stalled);
    world_pump(world);
    assert_int_equal(stream->in.size, 0);
    assert_true(nghttp2_session_get_stream_remote_window_size(world->client, id) > 0);
}

/* While a request waits for its box, its body is only stored. */
static void test_a_request_that_waits(void **state)
{
    world_t *world = *state;
    world->waits = true;
    int32_t id = world_upload(world, NULL, 0, big, sizeof(big), true);
    for (unsigned i = 0; i < 10; i++) {
        world_pump(world);
        loop_skip(world->loop, ROUND_TRIP);
    }
    http2_stream_t *stream = world->last->codec;
    assert_int_equal(stream->window.size, HTTP2_WINDOW_MIN);
    size_t sent = sizeof(big) - world_seen(world, id)->upload_left;
    assert_in_range(sent, HTTP2_WINDOW_MIN, EXCHANGE_BODY_BYTES + HTTP2_WINDOW_MIN);
    assert_int_equal(buffer_size(&world->last->held) + stream->in.size, sent);
}

/* A box that reads more slowly than the client sends: windows stay small, and so does the memory held. */
static void test_a_slow_box(void **state)
{
    world_t *world = *state;
    int32_t id = world_upload(world, NULL, 0, big, sizeof(big), true);
    world->origin_room = 0;
    world_pump(world);
    exchange_t *ex = world->last;
    http2_stream_t *stream = ex->codec;
    for (unsigned i = 0; i < 40; i++) {
        if (world_seen(world, id)->upload_left < 500000)
            world_upload_more(world, id, big, sizeof(big), true);
        loop_skip(world->loop, ROUND_TRIP / 4);
        world->origin_room = 20000;
        exchange_request_room_grew(ex);
        world_pump(world);
        assert_true(stream->in.size <= HTTP2_WINDOW_MIN);
        assert_int_equal(stream->window.size, HTTP2_WINDOW_MIN);
    }
    assert_int_equal(world->taken, 40 * 20000);
}

/* Responses that the client does not read: the connection holds its bound of them, and a few KiB for each
 * further one. */
static void test_responses_that_nobody_takes(void **state)
{
    enum { STREAMS = 100 };
    world_t *world = *state;
    nghttp2_settings_entry zero = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0};
    assert_int_equal(nghttp2_submit_settings(world->client, NGHTTP2_FLAG_NONE, &zero, 1), 0);
    for (unsigned i = 0; i < STREAMS; i++) {
        (void)world_request(world, "GET", "/", NULL, 0);
        world_pump(world);
        exchange_t *ex = world->last;
        origin_head(ex, 200, LENGTH_UNKNOWN, false, false);
        for (size_t room; (room = exchange_response_body_room(ex)) != 0;)
            origin_body(ex, big, room);
        world_pump(world);
    }
    assert_in_range(conn_of(world)->out, HTTP2_OUT_BYTES,
                    HTTP2_OUT_BYTES + HTTP2_ROOM_BYTES + STREAMS * BUDGET_FLOOR_BYTES);
}

static step_result_t step_large(exchange_t *ex)
{
    exchange_reply(ex, 200, STR("text/plain"), NULL, str_make(big, 20000));
    return STEP_DONE;
}

/* Requests that reach the server in one read. */
static void ask_at_once(world_t *world, unsigned count)
{
    static char out[16384];
    size_t n = 0;
    const uint8_t *bytes;
    for (unsigned i = 0; i < count; i++)
        (void)world_request(world, "GET", "/", NULL, 0);
    for (ssize_t more; (more = nghttp2_session_mem_send(world->client, &bytes)) > 0; n += (size_t)more) {
        assert_true((size_t)more <= sizeof(out) - n);
        memcpy(out + n, bytes, (size_t)more);
    }
    world_raw(world, out, n);
}

/* The kernel accepts all that one turn of the loop writes, and then has no room: nothing waits on the
 * connection, and no event comes. */
static void test_a_client_that_stops_between_two_writes(void **state)
{
    static const exchange_step_t steps[] = {{"large", step_large}, {NULL, NULL}};
    world_t *world = *state;
    world->server->steps = steps;
    assert_int_equal(nghttp2_submit_window_update(world->client, NGHTTP2_FLAG_NONE, 0, 1 << 20), 0);
    world_pump(world);
    world->reads = false;
    ask_at_once(world, 17);
    world_pump(world);
    assert_int_equal(world->counters.exchanges_open, 17);
    for (unsigned i = 0; i < 2 * CONN_STALL_LOOKS; i++) {
        loop_skip(world->loop, world->conf.timeouts.write_idle / CONN_STALL_LOOKS);
        world_turn(world);
    }
    assert_true(world_closed(world));
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {T(test_grows_to_the_widest),
                                       T(test_bound_of_the_connection),
                                       T(test_not_renewed_under_pressure),
                                       T(test_budget),
                                       T(test_a_stalled_stream_costs_what_it_holds),
                                       T(test_a_request_that_waits),
                                       T(test_a_slow_box),
                                       T(test_responses_that_nobody_takes),
                                       T(test_a_client_that_stops_between_two_writes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
