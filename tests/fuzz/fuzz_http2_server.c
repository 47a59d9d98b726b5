/*
 * A hostile client of the HTTP/2 server, and an origin with any actions in any order. The connection is one
 * of the unit tests (http2_world.h): the server on one end of a socket pair, a loop whose clock stands still.
 *
 * The input is a list of acts (acts[] below): bytes and frames of the client, actions of the origin on its
 * requests, and events of the process. At the end the connection is destroyed, or its client leaves, or time
 * passes: it ends in each of these ways, and leaves no memory and no wait.
 */
#include "http2_world.h"

#include <stdlib.h>

#include "relief.h"
#include "tunnel.h"

#define INPUT_MAX 8192
#define ACTS_MAX  400
#define TAKEN_MAX 64
/* Until every timer of the server has expired. */
#define ROUNDS_MAX 64
#define ROUND_MS   61000

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

/* The step's action on the next request. */
typedef enum fate { FATE_ANSWER, FATE_WAIT, FATE_BODY, FATE_ORIGIN, FATES } fate_t;

/* The first byte of an input. */
enum {
    SETUP_END = 3, /* end_t */
    SETUP_HELLO = 4,
    SETUP_LITTLE_MEMORY = 8,
    SETUP_FEW_STREAMS = 16,
    SETUP_PIECES = 32, /* the client's bytes arrive one by one */
};
typedef enum end { END_DESTROY, END_CLIENT_GOES, END_READS_ON, END_SILENCE } end_t;

typedef struct input {
    const uint8_t *at;
    size_t left;
} input_t;

static world_t *world;
static fate_t fate;
static bool pieces;
static size_t room;
static uint32_t next_stream;
static exchange_t *taken[TAKEN_MAX]; /* at the origin, or waiting for the world */
static size_t taken_count;
static char filler[70000];

static uint8_t next(input_t *in)
{
    if (in->left == 0)
        return 0;
    in->left--;
    return *in->at++;
}

static str_t next_bytes(input_t *in, size_t n)
{
    str_t bytes = str_make((const char *)in->at, n < in->left ? n : in->left);
    in->at += bytes.n;
    in->left -= bytes.n;
    return bytes;
}

/* ---- the origin ---- */

static void take(exchange_t *ex)
{
    assert_true(taken_count < TAKEN_MAX);
    taken[taken_count++] = ex;
}

static void forget(exchange_t *ex)
{
    for (size_t i = 0; i < taken_count; i++)
        if (taken[i] == ex)
            taken[i--] = taken[--taken_count];
}

static size_t room_now(const exchange_t *ex)
{
    (void)ex;
    return room;
}

static void send_body(exchange_t *ex, str_t data)
{
    (void)ex;
    assert_true(data.n <= room);
    room -= data.n;
}

static const origin_ops_t ops = {.room = room_now,
                                 .send_body = send_body,
                                 .send_end = origin_nothing,
                                 .flush = origin_nothing,
                                 .sent = origin_sent,
                                 .resume_response = origin_nothing,
                                 .cancel = forget};

static void leave(exchange_t *ex, await_end_t how)
{
    (void)how;
    forget(ex);
}

static const await_source_t source = {.name = "world", .leave = leave};

static step_result_t step(exchange_t *ex)
{
    if (fate == FATE_BODY && !exchange_await_body(ex))
        return STEP_WAIT;
    if (fate == FATE_WAIT && taken_count < TAKEN_MAX) {
        take(ex);
        await_begin(ex, &source);
        return STEP_WAIT;
    }
    if (fate == FATE_ORIGIN && taken_count < TAKEN_MAX) {
        take(ex);
        ex->origin_ops = &ops;
        exchange_to_origin(ex);
        return STEP_DONE;
    }
    exchange_reply(ex, 200, STR("text/plain"), NULL, str_make(filler, 20000));
    return STEP_DONE;
}

static const exchange_step_t steps[] = {{"fuzz", step}, {NULL, NULL}};

/* The origin is finished: like the codecs, it lets go first. */
static void let_go(exchange_t *ex)
{
    forget(ex);
    ex->origin_ops = NULL;
}

static void fail_origin(exchange_t *ex)
{
    let_go(ex);
    exchange_origin_failed(ex, ORIGIN_CLOSED);
}

static void end_response(exchange_t *ex, bool trailers)
{
    if (trailers)
        fields_add(&ex->arena, &ex->response.trailers, FIELD_OTHER, STR("x-t"), STR("v"));
    if (ex->state == EXCHANGE_RESPONSE)
        let_go(ex);
    origin_end(ex);
}

static void head(exchange_t *ex, unsigned kind)
{
    static const uint64_t lengths[] = {LENGTH_UNKNOWN, 100, 0, 1 << 20};
    bool tunnel = ex->request.websocket && (kind & 8) == 0, bodyless = !tunnel && (kind & 4) != 0;
    if (str_eq(ex->request.method, STR("HEAD")))
        bodyless = true;
    origin_head(ex, tunnel ? 101 : 200, lengths[kind & 3], bodyless, tunnel);
    if (bodyless && ex->origin_ops != NULL)
        end_response(ex, false);
}

static void body(exchange_t *ex, size_t n, bool cut)
{
    size_t most = exchange_response_body_room(ex);
    n = n < most ? n : most;
    if (n == 0)
        return;
    char *piece = malloc(n); /* gone after the flush */
    memset(piece, 'b', n);
    exchange_response_body(ex, str_make(piece, n));
    if (cut && ex->state != EXCHANGE_DONE)
        fail_origin(ex);
    else
        exchange_response_flush(ex);
    free(piece);
}

static void origin_goes_on(exchange_t *ex, unsigned what, uint8_t argument)
{
    static const fields_t none;
    static const int interim[] = {100, 102, 103, 199};
    bool begun = ex->state == EXCHANGE_RESPONSE || ex->state == EXCHANGE_TUNNEL;
    if (ex->state == EXCHANGE_ORIGIN && what < 8)
        head(ex, argument);
    else if (ex->state == EXCHANGE_ORIGIN && what == 8)
        exchange_response_informational(ex, interim[argument & 3], &none);
    else if (what == 9)
        fail_origin(ex);
    else if (what == 10)
        exchange_request_room_grew(ex);
    else if (begun && !ex->response_complete && what >= 11 && what <= 12)
        end_response(ex, what == 11 && ex->state == EXCHANGE_RESPONSE);
    else if (begun && !ex->response_complete)
        body(ex, (size_t)argument << (what % 8), what == 13);
}

static void origin_acts(input_t *in, unsigned what)
{
    uint8_t which = next(in), argument = next(in);
    if (taken_count == 0)
        return;
    exchange_t *ex = taken[which % taken_count];
    if (ex->state == EXCHANGE_STEPS)
        await_complete(ex);
    else
        origin_goes_on(ex, what, argument);
}

/* ---- the client ---- */

static void sends(const void *bytes, size_t n)
{
    for (size_t i = 0; pieces && i < n && n < 200; i++) {
        world_raw(world, (const char *)bytes + i, 1);
        world_turn(world);
    }
    if (!pieces || n >= 200)
        world_raw(world, bytes, n);
}

static void frame(unsigned type, unsigned flags, uint32_t stream, const char *payload, size_t len)
{
    static char out[sizeof(filler) + 9];
    const unsigned char header[9] = {
        (unsigned char)(len >> 16),    (unsigned char)(len >> 8),    (unsigned char)len,
        (unsigned char)type,           (unsigned char)flags,         (unsigned char)(stream >> 24),
        (unsigned char)(stream >> 16), (unsigned char)(stream >> 8), (unsigned char)stream};
    memcpy(out, header, sizeof(header));
    memcpy(out + 9, payload, len);
    sends(out, len + 9);
}

/* One of the last streams; 0 only if none existed. */
static uint32_t some_stream(uint8_t which)
{
    uint32_t back = 2 * (uint32_t)(which % 16);
    return next_stream < 3 ? 0 : back + 3 > next_stream ? 1 : next_stream - 2 - back;
}

static void raw(input_t *in, unsigned what)
{
    str_t bytes = next_bytes(in, next(in));
    (void)what;
    sends(bytes.p, bytes.n);
}

/* Only its length is right. */
static void any_frame(input_t *in, unsigned what)
{
    uint8_t type = next(in), flags = next(in), stream = next(in);
    str_t payload = next_bytes(in, next(in));
    frame(type % 16, flags, (what & 1) != 0 ? some_stream(stream) : stream, payload.p, payload.n);
}

#define REST_OF_HEAD                                                                                         \
    "\x87\x84\x01\x08"                                                                                       \
    "a-1.test"
#define HEAD_OF(method, fields)                                                                              \
    {                                                                                                        \
        method REST_OF_HEAD fields, sizeof(method REST_OF_HEAD fields) - 1                                   \
    }

static void request(input_t *in, unsigned what)
{
    static const str_t heads[] = {
        HEAD_OF("\x82", ""),
        HEAD_OF("\x83", ""),
        HEAD_OF("\x02\x04HEAD", ""),
        HEAD_OF("\x83", "\x0f\x0d\x02" /* content-length */ "10"),
        HEAD_OF("\x83", "\x00\x06"
                        "expect\x0c"
                        "100-continue"),
        HEAD_OF("\x83", "\x0f\x10\x10"
                        "application/grpc"),
        HEAD_OF("\x02\x07"
                "CONNECT",
                "\x00\x09:protocol\x09websocket\x00\x15sec-websocket-version\x02"
                "13"),
        HEAD_OF("\x82", "\x00\x01X\x01v"), /* malformed */
    };
    str_t fields = heads[what & 7];
    uint8_t more = next(in);
    fate = (fate_t)(more >> 2 & 3);
    room = (more & 16) != 0 ? 0 : 65536;
    frame(NGHTTP2_HEADERS, 4 | (what >> 3), next_stream, fields.p, fields.n);
    next_stream += 2;
    if ((more & 1) != 0) /* trailers */
        frame(NGHTTP2_HEADERS, 5, next_stream - 2, "\x00\x01t\x01v", 5);
}

static void data(input_t *in, unsigned what)
{
    uint8_t stream = next(in), size = next(in);
    frame(NGHTTP2_DATA, what & 1, some_stream(stream), filler, (size_t)size << (what >> 1 & 7) & 0x3fff);
}

static void reset(input_t *in, unsigned what)
{
    const char code[4] = {0, 0, 0, (char)what};
    frame(NGHTTP2_RST_STREAM, 0, some_stream(next(in)), code, sizeof(code));
}

static void window(input_t *in, unsigned what)
{
    static const char by[4][4] = {"\0\0\0\1", "\0\0\x40\0", "\0\1\0\0", "\x7f\xff\xff\xff"};
    uint8_t stream = next(in);
    frame(NGHTTP2_WINDOW_UPDATE, 0, (what & 8) != 0 ? 0 : some_stream(stream), by[what & 3], 4);
}

static void settings(input_t *in, unsigned what)
{
    static const char windows[4][6] = {"\0\4\0\0\0\0", "\0\4\0\0\0\1", "\0\4\0\0\x80\0",
                                       "\0\4\x7f\xff\xff\xff"};
    (void)in;
    frame(NGHTTP2_SETTINGS, what >> 3, 0, windows[what & 3], what >> 3 != 0 ? 0 : 6);
}

static void turn(input_t *in, unsigned what)
{
    (void)in;
    for (unsigned i = 0; i <= what % 4; i++)
        world_turn(world);
}

static void reads(input_t *in, unsigned what)
{
    static char unread[65536];
    (void)in;
    (void)!recv(world->fd, unread, (size_t)16 << (what % 13), MSG_DONTWAIT);
}

static void goes(input_t *in, unsigned what)
{
    (void)in;
    shutdown(world->fd, what == 0 ? SHUT_RDWR : what == 1 ? SHUT_RD : SHUT_WR);
    world_turn(world);
}

/* ---- the process ---- */

static void time_goes(input_t *in, unsigned what)
{
    (void)in;
    loop_skip(world->loop, (uint64_t)8 << what);
    world_turn(world);
}

static void process_acts(input_t *in, unsigned what)
{
    (void)in;
    if (world_closed(world))
        return;
    switch (what) {
    case 0:
        world->context->draining = true;
        world->server->codec->drain(world->server);
        break;
    case 1:
        tunnels_close_preview(world->context, STR(""), 0, 1);
        break;
    case 2:
        relief_turn(world->context);
        break;
    case 3:
        if (world->server->codec->stalled(world->server, loop_now(world->loop)) != 0)
            world->server->codec->relieve(world->server, loop_now(world->loop), 0);
        break;
    default:
        world->conf.limits.memory_bytes = (uint64_t)1 << (what + 12);
    }
}

static void (*const acts[16])(input_t *in, unsigned what) = {
    raw,  any_frame, request,   data,         reset, window,  settings,    origin_acts,
    turn, reads,     time_goes, process_acts, goes,  request, origin_acts, origin_acts,
};

/* ---- tunnels, the one feature of the pipeline ---- */

static bool (*const judge_head[])(exchange_t *) = {tunnel_judge_head, NULL};
static const exchange_hook_t response_head[] = {tunnel_response_head, NULL};
static void (*const request_body[])(exchange_t *, str_t) = {tunnel_request_body, NULL};
static bool (*const response_body[])(exchange_t *, str_t *) = {tunnel_response_body, NULL};
static bool (*const origin_left[])(exchange_t *, const origin_failure_t *) = {tunnel_origin_left, NULL};
static const exchange_hook_t drain[] = {tunnel_drain, NULL};
static const exchange_hook_t leave_tunnel[] = {tunnel_leave, NULL};
static const exchange_hook_t close_tunnel[] = {tunnel_close, NULL};

static exchange_hooks_t with_tunnels(exchange_hooks_t hooks)
{
    hooks.judge_head = judge_head;
    hooks.response_head = response_head;
    hooks.request_body = request_body;
    hooks.response_body = response_body;
    hooks.origin_left = origin_left;
    hooks.drain = drain;
    hooks.leave = leave_tunnel;
    hooks.end = close_tunnel;
    return hooks;
}

/* ---- the end ---- */

static void drain_socket(void)
{
    static char unread[65536];
    while (recv(world->fd, unread, sizeof(unread), MSG_DONTWAIT) > 0)
        continue;
}

/* Origins are finished with all of them, and no step waits for them any more. */
static void origins_end(void)
{
    fate = FATE_ANSWER;
    while (taken_count != 0) {
        exchange_t *ex = taken[0];
        if (ex->state == EXCHANGE_STEPS)
            await_complete(ex);
        else
            fail_origin(ex);
    }
}

static void expect_end(bool reads_on)
{
    for (int round = 0; round < ROUNDS_MAX && !world_closed(world); round++) {
        for (int i = 0; i < 8; i++) {
            world_turn(world);
            origins_end();
            if (reads_on)
                drain_socket();
        }
        loop_skip(world->loop, ROUND_MS);
    }
    assert_true(world_closed(world));
}

static void end(end_t how)
{
    if (how == END_CLIENT_GOES)
        shutdown(world->fd, SHUT_RDWR);
    if (how != END_DESTROY)
        expect_end(how == END_READS_ON);
    else if (!world_closed(world))
        world->server->codec->destroy(world->server);
    assert_int_equal(taken_count, 0);
    http2_world_disconnect(world);
    loop_skip(world->loop, ROUND_MS * ROUNDS_MAX);
    world_turn(world); /* a timer of freed memory would show */
}

static world_t *world_new(void)
{
    setenv("CMOCKA_TEST_ABORT", "1", 1); /* the fixtures' assertions */
    world_t *made = malloc(sizeof(*made));
    assert_non_null(made);
    static context_t context;
    static pipeline_t pipeline;
    pipeline = bare_pipeline;
    pipeline.hooks = with_tunnels(bare_pipeline.hooks);
    world_start_in(made, &context, &pipeline);
    loop_hold(made->loop);
    return made;
}

static void begin(uint8_t setup)
{
    world->context->draining = false;
    world->context->client_faults = (fault_log_t){.window_ms = loop_now(world->loop), .lines = FAULT_LINES};
    world->conf.limits.memory_bytes = (setup & SETUP_LITTLE_MEMORY) != 0 ? 1 << 18 : 1 << 28;
    world->conf.limits.streams = (setup & SETUP_FEW_STREAMS) != 0 ? 2 : 128;
    http2_world_connect(world);
    world->server->steps = steps;
    pieces = (setup & SETUP_PIECES) != 0;
    next_stream = 1;
    static const char hello[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0";
    if ((setup & SETUP_HELLO) != 0)
        sends(hello, sizeof(hello));
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    if (size == 0 || size > INPUT_MAX)
        return 0;
    if (world == NULL)
        world = world_new();
    begin(input[0]);
    input_t in = {.at = input + 1, .left = size - 1};
    for (int i = 0; i < ACTS_MAX && in.left != 0 && !world_closed(world); i++) {
        uint8_t act = next(&in);
        acts[act & 15](&in, act >> 4);
    }
    end((end_t)(input[0] & SETUP_END));
    return 0;
}
