/* The HTTP/2 client when the origin fails, refuses, leaves or sends malformed frames: which requests are sent
 * again, which are answered, and the bounds. */
#include "http2_origin_world.h"

#include "arena.h"
#include "http2_client_internal.h"
#include "request_head.h"

static int setup(void **state)
{
    *state = origin_world_new();
    return 0;
}

static int teardown(void **state)
{
    origin_world_free(*state);
    return 0;
}

static http2_origins_t *origins_of(const origin_world_t *world)
{
    return world->fixture->context->http2_origins;
}

/* A connection that has served one request. */
static peer_t *warm(origin_world_t *world)
{
    call_t *call = call_start(world, "GET");
    peer_t *peer = peer_accept(world);
    PUMP_UNTIL(world, peer, peer_stream(peer, 1)->ended);
    peer_answer(peer, 1, "204", 0, NULL);
    PUMP_UNTIL(world, peer, call->ends == 1);
    call_free(call);
    return peer;
}

/* Serves the second attempt of a request. */
static void serve(origin_world_t *world, call_t *call, const char *body)
{
    peer_t *peer = peer_accept(world);
    PUMP_UNTIL(world, peer, peer_stream(peer, 1)->ended);
    assert_string_equal(peer_stream(peer, 1)->first, body);
    peer_answer(peer, 1, "200", 0, NULL);
    PUMP_UNTIL(world, peer, call->ends == 1);
    assert_int_equal(call->ex->status, 200);
    assert_true(call->ex->sent_again);
    call_free(call);
    peer_free(peer);
}

static call_t *start_with_body(origin_world_t *world, const char *method, str_t body)
{
    call_t *call = call_new(world, method);
    call->ex->request.has_body = true;
    exchange_start(call->ex);
    call_send(call, body);
    call_end(call);
    return call;
}

static void reset_fd(int fd)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
}

/* A request that the origin did not process is sent again, whatever the method; without such a refusal it is
 * not. */
static void test_refused_streams(void **state)
{
    origin_world_t *world = *state;
    for (size_t i = 0; i < 2; i++) {
        call_t *call = start_with_body(world, "POST", STR("the body"));
        peer_t *peer = peer_accept(world);
        PUMP_UNTIL(world, peer, peer_stream(peer, 1)->ended);
        uint32_t code = i == 0 ? NGHTTP2_REFUSED_STREAM : NGHTTP2_INTERNAL_ERROR;
        assert_int_equal(nghttp2_submit_rst_stream(peer->session, NGHTTP2_FLAG_NONE, 1, code), 0);
        pump(world, peer);
        if (i == 0) {
            serve(world, call, "the body");
        } else {
            PUMP_UNTIL(world, peer, call->ends == 1);
            assert_int_equal(call->ex->status, 502);
            assert_string_equal(call->ex->local_code, "origin_closed");
            call_free(call);
        }
        http2_origins_drop(origins_of(world), STR("box"), 1);
        peer_free(peer);
        TURN_UNTIL(world, http2_origins_count(origins_of(world)) == 0);
    }
}

static void test_refused_twice(void **state)
{
    origin_world_t *world = *state;
    call_t *call = call_start(world, "GET");
    peer_t *peers[2];
    for (size_t i = 0; i < 2; i++) {
        peers[i] = peer_accept(world);
        PUMP_UNTIL(world, peers[i], peer_stream(peers[i], 1)->ended);
        (void)nghttp2_submit_rst_stream(peers[i]->session, NGHTTP2_FLAG_NONE, 1, NGHTTP2_REFUSED_STREAM);
        pump(world, peers[i]);
    }
    PUMP_UNTIL(world, peers[1], call->ends == 1);
    assert_string_equal(call->ex->local_code, "origin_refused");
    call_free(call);
    peer_free(peers[0]);
    peer_free(peers[1]);
}

/* A large head is whole for the second attempt, and dropped once no third one can follow. */
static void test_a_refused_request_with_a_large_head(void **state)
{
    origin_world_t *world = *state;
    call_t *call = call_new(world, "POST");
    exchange_t *ex = call->ex;
    const size_t large = 3900;
    arena_t *pool = request_head_pool(ex, large);
    char *value = arena_alloc(pool, large);
    memset(value, 'v', large);
    fields_add(pool, &ex->request.fields, FIELD_OTHER, STR("x-a"), str_make(value, large));
    world->fixture->client.local = false;
    exchange_start(ex);
    peer_t *peers[2];
    for (size_t i = 0; i < 2; i++) {
        peers[i] = peer_accept(world);
        PUMP_UNTIL(world, peers[i], peer_stream(peers[i], 1)->ended);
        const char *field = strstr(peer_stream(peers[i], 1)->fields, "x-a: ");
        assert_non_null(field);
        assert_true(strspn(field + 5, "v") > large - 500); /* as much as the test's buffer holds */
        assert_int_equal(ex->head == NULL, i == 1);
        (void)nghttp2_submit_rst_stream(peers[i]->session, NGHTTP2_FLAG_NONE, 1, NGHTTP2_REFUSED_STREAM);
        pump(world, peers[i]);
    }
    PUMP_UNTIL(world, peers[1], call->ends == 1);
    assert_string_equal(ex->local_code, "origin_refused");
    call_free(call);
    peer_free(peers[0]);
    peer_free(peers[1]);
}

/* A body that was too large to be kept cannot be sent again. */
static void test_a_refused_request_with_a_large_body(void **state)
{
    origin_world_t *world = *state;
    static char body[HTTP2_RESEND_BYTES + 1];
    memset(body, 'x', sizeof(body));
    for (size_t extra = 0; extra < 2; extra++) {
        call_t *call = start_with_body(world, "POST", str_make(body, HTTP2_RESEND_BYTES + extra));
        peer_t *peer = peer_accept(world);
        PUMP_UNTIL(world, peer, peer_stream(peer, 1)->ended);
        assert_int_equal(buffer_size(&call->ex->held), extra == 0 ? HTTP2_RESEND_BYTES : 0);
        (void)nghttp2_submit_rst_stream(peer->session, NGHTTP2_FLAG_NONE, 1, NGHTTP2_REFUSED_STREAM);
        pump(world, peer);
        TURN_UNTIL(world, call->ends == 1 || ((http2_client_t *)call->ex->origin)->id == 0);
        assert_int_equal(call->ends, extra);
        if (extra == 1)
            assert_string_equal(call->ex->local_code, "origin_refused");
        call_free(call);
        peer_free(peer);
        http2_origins_drop(origins_of(world), STR("box"), 1);
        TURN_UNTIL(world, http2_origins_count(origins_of(world)) == 0);
        for (peer_t *late; (late = peer_try_accept(world, false, 0)) != NULL;)
            peer_free(late);
    }
}

/* GOAWAY: streams above its last one go elsewhere, others stay, and no new ones start. */
static void test_goaway(void **state)
{
    origin_world_t *world = *state;
    call_t *first = call_start(world, "POST");
    peer_t *peer = peer_accept(world);
    PUMP_UNTIL(world, peer, peer_stream(peer, 1)->ended);
    call_t *second = call_start(world, "POST");
    PUMP_UNTIL(world, peer, peer_stream(peer, 3)->ended);
    assert_int_equal(nghttp2_submit_goaway(peer->session, NGHTTP2_FLAG_NONE, 1, NGHTTP2_NO_ERROR, NULL, 0),
                     0);
    pump(world, peer);
    peer_t *next = peer_accept(world);
    call_t *third = call_start(world, "GET");
    PUMP_UNTIL(world, next, peer_stream(next, 3)->ended);
    peer_answer(next, 1, "200", 0, NULL);
    peer_answer(next, 3, "200", 0, NULL);
    PUMP_UNTIL(world, next, second->ends == 1 && third->ends == 1);
    assert_true(second->ex->sent_again && !first->ex->sent_again && !third->ex->sent_again);
    peer_answer(peer, 1, "200", 5, NULL);
    PUMP_UNTIL(world, peer, first->ends == 1);
    PUMP_UNTIL(world, peer, peer->eof);
    assert_int_equal(http2_origins_count(origins_of(world)), 1);
    call_free(first);
    call_free(second);
    call_free(third);
    peer_free(peer);
    peer_free(next);
}

/* A connection that was used before breaks: a GET is sent again, a POST that left is not. */
static void test_a_broken_connection(void **state)
{
    origin_world_t *world = *state;
    static const char *const methods[] = {"GET", "POST"};
    for (size_t i = 0; i < 2; i++) {
        peer_t *peer = warm(world);
        call_t *call = call_start(world, methods[i]);
        PUMP_UNTIL(world, peer, peer_stream(peer, 3)->ended);
        reset_fd(peer->fd);
        peer_free(peer);
        if (i == 0) {
            serve(world, call, "");
            http2_origins_drop(origins_of(world), STR("box"), 1);
        } else {
            TURN_UNTIL(world, call->ends == 1);
            assert_string_equal(call->ex->local_code, "origin_closed");
            call_free(call);
        }
        TURN_UNTIL(world, http2_origins_count(origins_of(world)) == 0);
    }
}

/* A fresh connection that breaks is not tried again: the origin may have acted on the request. */
static void test_a_fresh_connection_that_breaks(void **state)
{
    origin_world_t *world = *state;
    call_t *call = call_start(world, "GET");
    peer_t *peer = peer_accept(world);
    PUMP_UNTIL(world, peer, peer_stream(peer, 1)->ended);
    peer_free(peer);
    TURN_UNTIL(world, call->ends == 1);
    assert_string_equal(call->ex->local_code, "origin_closed");
    call_free(call);
}

/* In the middle of an answer the only way out is the cut, for each exchange under way. */
static void test_cut_answers(void **state)
{
    origin_world_t *world = *state;
    call_t *calls[3];
    for (size_t i = 0; i < 3; i++)
        calls[i] = call_start(world, "GET");
    peer_t *peer = peer_accept(world);
    PUMP_UNTIL(world, peer, peer_stream(peer, 5)->ended);
    for (int32_t id = 1; id <= 5; id += 2)
        peer_answer(peer, id, "200", 20000000, NULL);
    PUMP_UNTIL(world, peer, calls[0]->out_n != 0 && calls[1]->out_n != 0 && calls[2]->out_n != 0);
    (void)nghttp2_submit_rst_stream(peer->session, NGHTTP2_FLAG_NONE, 3, NGHTTP2_INTERNAL_ERROR);
    PUMP_UNTIL(world, peer, calls[1]->cuts == 1);
    assert_int_equal(calls[0]->cuts, 0);
    peer_free(peer);
    TURN_UNTIL(world, calls[0]->cuts == 1 && calls[2]->cuts == 1);
    for (size_t i = 0; i < 3; i++)
        call_free(calls[i]);
}

static void test_nothing_listens(void **state)
{
    origin_world_t *world = *state;
    close(world->listener);
    world->listener = -1;
    call_t *calls[3];
    for (size_t i = 0; i < 3; i++)
        calls[i] = call_start(world, "POST");
    TURN_UNTIL(world, calls[2]->ends == 1);
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(calls[i]->ex->local_code, "port_not_listening");
        call_free(calls[i]);
    }
    assert_int_equal(http2_origins_count(origins_of(world)), 0);
    assert_int_equal(world->fixture->counters.origin_connects_total, 2); /* the other loopback address too */
}

/* The edge does not use extended CONNECT towards origins. */
static void test_websockets_are_refused(void **state)
{
    origin_world_t *world = *state;
    call_t *call = call_new(world, "GET");
    call->ex->request.websocket = true;
    exchange_start(call->ex);
    assert_string_equal(call->ex->local_code, "websocket_unsupported");
    call_free(call);
}

/* A connection under way is released when its last waiting request leaves. */
static void test_leaving_while_it_connects(void **state)
{
    origin_world_t *world = *state;
    call_t *call = call_start(world, "GET");
    assert_int_equal(http2_origins_count(origins_of(world)), 1);
    call_free(call);
    TURN_UNTIL(world, http2_origins_count(origins_of(world)) == 0);
}

static void test_timeouts(void **state)
{
    origin_world_t *world = *state;
    world->fixture->context->conf->timeouts.first_byte = 20;
    call_t *call = call_start(world, "GET");
    peer_t *peer = peer_accept(world);
    PUMP_UNTIL(world, peer, call->ends == 1);
    assert_string_equal(call->ex->local_code, "origin_timeout");
    PUMP_UNTIL(world, peer, peer_stream(peer, 1)->reset);
    call_free(call);
    peer_free(peer);
}

/* A connection whose peer does not even read keeps its exchanges and gets no new ones, until it makes
 * progress. */
static void test_a_connection_that_stands_still_gets_nothing_new(void **state)
{
    origin_world_t *world = *state;
    static char body[EXCHANGE_BODY_BYTES];
    int few = 4096;
    assert_int_equal(setsockopt(world->listener, SOL_SOCKET, SO_RCVBUF, &few, sizeof(few)), 0);
    uint32_t *patience = &world->fixture->context->conf->timeouts.connect;
    *patience = 60000;
    call_t *first = call_new(world, "PUT");
    first->ex->request.has_body = true;
    exchange_start(first->ex);
    call_send(first, str_make(body, sizeof(body)));
    peer_t *peer = peer_accept(world);
    http2_origin_t *origin = ((http2_client_t *)first->ex->origin)->origin;
    TURN_UNTIL(world, origin->unanswered_ms != 0 && conn_untaken(origin->conn) != 0);
    call_t *early = call_start(world, "GET");
    assert_ptr_equal(((http2_client_t *)early->ex->origin)->origin, origin);
    *patience = 20;
    TURN_UNTIL(world, loop_now(world_loop(world)) - origin->unanswered_ms >= *patience);
    call_t *second = call_start(world, "GET");
    assert_ptr_not_equal(((http2_client_t *)second->ex->origin)->origin, origin);
    *patience = 60000;
    PUMP_UNTIL(world, peer, peer_stream(peer, 1)->body >= 65535 && conn_untaken(origin->conn) == 0);
    call_free(second);
    TURN_UNTIL(world, http2_origins_count(origins_of(world)) == 1);
    call_t *third = call_start(world, "GET");
    assert_ptr_equal(((http2_client_t *)third->ex->origin)->origin, origin);
    call_free(first);
    call_free(early);
    call_free(third);
    peer_free(peer);
}

/* A POST does not use a connection that has been idle for long. */
static void test_a_post_takes_no_old_connection(void **state)
{
    origin_world_t *world = *state;
    world->fixture->context->conf->timeouts.pool_idle = 60000;
    peer_t *peer = warm(world);
    uint64_t until = loop_precise_us() + 1020000;
    TURN_UNTIL(world, loop_precise_us() >= until);
    call_t *call = call_start(world, "POST");
    assert_false(((http2_client_t *)call->ex->origin)->reused);
    call_t *get = call_start(world, "GET");
    peer_t *other = peer_accept(world);
    PUMP_UNTIL(world, other, peer_stream(other, 1)->ended);
    call_free(call);
    call_free(get);
    peer_free(peer);
    peer_free(other);
}

/* A hundred requests per connection, whatever the origin allows. */
static void test_the_bound_of_streams(void **state)
{
    origin_world_t *world = *state;
    call_t *calls[HTTP2_ORIGIN_STREAMS + 1];
    for (size_t i = 0; i <= HTTP2_ORIGIN_STREAMS; i++)
        calls[i] = call_start(world, "GET");
    peer_t *peer = peer_accept_as(world, true, 1000000), *other = peer_accept_as(world, true, 1000000);
    PUMP_UNTIL(world, peer, peer_stream(peer, 2 * HTTP2_ORIGIN_STREAMS - 1)->ended);
    PUMP_UNTIL(world, other, peer_stream(other, 1)->ended);
    assert_int_equal(http2_origins_count(origins_of(world)), 2);
    for (size_t i = 0; i <= HTTP2_ORIGIN_STREAMS; i++)
        call_free(calls[i]);
    peer_free(peer);
    peer_free(other);
}

/* An origin that allows fewer than were sent refuses the excess, and those requests move elsewhere. */
static void test_settings_after_the_requests(void **state)
{
    origin_world_t *world = *state;
    enum { CALLS = 9 };
    call_t *calls[CALLS];
    peer_t *peers[8];
    size_t count = 0, ended = 0;
    for (size_t i = 0; i < CALLS; i++)
        calls[i] = call_start(world, "POST");
    uint64_t until = loop_precise_us() + 30000000;
    while (ended != CALLS) {
        assert_true(count < 8 && loop_precise_us() < until);
        peer_t *more = peer_try_accept(world, true, 3);
        if (more != NULL)
            peers[count++] = more;
        loop_turn(world_loop(world), 1);
        for (size_t p = 0; p < count; p++) {
            pump(world, peers[p]);
            for (int32_t id = 1; id < 2 * CALLS; id += 2)
                if (peer_stream(peers[p], id)->ended && peer_stream(peers[p], id)->left == 0 &&
                    nghttp2_session_get_stream_user_data(peers[p]->session, id) == NULL &&
                    nghttp2_session_set_stream_user_data(peers[p]->session, id, world) == 0)
                    peer_answer(peers[p], id, "204", 0, NULL);
        }
        ended = 0;
        for (size_t i = 0; i < CALLS; i++)
            ended += calls[i]->ends;
    }
    for (size_t i = 0; i < CALLS; i++) {
        assert_int_equal(calls[i]->ex->status, 204);
        call_free(calls[i]);
    }
    for (size_t p = 0; p < count; p++)
        peer_free(peers[p]);
}

/* ---- malformed frames, byte by byte ---- */

#define SETTINGS_FRAME "\0\0\0\4\0\0\0\0\0"
#define SETTINGS_ACK   "\0\0\0\4\1\0\0\0\0"

/* Starts a POST, writes these bytes and waits for its end; the code of the answer, NULL if it was cut. */
static const char *answer_to(origin_world_t *world, const char *bytes, size_t n)
{
    static char code[64];
    call_t *call = call_start(world, "POST");
    peer_t *peer = peer_accept_as(world, false, 0);
    peer_write(world, peer, bytes, n);
    PUMP_UNTIL(world, peer, call->ends == 1 || call->cuts == 1);
    bool cut = call->cuts == 1;
    (void)snprintf(code, sizeof(code), "%s", call->ex->local_code != NULL ? call->ex->local_code : "");
    call_free(call);
    peer_free(peer);
    http2_origins_drop(origins_of(world), STR("box"), 1);
    TURN_UNTIL(world, http2_origins_count(origins_of(world)) == 0);
    return cut ? NULL : code;
}

static void test_bytes_that_are_not_http2(void **state)
{
    origin_world_t *world = *state;
    static const str_t cases[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 40},
        {"SSH-2.0-OpenSSH_9.2p1\r\n\0\0\0\0\0\0\0\0\0\0", 33},
        {"\0\0\0\0\0\0\0\0\0", 9}, /* no SETTINGS first */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_string_equal(answer_to(world, cases[i].p, cases[i].n), "origin_not_http2");
}

static void test_frames_that_are_wrong(void **state)
{
    origin_world_t *world = *state;
    static const str_t cases[] = {
        {"\0\0\1\1\5\0\0\0\1\xff", 10},       /* HPACK that ends in the middle */
        {"\0\0\1\1\5\0\0\0\1\x80", 10},       /* index 0 */
        {"\0\0\1\1\5\0\0\0\3\x88", 10},       /* a stream that was never opened */
        {"\0\0\1\0\1\0\0\0\1x", 10},          /* a body without a head */
        {"\0\0\4\3\0\0\0\0\0\0\0\0\0", 13},   /* RST_STREAM of the connection */
        {"\0\0\4\x08\0\0\0\0\0\0\0\0\0", 13}, /* a window of nothing */
        {SETTINGS_ACK "\0\0\5\5\4\0\0\0\1\0\0\0\2\x88",
         23},                                  /* a push, after our SETTINGS were acknowledged */
        {"\0\0\0\x09\4\0\0\0\1", 9},           /* CONTINUATION of nothing */
        {"\0\0\2\1\5\0\0\0\1\x88\x88", 11},    /* two statuses */
        {"\0\0\1\1\5\0\0\0\1\x84", 10},        /* :path */
        {"\0\0\5\1\5\0\0\0\1\x88\0\1A\0", 14}, /* a name in upper case */
        {"\0\0\0\1\5\0\0\0\1", 9},             /* no status */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char bytes[128];
        memcpy(bytes, SETTINGS_FRAME, 9);
        memcpy(bytes + 9, cases[i].p, cases[i].n);
        assert_string_equal(answer_to(world, bytes, 9 + cases[i].n), "bad_response");
    }
}

/* One repeated frame, after SETTINGS, until the connection's bound. */
static void test_floods(void **state)
{
    origin_world_t *world = *state;
    static const struct {
        str_t frame;
        size_t times;
    } cases[] = {
        {{"\0\0\x08\6\0\0\0\0\0\0\0\0\0\0\0\0\0", 17}, 4000}, /* PING */
        {{SETTINGS_FRAME, 9}, 1100},                          /* SETTINGS */
        {{"\0\0\1\x09\0\0\0\0\1\x88", 10}, 10},               /* CONTINUATION, after the HEADERS below */
        {{"\0\0\4\x08\0\0\0\0\0\0\0\0\1", 13}, 11000},        /* WINDOW_UPDATE */
        {{"\0\0\5\2\0\0\0\0\1\0\0\0\0\0", 14}, 6000},         /* PRIORITY */
    };
    static char bytes[262144];
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t n = 9;
        memcpy(bytes, SETTINGS_FRAME, 9);
        if (i == 2) {
            memcpy(bytes + n, "\0\0\1\1\1\0\0\0\1\x88", 10);
            n += 10;
        }
        for (size_t k = 0; k < cases[i].times && n + cases[i].frame.n <= sizeof(bytes);
             k++, n += cases[i].frame.n)
            memcpy(bytes + n, cases[i].frame.p, cases[i].frame.n);
        const char *code = answer_to(world, bytes, n);
        assert_string_equal(code, "bad_response");
    }
}

/* Heads at the bounds and above. */
static void test_heads_at_their_bounds(void **state)
{
    origin_world_t *world = *state;
    uint32_t most = world->fixture->context->conf->limits.head_fields;
    uint32_t bytes = world->fixture->context->conf->limits.head_bytes;
    for (size_t i = 0; i < 4; i++) {
        static nghttp2_nv nva[512];
        static char value[40000];
        bool fits = i % 2 == 0;
        size_t n = 1;
        call_t *call = call_start(world, "GET");
        peer_t *peer = peer_accept(world);
        PUMP_UNTIL(world, peer, peer_stream(peer, 1)->ended);
        memset(value, 'v', sizeof(value));
        nva[0] = (nghttp2_nv){(uint8_t *)":status", (uint8_t *)"200", 7, 3, 0};
        if (i < 2)
            for (; n <= most + (fits ? 0 : 1); n++)
                nva[n] = (nghttp2_nv){(uint8_t *)"x", (uint8_t *)"y", 1, 1, 0};
        else
            nva[n++] = (nghttp2_nv){(uint8_t *)"x", (uint8_t *)value, 1, bytes - 42 - 33 + (fits ? 0 : 1), 0};
        assert_int_equal(nghttp2_submit_response(peer->session, 1, nva, n, NULL), 0);
        PUMP_UNTIL(world, peer, call->ends == 1);
        assert_int_equal(call->ex->status, fits ? 200 : 502);
        call_free(call);
        http2_origins_drop(origins_of(world), STR("box"), 1);
        peer_free(peer);
        TURN_UNTIL(world, http2_origins_count(origins_of(world)) == 0);
    }
}

/* The origin's accept queue is full: all requests that wait for the connection fail together. */
static void test_an_origin_that_accepts_nothing(void **state)
{
    origin_world_t *world = *state;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(world->port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int filler = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(listen(world->listener, 0), 0);
    assert_int_equal(connect(filler, (struct sockaddr *)&address, sizeof(address)), 0);
    loop_hold(world_loop(world));
    call_t *calls[] = {call_start(world, "GET"), call_start(world, "POST")};
    loop_skip(world_loop(world), world->fixture->context->conf->timeouts.connect - 1);
    loop_turn(world_loop(world), 1);
    assert_int_equal(calls[0]->ends + calls[1]->ends, 0);
    loop_skip(world_loop(world), 1);
    loop_turn(world_loop(world), 1);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(calls[i]->ends, 1);
        assert_int_equal(calls[i]->ex->status, 504);
        assert_string_equal(calls[i]->ex->local_code, "connect_timeout");
        call_free(calls[i]);
    }
    close(filler);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(test_refused_streams, setup, teardown),
    cmocka_unit_test_setup_teardown(test_refused_twice, setup, teardown),
    cmocka_unit_test_setup_teardown(test_a_refused_request_with_a_large_head, setup, teardown),
    cmocka_unit_test_setup_teardown(test_a_refused_request_with_a_large_body, setup, teardown),
    cmocka_unit_test_setup_teardown(test_goaway, setup, teardown),
    cmocka_unit_test_setup_teardown(test_a_broken_connection, setup, teardown),
    cmocka_unit_test_setup_teardown(test_a_fresh_connection_that_breaks, setup, teardown),
    cmocka_unit_test_setup_teardown(test_cut_answers, setup, teardown),
    cmocka_unit_test_setup_teardown(test_nothing_listens, setup, teardown),
    cmocka_unit_test_setup_teardown(test_websockets_are_refused, setup, teardown),
    cmocka_unit_test_setup_teardown(test_leaving_while_it_connects, setup, teardown),
    cmocka_unit_test_setup_teardown(test_timeouts, setup, teardown),
    cmocka_unit_test_setup_teardown(test_a_connection_that_stands_still_gets_nothing_new, setup, teardown),
    cmocka_unit_test_setup_teardown(test_an_origin_that_accepts_nothing, setup, teardown),
    cmocka_unit_test_setup_teardown(test_a_post_takes_no_old_connection, setup, teardown),
    cmocka_unit_test_setup_teardown(test_the_bound_of_streams, setup, teardown),
    cmocka_unit_test_setup_teardown(test_settings_after_the_requests, setup, teardown),
    cmocka_unit_test_setup_teardown(test_bytes_that_are_not_http2, setup, teardown),
    cmocka_unit_test_setup_teardown(test_frames_that_are_wrong, setup, teardown),
    cmocka_unit_test_setup_teardown(test_floods, setup, teardown),
    cmocka_unit_test_setup_teardown(test_heads_at_their_bounds, setup, teardown),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
