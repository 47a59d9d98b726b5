/* Clients that stall or flood: each costs the edge a bounded amount and does not affect others. The tests
 * hold the loop's clock and advance it themselves. */
#include "http2_world.h"

static int set_up(void **state)
{
    world_t *world = malloc(sizeof(*world));
    world_start(world);
    loop_hold(world->loop);
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    world_stop(*state);
    free(*state);
    return 0;
}

static char big[1024 * 1024];

/* ---- time ---- */

#define STEP_MS 10

static void pass(world_t *world, uint64_t ms)
{
    for (uint64_t gone = 0; gone < ms; gone += STEP_MS) {
        world_pump(world);
        loop_skip(world->loop, STEP_MS);
    }
    world_pump(world);
}

/* Advances the clock until `condition` holds; fails the test after `ms`. */
#define pass_until(world, condition, ms)                                                                     \
    do {                                                                                                     \
        uint64_t left_ = (ms);                                                                               \
        for (world_pump(world); !(condition); world_pump(world), left_ -= STEP_MS) {                         \
            assert_true(left_ >= STEP_MS);                                                                   \
            loop_skip((world)->loop, STEP_MS);                                                               \
        }                                                                                                    \
    } while (0)

/* ---- frames by hand ---- */

typedef struct frames {
    unsigned char at[200000];
    size_t n;
} frames_t;

static void put(frames_t *out, unsigned type, unsigned flags, uint32_t stream, const void *payload,
                uint32_t len)
{
    assert_true(out->n + 9 + len <= sizeof(out->at));
    unsigned char *h = out->at + out->n;
    const unsigned char header[9] = {
        (unsigned char)(len >> 16),    (unsigned char)(len >> 8),    (unsigned char)len,
        (unsigned char)type,           (unsigned char)flags,         (unsigned char)(stream >> 24),
        (unsigned char)(stream >> 16), (unsigned char)(stream >> 8), (unsigned char)stream};
    memcpy(h, header, sizeof(header));
    if (len != 0)
        memcpy(h + 9, payload, len);
    out->n += 9 + len;
}

/* GET / of a-1.test, in HPACK without the table. */
static const char get_block[] = "\x82\x87\x84\x01\x08"
                                "a-1.test";

static void put_get(frames_t *out, uint32_t stream, bool end)
{
    put(out, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | (end ? NGHTTP2_FLAG_END_STREAM : 0), stream,
        get_block, sizeof(get_block) - 1);
}

/* Sends the same bytes until the server has had enough; fails after more than `most` times. */
static void flood(world_t *world, const frames_t *unit, unsigned most)
{
    unsigned n = 0;
    for (; n < most && world->counters.http2_abuse_total == 0 && !world_closed(world); n++) {
        world_raw(world, unit->at, unit->n);
        if (n % 64 == 0 || unit->n > 1000) {
            world_turn(world);
            (void)client_receives(world);
        }
    }
    pass_until(world, world->goaway || world->eof || world_closed(world), 2000);
    if (world->goaway)
        assert_int_equal(world->goaway_code, NGHTTP2_ENHANCE_YOUR_CALM);
    assert_int_equal(world->counters.http2_abuse_total, 1);
    assert_int_equal(world->counters.exchanges_open, 0);
    pass_until(world, world_closed(world), 3000);
    assert_true(n < most);
}

static void begin(world_t *world)
{
    http2_world_connect(world);
    world_pump(world);
    assert_false(world_closed(world));
}

/* ---- floods ---- */

static void test_reset_flood(void **state)
{
    world_t *world = *state;
    begin(world);
    static frames_t unit;
    unsigned stream = 1;
    for (; stream < 200000 && !world->goaway && !world->eof; stream += 2) {
        unit.n = 0;
        put_get(&unit, stream, true);
        put(&unit, NGHTTP2_RST_STREAM, 0, stream, "\0\0\0\x08", 4);
        world_raw(world, unit.at, unit.n);
        if (stream % 64 == 1) {
            world_turn(world);
            (void)client_receives(world);
        }
    }
    pass_until(world, world->goaway, 2000);
    assert_int_equal(world->goaway_code, NGHTTP2_ENHANCE_YOUR_CALM);
    assert_int_equal(world->counters.http2_abuse_total, 1);
    assert_in_range(world->started, 900, 5000);
    assert_int_equal(world->counters.exchanges_open, 0);
    pass_until(world, world_closed(world), 3000);
}

/* The client's answer to the PING behind the answer of a malformed request. */
static void put_pong(frames_t *out, uint32_t stream)
{
    const char ping[8] = {
        '4',         '0', '0', ' ', (char)(stream >> 24 & 127), (char)(stream >> 16), (char)(stream >> 8),
        (char)stream};
    put(out, NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, ping, sizeof(ping));
}

static void drop_output(world_t *world)
{
    char dropped[65536];
    while (recv(world->fd, dropped, sizeof(dropped), MSG_DONTWAIT) > 0)
        continue;
}

/* Malformed heads make the edge reset the stream after its answer: that counts the same. */
static void test_provoked_resets(void **state)
{
    world_t *world = *state;
    begin(world);
    world->reads = false; /* its session would reject resets of streams that it does not know */
    static frames_t unit;
    for (unsigned stream = 1; stream < 20000 && !world_closed(world); stream += 2) {
        unit.n = 0;
        put(&unit, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, stream, "\x82", 1);
        put(&unit, NGHTTP2_WINDOW_UPDATE, 0, 0, "\0\0\4\0", 4);
        put_pong(&unit, stream - 128); /* the edge has answered that one */
        world_raw(world, unit.at, unit.n);
        if (stream % 64 == 1) {
            world_turn(world);
            drop_output(world);
        }
    }
    pass_until(world, world->counters.http2_abuse_total == 1, 2000);
    assert_int_equal(world->started, 0);
    assert_int_equal(world->counters.exchanges_open, 0);
}

/* One frame, over and over. */
static void flood_of(world_t *world, unsigned type, unsigned flags, uint32_t stream, const void *payload,
                     uint32_t len)
{
    static frames_t unit;
    unit.n = 0;
    put(&unit, type, flags, stream, payload, len);
    begin(world);
    flood(world, &unit, 100000);
}

static void test_ping_flood(void **state)
{
    flood_of(*state, NGHTTP2_PING, 0, 0, "12345678", 8);
}

/* The acknowledgements to a client that does not read are bounded before the bucket is empty. */
static void test_ping_flood_unread(void **state)
{
    world_t *world = *state;
    static frames_t unit;
    unit.n = 0;
    put(&unit, NGHTTP2_PING, 0, 0, "12345678", 8);
    http2_world_connect(world);
    int small = 4096;
    assert_int_equal(setsockopt(conn_fd(world->server->conn), SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)),
                     0);
    world_pump(world);
    world->reads = false;
    flood(world, &unit, 100000);
}

static void test_settings_flood(void **state)
{
    flood_of(*state, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
}

static void test_window_update_flood(void **state)
{
    flood_of(*state, NGHTTP2_WINDOW_UPDATE, 0, 0, "\0\0\0\1", 4);
}

static void test_priority_flood(void **state)
{
    flood_of(*state, NGHTTP2_PRIORITY, 0, 9, "\0\0\0\0\1", 5);
}

static void test_unknown_frame_flood(void **state)
{
    flood_of(*state, 0x77, 0, 0, NULL, 0);
}

static void test_empty_data_flood(void **state)
{
    world_t *world = *state;
    static frames_t unit;
    begin(world);
    unit.n = 0;
    put_get(&unit, 1, false);
    world_raw(world, unit.at, unit.n);
    unit.n = 0;
    put(&unit, NGHTTP2_DATA, 0, 1, NULL, 0);
    flood(world, &unit, 100000);
    assert_int_equal(world->cancelled, 1);
}

static void test_continuation_flood(void **state)
{
    world_t *world = *state;
    static frames_t unit;
    begin(world);
    unit.n = 0;
    put(&unit, NGHTTP2_HEADERS, 0, 1, "\x82", 1);
    world_raw(world, unit.at, unit.n);
    unit.n = 0;
    put(&unit, NGHTTP2_CONTINUATION, 0, 1, "\x82", 1);
    flood(world, &unit, 10000);
    assert_int_equal(world->started, 0);
}

static void test_long_block(void **state)
{
    world_t *world = *state;
    static frames_t unit;
    begin(world);
    unit.n = 0;
    put(&unit, NGHTTP2_HEADERS, 0, 1, "\x82", 1);
    world_raw(world, unit.at, unit.n);
    unit.n = 0;
    put(&unit, NGHTTP2_CONTINUATION, 0, 1, big, 16384);
    flood(world, &unit, 10);
}

/* One field of 4,000 bytes, then references to it. */
static void put_bomb(frames_t *out, uint32_t stream, unsigned references)
{
    static unsigned char block[16384];
    size_t n = 0;
    memcpy(block, get_block, sizeof(get_block) - 1);
    n += sizeof(get_block) - 1;
    memcpy(block + n, "\x40\x01x\x7f\xa1\x1e", 6); /* indexed, name "x", a value of 4,000 bytes */
    n += 6;
    memset(block + n, 'v', 4000);
    n += 4000;
    assert_true(n + references <= sizeof(block));
    memset(block + n, 0xbe, references); /* the newest entry of the table */
    n += references;
    put(out, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, stream, block, (uint32_t)n);
}

static void test_reference_bomb(void **state)
{
    world_t *world = *state;
    begin(world);
    static frames_t unit;
    unit.n = 0;
    put_bomb(&unit, 1, 20); /* 80 KB: counted further, 431 */
    world->reads = false;
    world_raw(world, unit.at, unit.n);
    world_pump(world);
    assert_int_equal(world->started, 0);
    assert_int_equal(world->counters.exchanges_total, 1);
    assert_int_equal(world->counters.measures.statuses[MEASURE_NONE][MEASURE_H2][measure_status(431)], 1);
    assert_false(world_closed(world));
    unit.n = 0;
    put_get(&unit, 3, true); /* HPACK's state is correct */
    world_raw(world, unit.at, unit.n);
    world_pump(world);
    assert_int_equal(world->started, 1);
    unit.n = 0;
    put_bomb(&unit, 5, 10000); /* 40 MB */
    world_raw(world, unit.at, unit.n);
    world_pump(world);
    assert_int_equal(world->counters.http2_abuse_total, 1);
    assert_int_equal(world->counters.exchanges_open, 0);
}

/* ---- stalls ---- */

static void test_no_preface(void **state)
{
    world_t *world = *state;
    world->conf.timeouts.head = 60;
    http2_world_connect(world);
    for (unsigned gone = 0; !world_closed(world); gone += STEP_MS) {
        loop_skip(world->loop, STEP_MS);
        world_turn(world);
        (void)client_receives(world);
        if (world->eof)
            (void)shutdown(world->fd, SHUT_WR);
        assert_true(gone < 5000);
    }
}

static void test_not_http2(void **state)
{
    world_t *world = *state;
    http2_world_connect(world);
    static const char hello[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    world_raw(world, hello, sizeof(hello) - 1);
    for (unsigned gone = 0; !world->eof; gone += STEP_MS) {
        loop_skip(world->loop, STEP_MS);
        world_turn(world);
        (void)client_receives(world);
        assert_true(gone < 5000);
    }
}

/* The head timeout runs from the block's first frame, however the rest drips in. */
static void test_head_drips(void **state)
{
    static const char begins[] = "\x82\x87\x84\x00\x01x\x7f\xe9\x06"; /* and a value of 1,000 bytes */
    char block[sizeof(begins) - 1 + 1000];
    world_t *world = *state;
    world->conf.timeouts.head = 200;
    begin(world);
    static frames_t unit;
    unit.n = 0;
    memset(block, 'v', sizeof(block));
    memcpy(block, begins, sizeof(begins) - 1);
    put(&unit, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 1, block, sizeof(block));
    unsigned sent = 0;
    for (; !world->goaway && sent < unit.n; sent++) {
        world_raw(world, unit.at + sent, 1);
        pass(world, STEP_MS);
    }
    assert_int_equal(world->goaway_code, NGHTTP2_PROTOCOL_ERROR);
    assert_in_range(sent * STEP_MS, 200, 200 + 10 * STEP_MS); /* it began with the ninth byte */
    assert_int_equal(world->started, 0);
}

/* A busy client that always has one head under way is not a slow one. */
static void test_heads_without_pause(void **state)
{
    world_t *world = *state;
    world->conf.timeouts.head = 500;
    begin(world);
    world->answer_at_once = true;
    world->reads = false; /* its session does not know these streams */
    static frames_t unit;
    size_t sent = 0;
    for (unsigned stream = 1; stream < 120; stream += 2) { /* 1.2 s */
        unit.n = 0;
        put_get(&unit, stream, true);
        world_raw(world, unit.at + sent, unit.n - sent);
        unit.n = 0;
        put_get(&unit, stream + 2, true);
        sent = 12;
        world_raw(world, unit.at, sent);
        for (unsigned i = 0; i < 2; i++) {
            loop_skip(world->loop, STEP_MS);
            world_turn(world);
        }
        static char unread[65536];
        (void)!recv(world->fd, unread, sizeof(unread), MSG_DONTWAIT);
    }
    assert_false(world_closed(world));
    assert_int_equal(world->started, 60);
    assert_int_equal(((http2_conn_t *)world->server)->phase, HTTP2_OPEN);
    pass_until(world, ((http2_conn_t *)world->server)->phase != HTTP2_OPEN, 5000);
}

static void test_keep_alive(void **state)
{
    world_t *world = *state;
    world->conf.timeouts.keep_alive = 400;
    begin(world);
    int32_t id = world_request(world, "GET", "/", NULL, 0);
    world_pump(world);
    pass(world, 600); /* a stream is open: it is not idle */
    assert_false(world->goaway);
    origin_head(world->last, 200, 0, true, false);
    origin_end(world->last);
    unsigned gone = 0;
    for (; !world->goaway; gone += STEP_MS) { /* PINGs keep nothing alive */
        assert_int_equal(nghttp2_submit_ping(world->client, NGHTTP2_FLAG_NONE, NULL), 0);
        pass(world, STEP_MS);
        assert_true(gone < 3000);
    }
    assert_in_range(gone, 400, 400 + 2 * STEP_MS);
    assert_int_equal(world->goaway_code, NGHTTP2_NO_ERROR);
    assert_true(world_seen(world, id)->closed);
    pass_until(world, world->eof, 2000);
}

static void test_body_stops(void **state)
{
    world_t *world = *state;
    world->conf.timeouts.body_idle = 100;
    begin(world);
    int32_t id = world_upload(world, NULL, 0, "abc", 3, true);
    pass_until(world, world_seen(world, id)->closed, 3000);
    assert_int_equal(world_seen(world, id)->status, 408);
    assert_int_equal(world->cancelled, 1);
    assert_false(world->goaway);
}

/* A body that the origin does not read is not the client's fault; neither is silence after the response has
 * begun. */
static void test_body_may_wait(void **state)
{
    world_t *world = *state;
    world->conf.timeouts.body_idle = 60;
    begin(world);
    world->origin_room = 0;
    int32_t held = world_upload(world, NULL, 0, big, sizeof(big), false);
    world_pump(world);
    world->origin_room = 65536;
    int32_t streaming = world_upload(world, NULL, 0, "abc", 3, true);
    world_pump(world);
    origin_head(world->last, 200, LENGTH_UNKNOWN, false, false);
    world->origin_room = 0;
    pass(world, 300);
    assert_int_equal(world_seen(world, held)->status, 0);
    assert_int_equal(world_seen(world, streaming)->status, 200);
    assert_false(world_seen(world, held)->closed || world_seen(world, streaming)->closed);
}

/* Zero windows: the stream is reset, its neighbours live. */
static void test_window_stall(void **state)
{
    world_t *world = *state;
    world->conf.timeouts.write_idle = 150;
    begin(world);
    int32_t neighbour = world_request(world, "GET", "/", NULL, 0);
    world_pump(world);
    world->last = NULL;
    nghttp2_settings_entry zero = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0};
    assert_int_equal(nghttp2_submit_settings(world->client, NGHTTP2_FLAG_NONE, &zero, 1), 0);
    int32_t id = world_request(world, "GET", "/", NULL, 0);
    world_pump(world);
    origin_head(world->last, 200, LENGTH_UNKNOWN, false, false);
    origin_body(world->last, big, 1000);
    pass_until(world, world_seen(world, id)->closed, 3000);
    assert_true(world_seen(world, id)->reset);
    assert_int_equal(world_seen(world, id)->body, 0);
    assert_int_equal(world->cancelled, 1);
    assert_false(world_seen(world, neighbour)->closed);
    assert_false(world->goaway);
}

/* Only the end of a response is left, and that needs a window, too. */
static void test_window_stall_of_an_end(void **state)
{
    world_t *world = *state;
    world->conf.timeouts.write_idle = 150;
    begin(world);
    world->consumes = false;
    int32_t id = world_request(world, "GET", "/", NULL, 0);
    world_pump(world);
    exchange_t *ex = world->last;
    origin_head(ex, 200, LENGTH_UNKNOWN, false, false);
    for (size_t left = 65535, n; left != 0; left -= n) {
        n = exchange_response_body_room(ex);
        n = n < left ? n : left;
        origin_body(ex, big, n);
        world_pump(world);
    }
    origin_end(ex);
    pass_until(world, world_seen(world, id)->closed, 3000);
    assert_true(world_seen(world, id)->reset);
    assert_int_equal(world_seen(world, id)->body, 65535);
    assert_int_equal(world->counters.exchanges_open, 0);
    assert_false(world->goaway);
}

/* A slow reader that takes a little now and then is not cut. */
static void test_slow_reader_lives(void **state)
{
    world_t *world = *state;
    world->conf.timeouts.write_idle = 800;
    begin(world);
    world->consumes = false;
    int32_t id = world_request(world, "GET", "/", NULL, 0);
    world_pump(world);
    exchange_t *ex = world->last;
    origin_head(ex, 200, LENGTH_UNKNOWN, false, false);
    for (size_t room; (room = exchange_response_body_room(ex)) != 0;)
        origin_body(ex, big, room);
    world_pump(world);
    for (unsigned i = 0; i < 5; i++) {
        pass(world, 250);
        assert_int_equal(nghttp2_submit_window_update(world->client, NGHTTP2_FLAG_NONE, 0, 100), 0);
        assert_int_equal(nghttp2_submit_window_update(world->client, NGHTTP2_FLAG_NONE, id, 100), 0);
        world_pump(world);
    }
    assert_int_equal(world_seen(world, id)->body, 65535 + 500);
    assert_false(world_seen(world, id)->closed);
}

/* A client that reads nothing at all is cut. */
static void test_socket_stall(void **state)
{
    world_t *world = *state;
    world->conf.timeouts.write_idle = 150;
    http2_world_connect(world);
    nghttp2_settings_entry wide = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1 << 30};
    assert_int_equal(nghttp2_submit_settings(world->client, NGHTTP2_FLAG_NONE, &wide, 1), 0);
    assert_int_equal(nghttp2_submit_window_update(world->client, NGHTTP2_FLAG_NONE, 0, 1 << 30), 0);
    world_request(world, "GET", "/", NULL, 0);
    world_pump(world);
    world->reads = false;
    exchange_t *ex = world->last;
    origin_head(ex, 200, LENGTH_UNKNOWN, false, false);
    size_t given = 0;
    for (size_t room; given < 4 * sizeof(big) && (room = exchange_response_body_room(ex)) != 0;
         given += room) {
        origin_body(ex, big, room);
        world_pump(world);
    }
    assert_true(given < 4 * sizeof(big)); /* the kernel's buffer, and 128 KiB */
    assert_true(world->context->memory.held < 256 * 1024);
    pass_until(world, world_closed(world), 3000);
    assert_int_equal(world->cancelled, 1);
    assert_int_equal(world->counters.client_departures_total, 1);
}

/* Finished responses that a client does not read hold a bounded number of exchanges. */
static void test_unread_responses(void **state)
{
    world_t *world = *state;
    http2_world_connect(world);
    int small = 4096;
    assert_int_equal(setsockopt(conn_fd(world->server->conn), SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)),
                     0);
    world_pump(world);
    world->answer_at_once = true;
    world->reads = false;
    static frames_t unit;
    int buffered = 0;
    for (unsigned stream = 1; stream < 40001; stream += 2) {
        unit.n = 0;
        put_get(&unit, stream, true);
        if (send(world->fd, unit.at, unit.n, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
            buffered++;
        world_turn(world);
        assert_true(world->counters.exchanges_open <= 3 * 128 + 64);
        if (buffered > 100)
            break;
    }
    assert_true(buffered > 100 || world_closed(world));
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_reset_flood),         T(test_provoked_resets),     T(test_ping_flood),
        T(test_ping_flood_unread),   T(test_settings_flood),      T(test_window_update_flood),
        T(test_priority_flood),      T(test_unknown_frame_flood), T(test_empty_data_flood),
        T(test_continuation_flood),  T(test_long_block),          T(test_reference_bomb),
        T(test_no_preface),          T(test_not_http2),           T(test_head_drips),
        T(test_heads_without_pause), T(test_keep_alive),          T(test_body_stops),
        T(test_body_may_wait),       T(test_window_stall),        T(test_window_stall_of_an_end),
        T(test_slow_reader_lives),   T(test_socket_stall),        T(test_unread_responses)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
