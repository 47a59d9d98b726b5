/* Request heads: accepted and refused ones, limits at their bounds, and pieces against the whole. */
#include "heads_expect.h"

#include "arena.h"

static void expect_ok(request_parse_t *p, str_t data)
{
    parse_request_all_ways(p, data);
    if (p->result != HTTP1_OK)
        fail_msg("refused (%s): %.*s", p->result == HTTP1_BAD ? p->error.sentence : "incomplete",
                 STR_ARG(data));
}

#define assert_str(actual, literal)                                                                          \
    do {                                                                                                     \
        str_t actual_ = (actual);                                                                            \
        if (!str_eq(actual_, STR(literal)))                                                                  \
            fail_msg("\"%.*s\" is not \"%s\"", STR_ARG(actual_), literal);                                   \
    } while (0)

static void test_head(void **state)
{
    (void)state;
    request_parse_t p;
    expect_ok(&p, STR("GET /a/b?c=d HTTP/1.1\r\nHost: A.test:8443\r\nAccept:\t text/html \t\r\nX-Empty:\r\n"
                      "x_under: \xff\r\n\r\nGET /next"));
    assert_int_equal(p.request.version, HTTP_1_1);
    assert_str(p.request.method, "GET");
    assert_str(p.request.target, "/a/b?c=d");
    assert_str(p.request.authority, "A.test:8443");
    assert_int_equal(p.request.fields.count, 3);
    assert_int_equal(p.request.fields.at[0].id, FIELD_ACCEPT);
    assert_str(p.request.fields.at[0].name, "Accept");
    assert_str(p.request.fields.at[0].value, "text/html");
    assert_str(p.request.fields.at[1].value, "");
    assert_int_equal(p.request.fields.at[2].id, FIELD_OTHER);
    assert_str(p.request.fields.at[2].value, "\xff");
    assert_true(p.request.content_length == LENGTH_UNKNOWN);
    assert_false(p.request.has_body || p.request.expect_continue || p.request.websocket || p.head.chunked);
    assert_true(p.head.keep_alive);
    assert_str(str_from_offset(str_make(p.bytes, p.head.len + 9), p.head.len), "GET /next");
    request_parse_fini(&p);
    /* one empty line before it belongs to the head */
    expect_ok(&p, STR("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_int_equal(p.head.len, 29);
    request_parse_fini(&p);
    expect_ok(&p, STR("GET / HTTP/1.0\r\n\r\n"));
    assert_int_equal(p.request.version, HTTP_1_0);
    assert_int_equal(p.request.authority.n, 0);
    assert_int_equal(p.request.fields.count, 0);
    request_parse_fini(&p);
}

static void test_framing(void **state)
{
    (void)state;
    static const struct {
        str_t head;
        uint64_t length;
        bool has_body, chunked;
    } cases[] = {
#define CASE(text, ...) {{POST text "\r\n", sizeof(POST text "\r\n") - 1}, __VA_ARGS__}
        CASE("", LENGTH_UNKNOWN, false, false),
        CASE("Content-Length: 0\r\n", 0, false, false),
        CASE("content-length:5\r\n", 5, true, false),
        CASE("Content-Length: \t5\t \r\n", 5, true, false),
        CASE("Content-Length: 0005\r\n", 5, true, false),
        CASE("Content-Length: 9223372036854775807\r\n", INT64_MAX, true, false),
        CASE("Transfer-Encoding: chunked\r\n", LENGTH_UNKNOWN, true, true),
        CASE("transfer-encoding: \t cHuNkEd \t\r\n", LENGTH_UNKNOWN, true, true),
#undef CASE
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        request_parse_t p;
        expect_ok(&p, cases[i].head);
        assert_true(p.request.content_length == cases[i].length);
        assert_int_equal(p.request.has_body, cases[i].has_body);
        assert_int_equal(p.head.chunked, cases[i].chunked);
        assert_int_equal(p.request.fields.count, 0);
        request_parse_fini(&p);
    }
}

static void test_targets(void **state)
{
    (void)state;
    static const struct {
        str_t head;
        const char *target, *authority;
    } cases[] = {
#define CASE(text, target, authority) {{text "\r\n", sizeof(text "\r\n") - 1}, target, authority}
        CASE("GET // HTTP/1.1\r\n" HOST, "//", "a.test"),
        CASE("GET //evil/../%00 HTTP/1.1\r\n" HOST, "//evil/../%00", "a.test"),
        CASE("GET /?x={\"a\":[1|2]}^`<\\> HTTP/1.1\r\n" HOST, "/?x={\"a\":[1|2]}^`<\\>", "a.test"),
        CASE("OPTIONS * HTTP/1.1\r\n" HOST, "*", "a.test"),
        CASE("OPTIONS /x HTTP/1.1\r\n" HOST, "/x", "a.test"),
        CASE("GET http://a.test/x?y HTTP/1.1\r\n" HOST, "/x?y", "a.test"),
        CASE("GET http://A.TEST HTTP/1.1\r\n" HOST, "/", "A.TEST"),
        CASE("GET http://a.test?y=/z HTTP/1.1\r\n" HOST, "/?y=/z", "a.test"),
        CASE("GET HTTP://a.test:80/ HTTP/1.1\r\n" HOST, "/", "a.test:80"),
        CASE("GET http://a.test/ HTTP/1.1\r\nHost: a.test:80\r\n", "/", "a.test"),
        CASE("GET http://a.test:/ HTTP/1.1\r\n" HOST, "/", "a.test:"),
        CASE("GET https://a.test:443/ HTTP/1.1\r\n" HOST, "/", "a.test:443"),
        CASE("GET https://a.test:8443/ HTTP/1.1\r\nHost: a.test:8443\r\n", "/", "a.test:8443"),
        CASE("GET http://[::1]:80/ HTTP/1.1\r\nHost: [::1]\r\n", "/", "[::1]:80"),
        CASE("GET http://a.test/ HTTP/1.0\r\n", "/", "a.test"),
        CASE("OPTIONS http://a.test HTTP/1.1\r\n" HOST, "*", "a.test"),
        CASE("OPTIONS http://a.test/ HTTP/1.1\r\n" HOST, "/", "a.test"),
        CASE("OPTIONS http://a.test?a HTTP/1.1\r\n" HOST, "/?a", "a.test"),
#undef CASE
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        request_parse_t p;
        expect_ok(&p, cases[i].head);
        if (!str_eq(p.request.target, str_from(cases[i].target)) ||
            !str_eq(p.request.authority, str_from(cases[i].authority)))
            fail_msg("%.*s became \"%.*s\" at \"%.*s\"", STR_ARG(cases[i].head), STR_ARG(p.request.target),
                     STR_ARG(p.request.authority));
        request_parse_fini(&p);
    }
}

static void test_persistence(void **state)
{
    (void)state;
    static const struct {
        str_t head;
        bool keep_alive;
    } cases[] = {
#define CASE(version, text, keep_alive)                                                                      \
    {{"GET / HTTP/" version "\r\n" HOST text "\r\n",                                                         \
      sizeof("GET / HTTP/" version "\r\n" HOST text "\r\n") - 1},                                            \
     keep_alive}
        CASE("1.1", "", true),
        CASE("1.1", "Connection: close\r\n", false),
        CASE("1.1", "Connection: CLOSE\r\n", false),
        CASE("1.1", "Connection: te, close\r\n", false),
        CASE("1.1", "Connection: te\r\nConnection: close\r\n", false),
        CASE("1.1", "Connection: closed\r\n", true),
        CASE("1.1", "Connection: keep-alive, close\r\n", false),
        CASE("1.0", "", false),
        CASE("1.0", "Connection: keep-alive\r\n", true),
        CASE("1.0", "Connection: Keep-Alive, foo\r\n", true),
        CASE("1.0", "Connection: keep-alive, close\r\n", false),
        CASE("1.0", "Proxy-Connection: keep-alive\r\n", false),
        CASE("1.0", "Keep-Alive: timeout=5\r\n", false),
#undef CASE
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        request_parse_t p;
        expect_ok(&p, cases[i].head);
        if (p.head.keep_alive != cases[i].keep_alive)
            fail_msg("keep_alive %d: %.*s", p.head.keep_alive, STR_ARG(cases[i].head));
        request_parse_fini(&p);
    }
}

static void test_expect(void **state)
{
    (void)state;
    static const struct {
        str_t head;
        bool expects;
    } cases[] = {
        {STR(POST "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n"), true},
        {STR(POST "Content-Length: 5\r\nExpect: 100-Continue\r\n\r\n"), true},
        {STR(POST "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"), true},
        {STR(POST "Content-Length: 0\r\nExpect: 100-continue\r\n\r\n"), false},
        {STR(POST "Expect: 100-continue\r\n\r\n"), false},
        {STR("POST / HTTP/1.0\r\n" HOST "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n"), false},
        {STR("POST / HTTP/1.0\r\n" HOST "Content-Length: 5\r\nExpect: what\r\n\r\n"), false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        request_parse_t p;
        expect_ok(&p, cases[i].head);
        assert_int_equal(p.request.expect_continue, cases[i].expects);
        request_parse_fini(&p);
    }
}

static void test_cookies(void **state)
{
    (void)state;
    request_parse_t p;
    expect_ok(&p, STR(GET "Cookie: a=1\r\nX: y\r\n" HOST
                          "cookie: b=2; c=3\r\nCOOKIE:\r\nCookie: d=4\r\nZ: z\r\n\r\n"));
    assert_int_equal(p.request.fields.count, 3);
    assert_str(p.request.fields.at[0].name, "Cookie");
    assert_str(p.request.fields.at[0].value, "a=1; b=2; c=3; d=4");
    assert_str(p.request.fields.at[1].name, "X");
    assert_str(p.request.fields.at[2].name, "Z");
    request_parse_fini(&p);
}

static void test_websocket(void **state)
{
    (void)state;
    static const struct {
        str_t head;
        bool websocket;
    } cases[] = {
#define CASE(line, connection, upgrade, version, key, websocket)                                             \
    {{line HOST "Connection: " connection "\r\nUpgrade: " upgrade "\r\nSec-WebSocket-Version: " version      \
                "\r\nSec-WebSocket-Key: " key "\r\n\r\n",                                                    \
      sizeof(line HOST "Connection: " connection "\r\nUpgrade: " upgrade                                     \
                       "\r\nSec-WebSocket-Version: " version "\r\nSec-WebSocket-Key: " key "\r\n\r\n") -     \
          1},                                                                                                \
     websocket}
        CASE(GET, "Upgrade", "websocket", "13", KEY, true),
        CASE(GET, "keep-alive, UPGRADE", "WebSocket", "13", KEY, true),
        CASE(GET, "Upgrade", "h2c, websocket", "13", KEY, true),
        CASE(GET, "keep-alive", "websocket", "13", KEY, false),
        CASE(GET, "Upgrade", "h2c", "13", KEY, false),
        CASE(GET, "Upgrade", "websocket2", "13", KEY, false),
        CASE(GET, "Upgrade", "websocket", "8", KEY, false),
        CASE(GET, "Upgrade", "websocket", "13, 8", KEY, false),
        CASE(GET, "Upgrade", "websocket", "013", KEY, false),
        CASE(GET, "Upgrade", "websocket", "13", "", false),
        CASE(GET, "Upgrade", "websocket", "13", "dGhlIHNhbXBsZSBub25jZQ=", false),
        CASE(GET, "Upgrade", "websocket", "13", "dGhlIHNhbXBsZSBub25jZR==", false),
        CASE("POST / HTTP/1.1\r\n", "Upgrade", "websocket", "13", KEY, false),
        CASE("GET / HTTP/1.0\r\n", "Upgrade", "websocket", "13", KEY, false),
        CASE("get / HTTP/1.1\r\n", "Upgrade", "websocket", "13", KEY, false),
#undef CASE
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        request_parse_t p;
        expect_ok(&p, cases[i].head);
        if (p.request.websocket != cases[i].websocket)
            fail_msg("websocket %d: %.*s", p.request.websocket, STR_ARG(cases[i].head));
        assert_int_equal(p.request.websocket_key.n, cases[i].websocket ? 24 : 0);
        request_parse_fini(&p);
    }
}

static http1_parse_t parse_limited(str_t data, size_t max_bytes, uint32_t max_fields, http1_error_t *error)
{
    request_parse_t p = {.result = HTTP1_INCOMPLETE};
    arena_init(&p.pool);
    p.result = http1_parse_request(heads_copy(&p.bytes, data), 0, max_bytes, max_fields, &p.pool, &p.request,
                                   &p.head, error);
    http1_parse_t result = p.result;
    request_parse_fini(&p);
    return result;
}

static void test_byte_limit(void **state)
{
    (void)state;
    http1_error_t error = {0};
    str_t head = STR(GET HOST "Accept: */*\r\n\r\n");
    assert_int_equal(parse_limited(head, head.n, 10, &error), HTTP1_OK);
    assert_int_equal(parse_limited(head, head.n - 1, 10, &error), HTTP1_BAD);
    assert_int_equal(error.status, 431);
    /* the result does not depend on bytes behind the head */
    assert_int_equal(parse_limited(str_make(head.p, head.n - 1), head.n, 10, &error), HTTP1_INCOMPLETE);
    assert_int_equal(parse_limited(str_make(head.p, head.n - 1), head.n - 1, 10, &error), HTTP1_BAD);
    str_t two = STR(GET HOST "Accept: */*\r\n\r\n" GET HOST "Accept: */*\r\n\r\n");
    assert_int_equal(parse_limited(two, head.n, 10, &error), HTTP1_OK);
    /* the empty line before it does not count */
    str_t later = STR("\r\n" GET HOST "Accept: */*\r\n\r\n");
    assert_int_equal(parse_limited(later, head.n, 10, &error), HTTP1_OK);
    str_t line = STR("GET /0123456789");
    assert_int_equal(parse_limited(line, line.n + 1, 10, &error), HTTP1_INCOMPLETE);
    assert_int_equal(parse_limited(line, line.n, 10, &error), HTTP1_BAD);
    assert_int_equal(error.status, 414);
    str_t endless = STR("GETGETGETGETGETGETGETGETGETGETGETGETGET");
    assert_int_equal(parse_limited(endless, endless.n, 10, &error), HTTP1_BAD);
    assert_int_equal(error.status, 400);
    str_t long_method = STR("GETGETGETGETGETGETGETGETGETGETGETGETGET /");
    assert_int_equal(parse_limited(long_method, long_method.n, 10, &error), HTTP1_BAD);
    assert_int_equal(error.status, 400);
}

static void test_field_limit(void **state)
{
    (void)state;
    /* around the first capacity of the array, of the lines on the stack, and a limit */
    static const uint32_t counts[] = {1, 23, 24, 25, 39, 40, 41, 99, 100, 101, 250};
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        http1_error_t error = {0};
        text_t text = {NULL, 0, 0};
        text_add(&text, STR(GET HOST));
        for (uint32_t n = 1; n < counts[i]; n++)
            text_add(&text, STR("A: b\r\n"));
        text_add(&text, STR("\r\n"));
        str_t head = str_make(text.p, text.n);
        assert_int_equal(parse_limited(head, 32768, counts[i], &error), HTTP1_OK);
        if (counts[i] > 1) {
            assert_int_equal(parse_limited(head, 32768, counts[i] - 1, &error), HTTP1_BAD);
            assert_int_equal(error.status, 431);
        }
        if (counts[i] <= HEADS_MAX_FIELDS) {
            request_parse_t p;
            expect_ok(&p, head);
            assert_int_equal(p.request.fields.count, counts[i] - 1);
            request_parse_fini(&p);
        } else {
            expect_status(head, 431);
        }
        free(text.p);
    }
}

static void test_method_limit(void **state)
{
    (void)state;
    request_parse_t p;
    expect_ok(&p, STR("ABCDEFGHIJKLMNOPQRSTUVWXYZ012345 / HTTP/1.1\r\n" HOST "\r\n"));
    assert_int_equal(p.request.method.n, HTTP1_METHOD_MAX);
    request_parse_fini(&p);
    expect_status(STR("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456 / HTTP/1.1\r\n" HOST "\r\n"), 501);
}

/* For the log, a refused head keeps its understood parts. */
static void test_refused_is_described(void **state)
{
    (void)state;
    request_parse_t p;
    parse_request_in_pieces(&p, STR("PUT /x?y HTTP/1.0\r\nHost: <a>\r\n\r\n"), 1);
    assert_int_equal(p.result, HTTP1_BAD);
    assert_str(p.request.authority, "");
    request_parse_fini(&p);
    parse_request_in_pieces(&p, STR("PUT /x?y HTTP/1.0\r\nHost: a\r\nContent-Length: x\r\n\r\n"), 1);
    assert_str(p.request.authority, "a");
    assert_int_equal(p.result, HTTP1_BAD);
    assert_str(p.request.method, "PUT");
    assert_str(p.request.target, "/x?y");
    assert_int_equal(p.request.version, HTTP_1_0);
    request_parse_fini(&p);
}

/* A client that sends byte by byte causes no memory growth. */
static void test_slow_head_holds_nothing(void **state)
{
    (void)state;
    text_t text = {NULL, 0, 0};
    text_add(&text, STR("GET http://a.test?"));
    for (int i = 0; i < 8000; i++)
        text_add(&text, STR("x"));
    text_add(&text, STR(" HTTP/1.1\r\nHost: a.test\r\n"));
    for (int i = 0; i < 60; i++)
        text_add(&text, STR("Some-Name: some value\r\n"));
    arena_t pool;
    arena_init(&pool);
    request_t request;
    http1_request_head_t head;
    http1_error_t error;
    for (size_t n = 1; n <= text.n; n++) {
        assert_int_equal(
            http1_parse_request(str_make(text.p, n), n - 1, 32768, 100, &pool, &request, &head, &error),
            HTTP1_INCOMPLETE);
        assert_null(pool.chunks);
        assert_null(pool.large);
    }
    text_add(&text, STR("\r\n"));
    assert_int_equal(
        http1_parse_request(str_make(text.p, text.n), text.n - 2, 32768, 100, &pool, &request, &head, &error),
        HTTP1_OK);
    assert_int_equal(request.target.n, 8002);
    assert_int_equal(request.fields.count, 60);
    arena_clear(&pool);
    free(text.p);
}

/* Every piece that contains the end finds it, and no earlier piece does. */
static void test_head_end(void **state)
{
    (void)state;
    static const struct {
        const char *data;
        size_t end;
    } heads[] = {
        {GET HOST "\r\n", 32},
        {GET HOST "\r\nGET /next HTTP/1.1\r\n\r\n", 32},
        {"\r\n" GET HOST "\r\n", 34},
        {"\r\n\r\n\r\n", 6}, /* an empty line before a head does not end it */
        {"\r\n\r\n", 0},
        {"a\r\r\n\r\n", 6},
        {"a\r\n\r\r\n\r\n", 8},
        {"\r\r\r\r\r\n\r\n\r\n", 8},
        {"a\n\n\r\n", 0},
        {"a\r\n\r", 0},
        {"a\r\n\rb\n", 0},
        {"", 0},
    };
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        str_t data = str_from(heads[i].data);
        for (size_t n = 0; n <= data.n; n++)
            for (size_t seen = 0; seen <= n; seen++) {
                bool whole = heads[i].end != 0 && n >= heads[i].end;
                if (whole && seen >= heads[i].end)
                    continue;               /* `seen` bytes contain no end */
                char *copy = malloc(n + 1); /* the sanitizer sees a read beyond the piece */
                assert_non_null(copy);
                memcpy(copy + 1, data.p, n);
                assert_int_equal(http1_head_end(str_make(copy + 1, n), seen), whole ? heads[i].end : 0);
                free(copy);
            }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_head_end),
        cmocka_unit_test(test_head),
        cmocka_unit_test(test_framing),
        cmocka_unit_test(test_targets),
        cmocka_unit_test(test_persistence),
        cmocka_unit_test(test_expect),
        cmocka_unit_test(test_cookies),
        cmocka_unit_test(test_websocket),
        cmocka_unit_test(test_byte_limit),
        cmocka_unit_test(test_field_limit),
        cmocka_unit_test(test_method_limit),
        cmocka_unit_test(test_refused_is_described),
        cmocka_unit_test(test_slow_head_holds_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
