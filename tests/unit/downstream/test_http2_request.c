/* Heads over HTTP/2: refused ones with their answers, and the exchange's view of the others. */
#include "http2_world.h"

#define NONE ((nghttp2_nv){.name = NULL})

typedef struct head_case {
    const char *what;
    nghttp2_nv nva[8];
    int status;    /* its status */
    uint32_t code; /* and the code of the reset after it, if not 0 */
} head_case_t;

#define WS NV(":method", "CONNECT"), NV(":protocol", "websocket"), SCHEME, AUTHORITY, PATH

static const head_case_t cases[] = {
    {"a good one", {METHOD, SCHEME, AUTHORITY, PATH}, 200, 0},
    {"any order of pseudo-fields", {PATH, AUTHORITY, SCHEME, METHOD}, 200, 0},
    {"http as the scheme", {METHOD, NV(":scheme", "http"), AUTHORITY, PATH}, 200, 0},
    {"Host alone", {METHOD, SCHEME, PATH, NV("host", "a-1.test")}, 200, 0},
    {"Host that agrees", {METHOD, SCHEME, AUTHORITY, PATH, NV("host", "A-1.test:443")}, 200, 0},
    {"OPTIONS *", {NV(":method", "OPTIONS"), SCHEME, AUTHORITY, NV(":path", "*")}, 200, 0},
    {"te: trailers", {METHOD, SCHEME, AUTHORITY, PATH, NV("te", "trailers")}, 200, 0},
    {"an unknown method", {NV(":method", "BREW"), SCHEME, AUTHORITY, PATH}, 200, 0},
    {"bytes over 0x7f in a value", {METHOD, SCHEME, AUTHORITY, PATH, NV("x", "\xc3\xa9")}, 200, 0},

    {"no :method", {SCHEME, AUTHORITY, PATH}, 400, NGHTTP2_PROTOCOL_ERROR},
    {"no :scheme", {METHOD, AUTHORITY, PATH}, 400, NGHTTP2_PROTOCOL_ERROR},
    {"no :path", {METHOD, SCHEME, AUTHORITY}, 400, NGHTTP2_PROTOCOL_ERROR},
    {"no authority at all", {METHOD, SCHEME, PATH}, 400, 0},
    {"an empty :path", {METHOD, SCHEME, AUTHORITY, NV(":path", "")}, 400, NGHTTP2_PROTOCOL_ERROR},
    {"an empty :method", {NV(":method", ""), SCHEME, AUTHORITY, PATH}, 400, NGHTTP2_PROTOCOL_ERROR},
    {"an empty :scheme", {METHOD, NV(":scheme", ""), AUTHORITY, PATH}, 400, NGHTTP2_PROTOCOL_ERROR},
    {"an empty :authority beside Host",
     {METHOD, SCHEME, NV(":authority", ""), PATH, NV("host", "a-1.test")},
     400,
     NGHTTP2_PROTOCOL_ERROR},
    {"an empty Host", {METHOD, SCHEME, AUTHORITY, PATH, NV("host", "")}, 400, NGHTTP2_PROTOCOL_ERROR},
    {"an empty :protocol",
     {METHOD, NV(":protocol", ""), SCHEME, AUTHORITY, PATH},
     400,
     NGHTTP2_PROTOCOL_ERROR},
    {"an empty :protocol with CONNECT",
     {NV(":method", "CONNECT"), NV(":protocol", ""), SCHEME, AUTHORITY, PATH},
     400,
     NGHTTP2_PROTOCOL_ERROR},
    {"two :path", {METHOD, SCHEME, AUTHORITY, PATH, PATH}, 400, NGHTTP2_PROTOCOL_ERROR},
    {"two :method", {METHOD, METHOD, SCHEME, AUTHORITY, PATH}, 400, NGHTTP2_PROTOCOL_ERROR},
    {"an unknown pseudo-field",
     {METHOD, SCHEME, AUTHORITY, PATH, NV(":x", "y")},
     400,
     NGHTTP2_PROTOCOL_ERROR},
    {":status", {METHOD, SCHEME, AUTHORITY, PATH, NV(":status", "200")}, 400, NGHTTP2_PROTOCOL_ERROR},
    {"a pseudo-field after others",
     {METHOD, SCHEME, AUTHORITY, NV("x", "y"), PATH},
     400,
     NGHTTP2_PROTOCOL_ERROR},
    {"Connection",
     {METHOD, SCHEME, AUTHORITY, PATH, NV("connection", "keep-alive")},
     400,
     NGHTTP2_PROTOCOL_ERROR},
    {"Keep-Alive", {METHOD, SCHEME, AUTHORITY, PATH, NV("keep-alive", "3")}, 400, NGHTTP2_PROTOCOL_ERROR},
    {"Proxy-Connection",
     {METHOD, SCHEME, AUTHORITY, PATH, NV("proxy-connection", "keep-alive")},
     400,
     NGHTTP2_PROTOCOL_ERROR},
    {"Transfer-Encoding",
     {METHOD, SCHEME, AUTHORITY, PATH, NV("transfer-encoding", "chunked")},
     400,
     NGHTTP2_PROTOCOL_ERROR},
    {"Upgrade", {METHOD, SCHEME, AUTHORITY, PATH, NV("upgrade", "websocket")}, 400, NGHTTP2_PROTOCOL_ERROR},
    {"te: gzip", {METHOD, SCHEME, AUTHORITY, PATH, NV("te", "trailers, gzip")}, 400, NGHTTP2_PROTOCOL_ERROR},
    {"a space in a name", {METHOD, SCHEME, AUTHORITY, PATH, NV("a b", "c")}, 400, NGHTTP2_PROTOCOL_ERROR},
    {"a colon in a name", {METHOD, SCHEME, AUTHORITY, PATH, NV("a:b", "c")}, 400, NGHTTP2_PROTOCOL_ERROR},
    {"an empty name", {METHOD, SCHEME, AUTHORITY, PATH, NV("", "c")}, 400, NGHTTP2_PROTOCOL_ERROR},
    {"CR LF in a value",
     {METHOD, SCHEME, AUTHORITY, PATH, NV("a", "b\r\nc: d")},
     400,
     NGHTTP2_PROTOCOL_ERROR},
    {"NUL in a value", {METHOD, SCHEME, AUTHORITY, PATH, NV("a", "b\0c")}, 400, NGHTTP2_PROTOCOL_ERROR},
    {"DEL in a value", {METHOD, SCHEME, AUTHORITY, PATH, NV("a", "b\x7f")}, 400, NGHTTP2_PROTOCOL_ERROR},
    {"space around a value", {METHOD, SCHEME, AUTHORITY, PATH, NV("a", " b")}, 400, NGHTTP2_PROTOCOL_ERROR},
    {"a length that is no number",
     {METHOD, SCHEME, AUTHORITY, PATH, NV("content-length", "+1")},
     400,
     NGHTTP2_PROTOCOL_ERROR},
    {"two lengths",
     {METHOD, SCHEME, AUTHORITY, PATH, NV("content-length", "0"), NV("content-length", "0")},
     400,
     0},
    {"a length without a body",
     {METHOD, SCHEME, AUTHORITY, PATH, NV("content-length", "3")},
     400,
     NGHTTP2_PROTOCOL_ERROR},
    {"a space in :path", {METHOD, SCHEME, AUTHORITY, NV(":path", "/a b")}, 400, 0},
    {"CR LF in :path",
     {METHOD, SCHEME, AUTHORITY, NV(":path", "/ HTTP/1.1\r\nx: y")},
     400,
     NGHTTP2_PROTOCOL_ERROR},

    {"a fragment in :path", {METHOD, SCHEME, AUTHORITY, NV(":path", "/a#b")}, 400, 0},
    {"a byte over 0x7e in :path", {METHOD, SCHEME, AUTHORITY, NV(":path", "/\xff")}, 400, 0},
    {":path without a slash", {METHOD, SCHEME, AUTHORITY, NV(":path", "a")}, 400, 0},
    {":path with a scheme", {METHOD, SCHEME, AUTHORITY, NV(":path", "https://b/")}, 400, 0},
    {"* with GET", {METHOD, SCHEME, AUTHORITY, NV(":path", "*")}, 400, 0},
    {"Host that disagrees", {METHOD, SCHEME, AUTHORITY, PATH, NV("host", "b-1.test")}, 400, 0},
    {"Host with another port", {METHOD, SCHEME, AUTHORITY, PATH, NV("host", "a-1.test:80")}, 400, 0},
    {"user information", {METHOD, SCHEME, NV(":authority", "u@a-1.test"), PATH}, 400, 0},
    {"a scheme of another protocol", {METHOD, NV(":scheme", "ftp"), AUTHORITY, PATH}, 400, 0},
    {"two of a field that comes once",
     {METHOD, SCHEME, AUTHORITY, PATH, NV("authorization", "a"), NV("authorization", "b")},
     400,
     0},
    {"a long method", {NV(":method", "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGH"), SCHEME, AUTHORITY, PATH}, 501, 0},
    {"plain CONNECT", {NV(":method", "CONNECT"), AUTHORITY}, 501, 0},
    {"another :protocol",
     {NV(":method", "CONNECT"), NV(":protocol", "connect-udp"), SCHEME, AUTHORITY, PATH,
      NV("sec-websocket-version", "13")},
     501,
     0},
    {"a WebSocket without its version", {WS}, 400, 0},
    {"a WebSocket of another version", {WS, NV("sec-websocket-version", "8")}, 400, 0},
    {"a WebSocket whose stream has ended", {WS, NV("sec-websocket-version", "13")}, 400, 0},
    {":protocol without CONNECT", {METHOD, NV(":protocol", "websocket"), SCHEME, AUTHORITY, PATH}, 400, 0},
    {"another expectation", {METHOD, SCHEME, AUTHORITY, PATH, NV("expect", "a-miracle")}, 417, 0},
};

static void test_heads(void **state)
{
    world_t *world = *state;
    http2_world_connect(world);
    world->answer_at_once = true;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const head_case_t *c = &cases[i];
        int32_t id = world_raw_request(world, c->nva, world_nv_count(c->nva));
        world_pump(world);
        const seen_t *seen = world_seen(world, id);
        if (seen->status != c->status || seen->reset != (c->code != 0) || seen->ended == seen->reset ||
            (seen->reset && seen->code != c->code) || world->goaway)
            fail_msg("%s: status %d, reset %d with %u", c->what, seen->status, seen->reset, seen->code);
        assert_int_equal(world->counters.exchanges_open, 0);
    }
}

/* nghttp2's client lowers names, so the frame is made by hand. */
static void test_upper_case_name(void **state)
{
    world_t *world = *state;
    http2_world_connect(world);
    world->answer_at_once = true;
    world_pump(world);
    world->reads = false; /* its session does not know these streams */
    static const char block[] = "\x82\x87\x84\x41\x08"
                                "a-1.test"
                                "\x00\x03X-A\x01z";
    char frame[9 + sizeof(block) - 1] = {0, 0, (char)(sizeof(block) - 1), 1, 5, 0, 0, 0, 1};
    memcpy(frame + 9, block, sizeof(block) - 1);
    world_raw(world, frame, sizeof(frame));
    world_pump(world);
    assert_int_equal(world->started, 0);
    frame[sizeof(frame) - 5] = 'x';
    frame[sizeof(frame) - 3] = 'a';
    frame[8] = 3;
    world_raw(world, frame, sizeof(frame));
    world_pump(world);
    assert_int_equal(world->started, 1);
}

static void test_crumbs(void **state)
{
    world_t *world = *state;
    http2_world_connect(world);
    nghttp2_nv crumbs[150];
    for (size_t i = 0; i < 150; i++)
        crumbs[i] = i % 3 == 0 ? nv("cookie", "a=1") : nv("cookie", "b=2");
    world_request(world, "GET", "/", crumbs, 3);
    world_pump(world);
    exchange_t *ex = world->last;
    assert_non_null(ex);
    assert_int_equal(fields_count(&ex->request.fields, FIELD_COOKIE), 1);
    assert_true(str_eq(fields_value(&ex->request.fields, FIELD_COOKIE), STR("a=1; b=2; b=2")));
    /* 150 crumbs are one field. */
    world->answer_at_once = true;
    int32_t id = world_request(world, "GET", "/", crumbs, 150);
    world_pump(world);
    assert_int_equal(world_seen(world, id)->status, 200);
}

static void test_what_leaves_the_fields(void **state)
{
    world_t *world = *state;
    http2_world_connect(world);
    const nghttp2_nv extra[] = {nv("host", "box-3000.preview.test"), nv("content-length", "0"),
                                nv("x-a", "1"), nv("priority", "u=1, i")};
    world_request(world, "GET", "/", extra, 4);
    world_pump(world);
    const request_t *request = &world->last->request;
    assert_int_equal(request->fields.count, 2);
    assert_true(str_eq(request->fields.at[0].name, STR("x-a")));
    assert_int_equal(request->content_length, 0);
    assert_int_equal(http2_urgency(&request->fields), 1);
}

static int status_of(world_t *world, const nghttp2_nv *extra, size_t n)
{
    int32_t id = world_request(world, "GET", "/", extra, n);
    world_pump(world);
    return world_seen(world, id)->status;
}

static void test_field_count(void **state)
{
    world_t *world = *state;
    http2_world_connect(world);
    world->answer_at_once = true;
    nghttp2_nv extra[101];
    for (size_t i = 0; i < 101; i++)
        extra[i] = nv("x-a", "1");
    assert_int_equal(status_of(world, extra, 100), 200);
    assert_int_equal(status_of(world, extra, 101), 431);
    assert_int_equal(status_of(world, extra, 100), 200);
}

static void test_field_bytes(void **state)
{
    world_t *world = *state;
    http2_world_connect(world);
    world->answer_at_once = true;
    /* The size of world_request's pseudo-fields. */
    size_t pseudo = strlen(":methodGET:schemehttps:authoritybox-3000.preview.test:path/") + 4 * 32;
    static char value[40000];
    memset(value, 'v', sizeof(value) - 1);
    size_t most = 32768 - pseudo - 32 - 1;
    nghttp2_nv extra = {.name = (uint8_t *)"x", .namelen = 1, .value = (uint8_t *)value, .valuelen = most};
    assert_int_equal(status_of(world, &extra, 1), 200);
    extra.valuelen++;
    assert_int_equal(status_of(world, &extra, 1), 431);
    extra.valuelen = 39999;
    assert_int_equal(status_of(world, &extra, 1), 431);
    extra.valuelen = 1;
    assert_int_equal(status_of(world, &extra, 1), 200);
    assert_false(world->goaway);
}

static void test_length_against_data(void **state)
{
    world_t *world = *state;
    http2_world_connect(world);
    nghttp2_nv length = nv("content-length", "5");
    int32_t shorter = world_upload(world, &length, 1, "abc", 3, false);
    int32_t longer = world_upload(world, &length, 1, "abcdef", 6, false);
    int32_t right = world_upload(world, &length, 1, "abcde", 5, false);
    world_pump(world);
    assert_int_equal(world_seen(world, shorter)->code, NGHTTP2_PROTOCOL_ERROR);
    assert_int_equal(world_seen(world, longer)->code, NGHTTP2_PROTOCOL_ERROR);
    assert_false(world_seen(world, right)->reset);
    assert_int_equal(world->counters.exchanges_open, 1);
}

/* A stream over the limit is refused, and its remaining frames affect no other stream. */
static void test_too_many_streams(void **state)
{
    world_t *world = *state;
    world->conf.limits.streams = 3;
    http2_world_connect(world);
    world->reads = false; /* its session does not know these streams */
#define GET(id)                                                                                              \
    "\0\0\x0d\1\4\0\0\0" id "\x82\x87\x84\x01\x08"                                                           \
    "a-1.test"
    /* A client that has not seen the limit yet. After its acknowledgement it is a connection error. */
    static const char frames[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0" GET("\1") GET("\3")
        GET("\5") GET("\7") "\0\0\4\3\0\0\0\0\1\0\0\0\x08" /* RST_STREAM of 1, which makes room for 9 */
        GET("\x09") "\0\0\1\0\1\0\0\0\7x"                  /* DATA for 7 */
                    "\0\0\1\0\1\0\0\0\x09y";
    world_raw(world, frames, sizeof(frames) - 1);
    for (unsigned i = 0; i < 10; i++)
        world_turn(world);
    assert_int_equal(world->started, 3); /* 1 was reset before it had begun */
    assert_int_equal(world->taken, 1);
    assert_int_equal(world->request_body[0], 'y');
    assert_int_equal(world->counters.exchanges_open, 3);
    assert_false(world_closed(world));
}

static void test_closed_stream(void **state)
{
    world_t *world = *state;
    http2_world_connect(world);
    world->answer_at_once = true;
    int32_t id = world_request(world, "GET", "/", NULL, 0);
    world_pump(world);
    assert_true(world_seen(world, id)->closed);
    static const char data[] = "\0\0\1\0\1\0\0\0\1x";
    world_raw(world, data, sizeof(data) - 1);
    world_until(world, world->goaway, 30000);
    assert_int_equal(world->goaway_code, NGHTTP2_STREAM_CLOSED);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, world_set_up, world_tear_down)
    const struct CMUnitTest tests[] = {T(test_heads),
                                       T(test_upper_case_name),
                                       T(test_crumbs),
                                       T(test_what_leaves_the_fields),
                                       T(test_field_count),
                                       T(test_field_bytes),
                                       T(test_length_against_data),
                                       T(test_too_many_streams),
                                       T(test_closed_stream)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
