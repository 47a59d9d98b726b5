/* Response heads of origins: status lines, framing by status and method, refusals, pieces and whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "heads.h"

#include "arena.h"

#define OK "HTTP/1.1 200 OK\r\n"

static void expect_ok(response_parse_t *p, str_t data, bool head_request)
{
    parse_response_all_ways(p, data, head_request);
    if (p->result != HTTP1_OK)
        fail_msg("result %d: %.*s", p->result, STR_ARG(data));
}

static void test_bad(void **state)
{
    (void)state;
    static const str_t cases[] = {
#define CASE(text) {text, sizeof(text) - 1}
        /* status lines */
        CASE("\r\n" OK "\r\n"),
        CASE("HTTP/1.1 99 x\r\n\r\n"),
        CASE("HTTP/1.1 099 x\r\n\r\n"),
        CASE("HTTP/1.1 2000 x\r\n\r\n"),
        CASE("HTTP/1.1 20 x\r\n\r\n"),
        CASE("HTTP/1.1 +20 x\r\n\r\n"),
        CASE("HTTP/1.1 2x0 x\r\n\r\n"),
        CASE("HTTP/1.1 200x\r\n\r\n"),
        CASE("HTTP/1.1  200 x\r\n\r\n"),
        CASE("HTTP/1.1\t200 x\r\n\r\n"),
        CASE("HTTP/1.1 200\tx\r\n\r\n"),
        CASE("HTTP/1.1\r\n\r\n"),
        CASE("HTTP/1.2 200 x\r\n\r\n"),
        CASE("HTTP/2.0 200 x\r\n\r\n"),
        CASE("HTTP/0.9 200 x\r\n\r\n"),
        CASE("http/1.1 200 x\r\n\r\n"),
        CASE("ICY 200 OK\r\n\r\n"),
        CASE("HTTP/1.1 200 a\rb\r\n\r\n"),
        CASE("HTTP/1.1 200 a\0b\r\n\r\n"),
        CASE("HTTP/1.1 200 a\x7f\r\n\r\n"),
        CASE("HTTP/1.1 200 OK\n\r\n"),
        CASE("HTTP/1.1 200 OK\r\n\n"),
        CASE("HTTP/1.1 200 OK\nX: y\r\n\n"),
        CASE("HTTP/1.1 200 OK\nX: y\nZ: a\rb\n\n"),
        CASE("HTTP/1.1 200 OK\nX: y\n z\n\n"),
        CASE("\x15\x03\x01"),
        CASE("<html>"),
        /* lines */
        CASE(OK "X: y\n\r\n"),
        CASE(OK "X: y\r\n\n"),
        CASE(OK "X: y\rz\r\n\r\n"),
        CASE(OK "X: y\r\n z\r\n\r\n"),
        CASE(OK " X: y\r\n\r\n"),
        CASE(OK "X : y\r\n\r\n"),
        CASE(OK ": y\r\n\r\n"),
        CASE(OK "X\r\n\r\n"),
        CASE(OK "X: \0\r\n\r\n"),
        /* lengths */
        CASE(OK "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
        CASE(OK "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n"),
        CASE(OK "Content-Length: 5\r\nContent-Length: 6\r\n\r\n"),
        CASE(OK "Content-Length: 5, 6\r\n\r\n"),
        CASE(OK "Content-Length: 5,\r\n\r\n"),
        CASE(OK "Content-Length: 5, 5\r\nContent-Length: 6\r\n\r\n"),
        CASE(OK "Content-Length: abc\r\n\r\n"),
        CASE(OK "Content-Length: -1\r\n\r\n"),
        CASE(OK "Content-Length: +1\r\n\r\n"),
        CASE(OK "Content-Length:\r\n\r\n"),
        CASE(OK "Content-Length: 9223372036854775808\r\n\r\n"),
        CASE("HTTP/1.1 204 x\r\nContent-Length: x\r\n\r\n"),
        CASE("HTTP/1.1 304 x\r\nContent-Length: 5\r\nContent-Length: 4\r\n\r\n"),
        CASE(OK "Transfer-Encoding: gzip\r\n\r\n"),
        CASE(OK "Transfer-Encoding: gzip, chunked\r\n\r\n"),
        CASE(OK "Transfer-Encoding: chunked, chunked\r\n\r\n"),
        CASE(OK "Transfer-Encoding: identity\r\n\r\n"),
        CASE(OK "Transfer-Encoding:\r\n\r\n"),
        CASE(OK "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
        CASE("HTTP/1.0 200 x\r\nTransfer-Encoding: chunked\r\n\r\n"),
#undef CASE
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        response_parse_t p;
        parse_response_all_ways(&p, cases[i], false);
        if (p.result != HTTP1_BAD)
            fail_msg("result %d: %.*s", p.result, STR_ARG(cases[i]));
        response_parse_fini(&p);
    }
}

static void test_head(void **state)
{
    (void)state;
    response_parse_t p;
    expect_ok(&p,
              STR("HTTP/1.1 404 Not \xc3\xa4 Found\tx\r\nContent-Length: 5\r\nSet-Cookie: a\r\n"
                  "X: \r\nSet-Cookie: b\t \r\n\r\nhello"),
              false);
    assert_int_equal(p.response.status, 404);
    assert_int_equal(p.response.content_length, 5);
    assert_int_equal(p.response.fields.count, 3);
    assert_int_equal(fields_count(&p.response.fields, FIELD_SET_COOKIE), 2);
    assert_true(str_eq(p.response.fields.at[2].value, STR("b")));
    assert_true(str_eq(str_make(p.bytes + p.head.len, 5), STR("hello")));
    response_parse_fini(&p);
    /* the reason may be missing, with or without the space before it */
    static const str_t lines[] = {{"HTTP/1.1 200 \r\n\r\n", 17}, {"HTTP/1.1 200\r\n\r\n", 16}};
    for (size_t i = 0; i < 2; i++) {
        expect_ok(&p, lines[i], false);
        assert_int_equal(p.response.status, 200);
        response_parse_fini(&p);
    }
}

enum { NONE, LENGTH, CHUNKED, CLOSE };

static void test_framing(void **state)
{
    (void)state;
    static const struct {
        str_t head;
        bool head_request, keep_alive;
        int body;
        uint64_t length;
    } cases[] = {
#define CASE(text, ...) {{text "\r\n", sizeof(text "\r\n") - 1}, __VA_ARGS__}
        CASE(OK "Content-Length: 5\r\n", false, true, LENGTH, 5),
        CASE(OK "Content-Length: 9223372036854775807\r\n", false, true, LENGTH, INT64_MAX),
        CASE(OK "Content-Length: 0\r\n", false, true, NONE, 0),
        CASE(OK "Transfer-Encoding: \tChunked \r\n", false, true, CHUNKED, LENGTH_UNKNOWN),
        CASE(OK, false, false, CLOSE, LENGTH_UNKNOWN),
        CASE(OK "Connection: keep-alive\r\n", false, false, CLOSE, LENGTH_UNKNOWN),
        CASE(OK "Content-Length: 5\r\nConnection: Close\r\n", false, false, LENGTH, 5),
        CASE(OK "Content-Length: 5\r\nConnection: x, close\r\n", false, false, LENGTH, 5),
        CASE("HTTP/1.0 200 x\r\nContent-Length: 5\r\n", false, false, LENGTH, 5),
        CASE("HTTP/1.0 200 x\r\nContent-Length: 5\r\nConnection: keep-alive\r\n", false, true, LENGTH, 5),
        CASE("HTTP/1.0 200 x\r\n", false, false, CLOSE, LENGTH_UNKNOWN),
        CASE(OK "Content-Length: 5\r\nContent-Length: 5\r\n", false, true, LENGTH, 5),
        CASE(OK "Content-Length: 5, 5 ,5\r\n", false, true, LENGTH, 5),
        CASE("HTTP/1.1 999 x\r\nContent-Length: 5\r\n", false, true, LENGTH, 5),
        /* HEAD */
        CASE(OK "Content-Length: 0\r\n", true, true, NONE, 0),
        CASE(OK, true, true, NONE, LENGTH_UNKNOWN),
        /* statuses without a body */
        CASE("HTTP/1.1 204 x\r\n", false, true, NONE, LENGTH_UNKNOWN),
        CASE("HTTP/1.1 304 x\r\n", false, true, NONE, LENGTH_UNKNOWN),
        CASE("HTTP/1.1 100 x\r\n", false, true, NONE, LENGTH_UNKNOWN),
        CASE("HTTP/1.1 103 x\r\nLink: </a>\r\n", false, true, NONE, LENGTH_UNKNOWN),
        CASE("HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n", false, true, NONE,
             LENGTH_UNKNOWN),
        /* these announce a body that must not exist: it may come anyway, so the connection ends */
        CASE(OK "Content-Length: 5\r\n", true, false, NONE, 5),
        CASE(OK "Transfer-Encoding: chunked\r\n", true, false, NONE, LENGTH_UNKNOWN),
        CASE("HTTP/1.1 304 x\r\nContent-Length: 5\r\n", false, false, NONE, 5),
        CASE("HTTP/1.1 304 x\r\nTransfer-Encoding: chunked\r\n", false, false, NONE, LENGTH_UNKNOWN),
        CASE("HTTP/1.1 204 x\r\nContent-Length: 5\r\n", false, false, NONE, LENGTH_UNKNOWN),
        CASE("HTTP/1.1 204 x\r\nTransfer-Encoding: chunked\r\n", false, false, NONE, LENGTH_UNKNOWN),
        CASE("HTTP/1.1 204 x\r\nContent-Length: 0\r\n", false, true, NONE, LENGTH_UNKNOWN),
        CASE("HTTP/1.1 102 x\r\nContent-Length: 5\r\n", false, false, NONE, LENGTH_UNKNOWN),
        CASE("HTTP/1.1 205 x\r\nContent-Length: 0\r\n", false, true, NONE, 0),
#undef CASE
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        response_parse_t p;
        expect_ok(&p, cases[i].head, cases[i].head_request);
        if (p.response.bodyless != (cases[i].body == NONE) || p.head.chunked != (cases[i].body == CHUNKED) ||
            p.head.until_close != (cases[i].body == CLOSE) || p.head.keep_alive != cases[i].keep_alive ||
            p.response.content_length != cases[i].length)
            fail_msg("bodyless %d, chunked %d, until_close %d, keep_alive %d, length %llu: %.*s",
                     p.response.bodyless, p.head.chunked, p.head.until_close, p.head.keep_alive,
                     (unsigned long long)p.response.content_length, STR_ARG(cases[i].head));
        assert_false(p.response.tunnel);
        assert_null(fields_find(&p.response.fields, FIELD_CONTENT_LENGTH));
        assert_null(fields_find(&p.response.fields, FIELD_TRANSFER_ENCODING));
        response_parse_fini(&p);
    }
}

static void test_keep_alive_timeout(void **state)
{
    (void)state;
    static const struct {
        str_t head;
        uint32_t seconds;
    } cases[] = {
        {STR(OK "Keep-Alive: timeout=5\r\n\r\n"), 5},
        {STR(OK "Keep-Alive: max=100, Timeout=72 , x\r\n\r\n"), 72},
        {STR(OK "Keep-Alive: timeout=4294967295\r\n\r\n"), UINT32_MAX},
        {STR(OK "Keep-Alive: timeout=4294967296\r\n\r\n"), 0},
        {STR(OK "Keep-Alive: timeout=\r\n\r\n"), 0},
        {STR(OK "Keep-Alive: timeout=-1\r\n\r\n"), 0},
        {STR(OK "Keep-Alive: 5\r\n\r\n"), 0},
        {STR(OK "\r\n"), 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        response_parse_t p;
        expect_ok(&p, cases[i].head, false);
        assert_int_equal(p.head.keep_alive_timeout_s, cases[i].seconds);
        response_parse_fini(&p);
    }
}

/* All lines may end with LF alone (RFC 9112 section 2.2). */
static void test_bare_lf(void **state)
{
    (void)state;
    response_parse_t p;
    expect_ok(&p, STR("HTTP/1.1 201 Made\nX: y\nContent-Length: 5 \nZ:\n\nhello"), false);
    assert_int_equal(p.response.status, 201);
    assert_int_equal(p.response.content_length, 5);
    assert_int_equal(p.response.fields.count, 2);
    assert_true(str_eq(p.response.fields.at[0].value, STR("y")));
    assert_true(str_eq(str_make(p.bytes + p.head.len, 5), STR("hello")));
    response_parse_fini(&p);
    expect_ok(&p, STR("HTTP/1.1 204\n\n"), false);
    assert_int_equal(p.head.len, 14);
    response_parse_fini(&p);
}

/* Each refusal has its own reason, which does not depend on the pieces in which the head arrives. */
static void test_reasons(void **state)
{
    (void)state;
    static const struct {
        str_t head;
        fault_kind_t kind;
        const char *reason, *bytes;
        int byte; /* -1: none */
    } cases[] = {
#define CASE(text, kind, reason, bytes, byte) {{text, sizeof(text) - 1}, kind, reason, bytes, byte}
#define BAD(text, reason, bytes)              CASE(text, FAULT_MALFORMED, reason, bytes, -1)
        BAD("SSH-2.0-x\r\n", "does not begin with HTTP/1", "S"),
        BAD("HTTP/2 200 OK\r\n", "does not begin with HTTP/1", "HTTP/2"),
        BAD("HTTP/1.1 2000 OK\r\n", "not a number from 100 to 999", "HTTP/1.1 2000 OK"),
        BAD("HTTP/1.1 200 a\1b\r\n", "reason phrase has a control", "HTTP/1.1 200"),
        BAD(OK "X: y\n\r\n", "ends with LF alone", "X"),
        BAD("HTTP/1.1 200 OK\nX: y\r\n\n", "some lines", "X"),
        BAD(OK "A: b\r\n c\r\n\r\n", "folded", ""),
        BAD(OK "nonsense here\r\n\r\n", "no colon", "nonsense"),
        BAD(OK ": y\r\n\r\n", "no name", ""),
        BAD(OK "X : y\r\n\r\n", "space before its colon", "X"),
        CASE(OK "A(b: y\r\n\r\n", FAULT_MALFORMED, "not allowed there", "A", '('),
        CASE(OK "A: y\0\r\n\r\n", FAULT_MALFORMED, "control character", "A", 0),
        CASE(OK "A: y\rz\r\n\r\n", FAULT_MALFORMED, "control character", "A", '\r'),
        BAD(OK "Content-Length: x\r\n\r\n", "Content-Length is not a number", "x"),
        BAD(OK "Content-Length: 1\r\nContent-Length: 2\r\n\r\n", "different numbers", "2"),
        BAD(OK "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "exclude each other", ""),
        BAD(OK "Transfer-Encoding: gzip\r\n\r\n", "not exactly chunked", "gzip"),
        BAD("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.0 has no", ""),
#undef BAD
#undef CASE
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        response_parse_t p;
        parse_response_all_ways(&p, cases[i].head, false);
        const fault_t *fault = &p.head.fault;
        assert_int_equal(p.result, HTTP1_BAD);
        assert_int_equal(fault->kind, cases[i].kind);
        if (strcasestr(fault->reason, cases[i].reason) == NULL ||
            (cases[i].bytes[0] != '\0' && !str_starts(fault->bytes, str_from(cases[i].bytes))) ||
            (fault->has_byte ? fault->byte : -1) != cases[i].byte)
            fail_msg("%s: %.*s: %.*s", fault->reason, STR_ARG(fault->bytes), STR_ARG(cases[i].head));
        response_parse_fini(&p);
    }
}

static void test_http2_is_recognized(void **state)
{
    (void)state;
    response_parse_t p = {.result = HTTP1_INCOMPLETE};
    str_t settings = STR("\0\0\6\4\0\0\0\0\0\0\3\0\0\0d");
    arena_init(&p.pool);
    p.result = http1_parse_response(heads_copy(&p.bytes, settings), 0, 32768, 100, false, &p.pool,
                                    &p.response, &p.head);
    assert_int_equal(p.result, HTTP1_BAD);
    assert_int_equal(p.head.fault.kind, FAULT_HTTP2);
    response_parse_fini(&p);
}

static http1_parse_t parse_limited(str_t data, size_t max_bytes, uint32_t max_fields)
{
    response_parse_t p = {.result = HTTP1_INCOMPLETE};
    arena_init(&p.pool);
    p.result = http1_parse_response(heads_copy(&p.bytes, data), 0, max_bytes, max_fields, false, &p.pool,
                                    &p.response, &p.head);
    http1_parse_t result = p.result;
    if (result == HTTP1_BAD)
        assert_int_equal(p.head.fault.kind, FAULT_OVER_LIMIT);
    response_parse_fini(&p);
    return result;
}

static void test_limits(void **state)
{
    (void)state;
    str_t head = STR(OK "A: b\r\nC: d\r\n\r\n");
    assert_int_equal(parse_limited(head, head.n, 2), HTTP1_OK);
    assert_int_equal(parse_limited(head, head.n - 1, 2), HTTP1_BAD);
    assert_int_equal(parse_limited(head, head.n, 1), HTTP1_BAD);
    str_t part = str_make(head.p, head.n - 1);
    assert_int_equal(parse_limited(part, part.n + 1, 2), HTTP1_INCOMPLETE);
    assert_int_equal(parse_limited(part, part.n, 2), HTTP1_BAD);
    str_t line = STR("HTTP/1.1 200 xxxxxxxxxxxx");
    assert_int_equal(parse_limited(line, line.n + 1, 2), HTTP1_INCOMPLETE);
    assert_int_equal(parse_limited(line, line.n, 2), HTTP1_BAD);
    for (uint32_t count = 38; count <= 42; count++) { /* around HTTP1_LINES_FEW */
        text_t text = {NULL, 0, 0};
        text_add(&text, STR(OK));
        for (uint32_t i = 0; i < count; i++)
            text_add(&text, STR("A: b\r\n"));
        text_add(&text, STR("\r\n"));
        assert_int_equal(parse_limited(str_make(text.p, text.n), 32768, count), HTTP1_OK);
        assert_int_equal(parse_limited(str_make(text.p, text.n), 32768, count - 1), HTTP1_BAD);
        free(text.p);
    }
}

static void test_incomplete(void **state)
{
    (void)state;
    str_t head = STR(OK "A: b\r\n\r\n");
    for (size_t n = 0; n < head.n; n++) {
        response_parse_t p;
        parse_response_all_ways(&p, str_make(head.p, n), false);
        assert_int_equal(p.result, HTTP1_INCOMPLETE);
        response_parse_fini(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bare_lf),
        cmocka_unit_test(test_reasons),
        cmocka_unit_test(test_http2_is_recognized),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_head),
        cmocka_unit_test(test_framing),
        cmocka_unit_test(test_keep_alive_timeout),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_incomplete),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
