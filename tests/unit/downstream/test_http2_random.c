/* Frames and answers in random order, from fixed seeds: no sequence crashes, and when the connection ends
 * every exchange and every buffered byte is released (world_stop asserts it). */
#include "http2_world.h"

#define RUNS   400
#define ACTS   300
#define ORIGIN 64

static uint32_t seed;

static uint32_t any(uint32_t below)
{
    seed = seed * 1664525 + 1013904223;
    return (uint32_t)(((uint64_t)(seed >> 8) * below) >> 24);
}

static char filler[70000];

/* The exchanges that an origin has, from the test's view. */
static exchange_t *taken[ORIGIN];
static size_t taken_count;

static void forget(exchange_t *ex)
{
    for (size_t i = 0; i < taken_count; i++)
        if (taken[i] == ex)
            taken[i--] = taken[--taken_count];
}

static void random_cancel(exchange_t *ex)
{
    forget(ex);
}

static size_t random_room(const exchange_t *ex)
{
    (void)ex;
    return any(3) == 0 ? 0 : any(70000);
}

static void random_take(exchange_t *ex, str_t data)
{
    (void)ex;
    (void)data;
}

static const origin_ops_t random_ops = {.room = random_room,
                                        .send_body = random_take,
                                        .send_end = origin_nothing,
                                        .flush = origin_nothing,
                                        .sent = origin_sent,
                                        .resume_response = origin_nothing,
                                        .cancel = random_cancel};

static step_result_t random_step(exchange_t *ex)
{
    if (any(4) == 0 || taken_count == ORIGIN) {
        exchange_reply(ex, 200, STR("text/plain"), NULL, STR("ok"));
        return STEP_DONE;
    }
    taken[taken_count++] = ex;
    ex->origin_ops = &random_ops;
    exchange_to_origin(ex);
    return STEP_DONE;
}

static const exchange_step_t random_steps[] = {{"test", random_step}, {NULL, NULL}};

static void origin_acts(void)
{
    if (taken_count == 0)
        return;
    exchange_t *ex = taken[any((uint32_t)taken_count)];
    if (ex->state == EXCHANGE_ORIGIN) {
        bool tunnel = ex->request.websocket;
        bool bodyless = !tunnel && any(4) == 0;
        origin_head(ex, tunnel ? 101 : 200, any(2) == 0 ? LENGTH_UNKNOWN : any(100), bodyless, tunnel);
        if (bodyless) {
            forget(ex);
            origin_end(ex);
        }
        return;
    }
    if (ex->state != EXCHANGE_RESPONSE && ex->state != EXCHANGE_TUNNEL)
        return;
    size_t room = exchange_response_body_room(ex);
    switch (any(6)) {
    case 0:
        if (ex->state == EXCHANGE_RESPONSE)
            forget(ex);
        fields_add(&ex->arena, &ex->response.trailers, FIELD_OTHER, STR("X-T"), STR("v"));
        if (!((http2_stream_t *)ex->codec)->response_ended)
            origin_end(ex);
        break;
    case 1:
        forget(ex);
        if (room != 0 && !((http2_stream_t *)ex->codec)->response_ended) {
            char *piece = strdup("what came before the cut"); /* and is gone after it */
            exchange_response_body(ex, str_make(piece, room < 24 ? room : 24));
            ex->origin_ops = NULL;
            exchange_origin_failed(ex, ORIGIN_CLOSED);
            free(piece);
            break;
        }
        ex->origin_ops = NULL;
        exchange_origin_failed(ex, ORIGIN_CLOSED);
        break;
    case 2:
        exchange_request_room_grew(ex);
        break;
    default:
        if (room != 0 && !((http2_stream_t *)ex->codec)->response_ended)
            origin_body(ex, filler, 1 + any((uint32_t)room));
    }
}

static void put_frame(char *out, size_t *n, unsigned type, unsigned flags, uint32_t stream,
                      const char *payload, uint32_t len)
{
    const unsigned char header[9] = {(unsigned char)(len >> 16),
                                     (unsigned char)(len >> 8),
                                     (unsigned char)len,
                                     (unsigned char)type,
                                     (unsigned char)flags,
                                     0,
                                     0,
                                     (unsigned char)(stream >> 8),
                                     (unsigned char)stream};
    memcpy(out + *n, header, sizeof(header));
    memcpy(out + *n + 9, payload, len);
    *n += 9 + len;
}

static uint32_t next_stream;
static bool wild; /* this run's client breaks rules */
static uint32_t open_streams[ACTS];
static size_t open_count;

/* A stream for a frame: open on the client's side, unless the test is wild. 0: none. */
static uint32_t some_stream(bool ends)
{
    if (wild && any(60) == 0)
        return 1 + 2 * any(next_stream / 2 + 1);
    if (open_count == 0)
        return 0;
    size_t i = any((uint32_t)open_count);
    uint32_t id = open_streams[i];
    if (ends)
        open_streams[i] = open_streams[--open_count];
    return id;
}

static uint32_t new_stream(bool ends)
{
    uint32_t id = next_stream;
    next_stream += 2;
    if (!ends)
        open_streams[open_count++] = id;
    return id;
}

/* Mostly sensible, sometimes not. */
static void client_acts(world_t *world)
{
    static const char get[] = "\x82\x87\x84\x01\x08"
                              "a-1.test";
    static const char connect[] = "\x02\x07"
                                  "CONNECT\x87\x84\x01\x08"
                                  "a-1.test\x00\x09:protocol\x09websocket"
                                  "\x00\x15sec-websocket-version\x02"
                                  "13";
    static char out[80000];
    size_t n = 0;
    bool ends = any(2) == 0;
    uint32_t id = 0;
    switch (any(14)) {
    case 0:
    case 1:
    case 2:
        put_frame(out, &n, NGHTTP2_HEADERS, 4 | ends, new_stream(ends), get, sizeof(get) - 1);
        break;
    case 3:
        put_frame(out, &n, NGHTTP2_HEADERS, 4, new_stream(false), connect, sizeof(connect) - 1);
        break;
    case 4:
    case 5:
    case 6:
        ends = any(8) == 0;
        id = some_stream(ends);
        if (id != 0)
            put_frame(out, &n, NGHTTP2_DATA, ends, id, filler, any(3) == 0 ? any(2000) : any(50));
        break;
    case 7:
        id = some_stream(true);
        if (id != 0)
            put_frame(out, &n, NGHTTP2_RST_STREAM, 0, id, "\0\0\0\x08", 4);
        break;
    case 8:
    case 9:
        put_frame(out, &n, NGHTTP2_WINDOW_UPDATE, 0, any(2) == 0 ? 0 : some_stream(false),
                  wild && any(20) == 0 ? "\0\0\0\0" : "\0\0\x40\0", 4);
        break;
    case 10:
        put_frame(out, &n, NGHTTP2_SETTINGS, 0, 0, any(2) == 0 ? "\0\4\0\0\0\0" : "\0\4\0\0\x80\0", 6);
        break;
    case 11: /* trailers */
        id = some_stream(true);
        if (id != 0)
            put_frame(out, &n, NGHTTP2_HEADERS, 5, id, "\x00\x01t\x01v", 5);
        break;
    case 12:
        put_frame(out, &n, NGHTTP2_PING, 0, 0, filler, 8);
        break;
    default:
        if (wild && any(10) == 0)
            put_frame(out, &n, any(12), any(64), some_stream(false), filler + any(100), any(40));
    }
    size_t cut = any(4) == 0 ? any((uint32_t)n + 1) : n;
    world_raw(world, out, cut);
    if (any(2) == 0)
        world_turn(world);
    world_raw(world, out + cut, n - cut);
}

static void run(world_t *world)
{
    next_stream = 1;
    taken_count = open_count = 0;
    wild = any(2) == 0;
    http2_world_connect(world);
    world->server->steps = random_steps;
    static const char hello[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
    world_raw(world, hello, sizeof(hello) - 1);
    unsigned drain = any(4) == 0 ? any(ACTS) : ACTS;
    for (unsigned i = 0; i < ACTS && !world_closed(world); i++) {
        if (any(3) != 0)
            client_acts(world);
        else
            origin_acts();
        if (any(3) == 0)
            world_turn(world);
        static char unread[65536];
        if (any(3) != 0)
            (void)!recv(world->fd, unread, sizeof(unread), MSG_DONTWAIT);
        if (i == drain && !world_closed(world))
            world->server->codec->drain(world->server);
    }
}

static void test_random(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(filler); i++)
        filler[i] = (char)any(256);
    for (uint32_t i = 0; i < RUNS; i++) {
        seed = i * 2654435761u + 1;
        (void)any(2);
        world_t *world = malloc(sizeof(*world));
        world_start(world);
        run(world);
        world_stop(world);
        free(world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
