/* Refused request heads, each with its status, and every byte at the positions that restrict bytes. */
#include <stdio.h>

#include "heads_expect.h"

/* Every field is compared with the names in Connection: the list has a bound, over all its lines. */
static void test_connection_options(void **state)
{
    (void)state;
    char head[1024];
    for (unsigned extra = 0; extra < 2; extra++) {
        size_t n = (size_t)snprintf(head, sizeof(head), GET HOST "Connection: keep-alive");
        for (unsigned i = 1; i < HTTP1_CONNECTION_OPTIONS - 1 + extra; i++)
            n += (size_t)snprintf(head + n, sizeof(head) - n, ",a");
        n += (size_t)snprintf(head + n, sizeof(head) - n, "\r\nConnection: b\r\n\r\n");
        assert_true(n < sizeof(head));
        if (extra != 0) {
            expect_status(str_make(head, n), 400);
            continue;
        }
        request_parse_t p;
        parse_request_all_ways(&p, str_make(head, n));
        assert_int_equal(p.result, HTTP1_OK);
        request_parse_fini(&p);
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        int status;
        str_t head;
    } cases[] = {
#define CASE(status, text)                                                                                   \
    {                                                                                                        \
        status,                                                                                              \
        {                                                                                                    \
            text, sizeof(text) - 1                                                                           \
        }                                                                                                    \
    }
        /* both lengths, several lengths, invalid lengths */
        CASE(400, POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
        CASE(400, POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"),
        CASE(400, POST "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n"),
        CASE(400, POST "Transfer-Encoding: gzip\r\nContent-Length: 5\r\n\r\n"),
        CASE(400, POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\n"),
        CASE(400, POST "Content-Length: 5\r\nContent-Length: 6\r\n\r\n"),
        CASE(400, POST "Content-Length: 5, 5\r\n\r\n"),
        CASE(400, POST "Content-Length: 5,\r\n\r\n"),
        CASE(400, POST "Content-Length: +5\r\n\r\n"),
        CASE(400, POST "Content-Length: -5\r\n\r\n"),
        CASE(400, POST "Content-Length: 0x5\r\n\r\n"),
        CASE(400, POST "Content-Length: 5 5\r\n\r\n"),
        CASE(400, POST "Content-Length: 5.0\r\n\r\n"),
        CASE(400, POST "Content-Length: \"5\"\r\n\r\n"),
        CASE(400, POST "Content-Length: five\r\n\r\n"),
        CASE(400, POST "Content-Length:\r\n\r\n"),
        CASE(400, POST "Content-Length: \r\n\r\n"),
        CASE(400, POST "Content-Length: 9223372036854775808\r\n\r\n"),
        CASE(400, POST "Content-Length: 18446744073709551616\r\n\r\n"),
        CASE(400, POST "Content-Length: 99999999999999999999999999\r\n\r\n"),
        /* transfer codings */
        CASE(501, POST "Transfer-Encoding: gzip\r\n\r\n"),
        CASE(501, POST "Transfer-Encoding: xchunked\r\n\r\n"),
        CASE(501, POST "Transfer-Encoding: chunkedx\r\n\r\n"),
        CASE(400, POST "Transfer-Encoding: identity\r\n\r\n"),
        CASE(400, POST "Transfer-Encoding: gzip, chunked\r\n\r\n"),
        CASE(400, POST "Transfer-Encoding: chunked, gzip\r\n\r\n"),
        CASE(400, POST "Transfer-Encoding: chunked, chunked\r\n\r\n"),
        CASE(400, POST "Transfer-Encoding: chunked,\r\n\r\n"),
        CASE(400, POST "Transfer-Encoding: ,chunked\r\n\r\n"),
        CASE(400, POST "Transfer-Encoding: chunked;q=1\r\n\r\n"),
        CASE(400, POST "Transfer-Encoding: \"chunked\"\r\n\r\n"),
        CASE(400, POST "Transfer-Encoding:\r\n\r\n"),
        CASE(400, POST "Transfer-Encoding: \x0b"
                       "chunked\r\n\r\n"),
        CASE(400, POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
        CASE(400, POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n"),
        CASE(400, POST "Transfer-Encoding: chunked\r\nTransfer-encoding: cow\r\n\r\n"),
        CASE(400, "POST / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"),
        CASE(400, POST "Transfer-Encoding : chunked\r\n\r\n"),
        CASE(400, POST " Transfer-Encoding: chunked\r\n\r\n"),
        CASE(400, POST "X: y\r\n Transfer-Encoding: chunked\r\n\r\n"),
        CASE(400, POST "X: y\rTransfer-Encoding: chunked\r\n\r\n"),
        CASE(400, POST "X: y\nTransfer-Encoding: chunked\r\n\r\n"),
        CASE(400, POST "Transfer-Encoding\r\n : chunked\r\n\r\n"),
        CASE(400, POST "Transfer-Encoding:\r\n chunked\r\n\r\n"),
        /* Host */
        CASE(400, GET "\r\n"),
        CASE(400, GET "Accept: */*\r\n\r\n"),
        CASE(400, GET HOST HOST "\r\n"),
        CASE(400, GET HOST "Host: b.test\r\n\r\n"),
        CASE(400, "GET / HTTP/1.0\r\n" HOST HOST "\r\n"),
        CASE(400, GET "Host:\r\n\r\n"),
        CASE(400, GET "Host: \t \r\n\r\n"),
        CASE(400, GET "Host: a b\r\n\r\n"),
        CASE(400, GET "Host: a,b\r\n\r\n"),
        CASE(400, GET "Host: a/b\r\n\r\n"),
        CASE(400, GET "Host: u@a\r\n\r\n"),
        CASE(400, GET "Host: a?b\r\n\r\n"),
        CASE(400, GET "Host: a#b\r\n\r\n"),
        CASE(400, GET "Host: a%2eb\r\n\r\n"),
        CASE(400, GET "Host: a\\b\r\n\r\n"),
        CASE(400, GET "Host: a\"b\r\n\r\n"),
        CASE(400, GET "Host: http://a\r\n\r\n"),
        CASE(400, GET "Host: a:b\r\n\r\n"),
        CASE(400, GET "Host: a:0\r\n\r\n"),
        CASE(400, GET "Host: a:65536\r\n\r\n"),
        CASE(400, GET "Host: a:000080\r\n\r\n"),
        CASE(400, GET "Host: a:-1\r\n\r\n"),
        CASE(400, GET "Host: a:80:80\r\n\r\n"),
        CASE(400, GET "Host: :80\r\n\r\n"),
        CASE(400, GET "Host: [::1\r\n\r\n"),
        CASE(400, GET "Host: [a]\r\n\r\n"),
        CASE(400, GET "Host: [::1]x\r\n\r\n"),
        CASE(400, GET "Host: [fe80::1%25eth0]\r\n\r\n"),
        CASE(400, GET "Host: ::1\r\n\r\n"),
        CASE(400, GET "Host: \xc3\xa4.test\r\n\r\n"),
        /* lines */
        CASE(400, GET HOST "X: a\r\n b\r\n\r\n"),
        CASE(400, GET HOST "X: a\r\n\tb\r\n\r\n"),
        CASE(400, GET HOST "X: a\r\n \r\n\r\n"),
        CASE(400, GET " Host: a.test\r\n\r\n"),
        CASE(400, GET "\tX: y\r\n" HOST "\r\n"),
        CASE(400, GET HOST "X: a\rb\r\n\r\n"),
        CASE(400, GET HOST "X: a\r\r\n\r\n"),
        CASE(400, GET HOST "X: a\n\r\n"),
        CASE(400, GET "Host: a.test\n\r\n"),
        CASE(400, GET HOST "X: a\r\n\n"),
        CASE(400, "GET / HTTP/1.1\n" HOST "\r\n"),
        CASE(400, "GET / HTTP/1.1\n\n"),
        CASE(400, "GET / HTTP/1.1x\n" HOST "\r\n"),
        CASE(400, "GET / HTTP/1.1 \n" HOST "\r\n"),
        CASE(400, "GET / HTTP/1.1\r" HOST "\r\n"),
        CASE(400, "GET / HTTP/1.1\r\r\n" HOST "\r\n"),
        CASE(400, GET HOST "X: a\0b\r\n\r\n"),
        CASE(400, GET HOST "X\0: a\r\n\r\n"),
        CASE(400, GET HOST "X : a\r\n\r\n"),
        CASE(400, GET HOST "X\t: a\r\n\r\n"),
        CASE(400, GET "Host : a.test\r\n\r\n"),
        CASE(400, GET HOST ": a\r\n\r\n"),
        CASE(400, GET HOST "X\r\n\r\n"),
        CASE(400, GET HOST "X Y: a\r\n\r\n"),
        CASE(400, GET HOST "X(: a\r\n\r\n"),
        CASE(400, GET HOST "\xc3\xa4: a\r\n\r\n"),
        /* the request line */
        CASE(400, "\r\n\r\n" GET HOST "\r\n"),
        CASE(400, "\n" GET HOST "\r\n"),
        CASE(400, "\r" GET HOST "\r\n"),
        CASE(400, "\r\n\n" GET HOST "\r\n"),
        CASE(400, " " GET HOST "\r\n"),
        CASE(400, "\r\n " GET HOST "\r\n"),
        CASE(400, "GET  / HTTP/1.1\r\n" HOST "\r\n"),
        CASE(400, "GET /  HTTP/1.1\r\n" HOST "\r\n"),
        CASE(400, "GET / HTTP/1.1 \r\n" HOST "\r\n"),
        CASE(400, "GET\t/ HTTP/1.1\r\n" HOST "\r\n"),
        CASE(400, "GET /\tHTTP/1.1\r\n" HOST "\r\n"),
        CASE(400, "GET /a b HTTP/1.1\r\n" HOST "\r\n"),
        CASE(400, "GET HTTP/1.1\r\n" HOST "\r\n"),
        CASE(400, "GET  HTTP/1.1\r\n" HOST "\r\n"),
        CASE(400, "GET /\r\n" HOST "\r\n"),
        CASE(400, "GET / \r\n" HOST "\r\n"),
        CASE(400, "GET\r\n" HOST "\r\n"),
        CASE(400, "GET / http/1.1\r\n" HOST "\r\n"),
        CASE(400, "GET / HTTP/11\r\n" HOST "\r\n"),
        CASE(400, "GET / HTTP/1.10\r\n" HOST "\r\n"),
        CASE(400, "GET / HTTP/1\r\n" HOST "\r\n"),
        CASE(400, "GET / HTTP/a.b\r\n" HOST "\r\n"),
        CASE(400, "GET / HTTPS/1.1\r\n" HOST "\r\n"),
        CASE(400, "G@T / HTTP/1.1\r\n" HOST "\r\n"),
        CASE(505, "GET / HTTP/1.2\r\n" HOST "\r\n"),
        CASE(505, "GET / HTTP/2.0\r\n" HOST "\r\n"),
        CASE(505, "GET / HTTP/0.9\r\n" HOST "\r\n"),
        CASE(505, "GET / HTTP/9.9\r\n" HOST "\r\n"),
        CASE(505, "PRI * HTTP/2.0\r\n\r\n"),
        CASE(400, "GET * HTTP/1.1\r\n" HOST "\r\n"),
        CASE(400, "OPTIONS *a HTTP/1.1\r\n" HOST "\r\n"),
        CASE(400, "GET a HTTP/1.1\r\n" HOST "\r\n"),
        CASE(400, "GET a.test:80 HTTP/1.1\r\n" HOST "\r\n"),
        CASE(400, "GET ?a HTTP/1.1\r\n" HOST "\r\n"),
        CASE(400, "GET /a#b HTTP/1.1\r\n" HOST "\r\n"),
        CASE(400, "GET /\xc3\xa4 HTTP/1.1\r\n" HOST "\r\n"),
        CASE(501, "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n"),
        CASE(501, "CONNECT / HTTP/1.1\r\n" HOST "\r\n"),
        /* absolute targets */
        CASE(400, "GET http://b.test/ HTTP/1.1\r\n" HOST "\r\n"),
        CASE(400, "GET http://a.test/ HTTP/1.1\r\n\r\n"),
        CASE(400, "GET http://a.test/ HTTP/1.1\r\n" HOST HOST "\r\n"),
        CASE(400, "GET http://a.test:81/ HTTP/1.1\r\n" HOST "\r\n"),
        CASE(400, "GET https://a.test/ HTTP/1.1\r\nHost: a.test:80\r\n\r\n"),
        CASE(400, "GET http://u:p@a.test/ HTTP/1.1\r\n" HOST "\r\n"),
        CASE(400, "GET http://u:p@a.test/ HTTP/1.0\r\n\r\n"),
        CASE(400, "GET http:///x HTTP/1.0\r\n\r\n"),
        CASE(400, "GET http:///x HTTP/1.1\r\n" HOST "\r\n"),
        CASE(400, "GET http:/a.test/ HTTP/1.1\r\n" HOST "\r\n"),
        CASE(400, "GET http:// HTTP/1.1\r\n" HOST "\r\n"),
        CASE(400, "GET http://a.test\\@b.test/ HTTP/1.1\r\n" HOST "\r\n"),
        CASE(400, "GET ftp://a.test/ HTTP/1.1\r\n" HOST "\r\n"),
        CASE(400, "GET ws://a.test/ HTTP/1.1\r\n" HOST "\r\n"),
        CASE(400, "GET http://a.test/#x HTTP/1.1\r\n" HOST "\r\n"),
        /* Expect */
        CASE(417, POST "Content-Length: 5\r\nExpect: 200-ok\r\n\r\n"),
        CASE(417, POST "Content-Length: 5\r\nExpect: 100-continue, x\r\n\r\n"),
        CASE(417, POST "Content-Length: 5\r\nExpect:\r\n\r\n"),
        CASE(400, POST "Expect: 100-continue\r\nExpect: 100-continue\r\n\r\n"),
        /* Connection that names fields on which the edge decides */
        CASE(400, GET HOST "Connection: host\r\n\r\n"),
        CASE(400, GET HOST "Connection: close, Content-Length\r\n\r\n"),
        CASE(400, GET HOST "Connection: COOKIE\r\n\r\n"),
        CASE(400, GET HOST "Connection: keep-alive,authorization\r\n\r\n"),
        CASE(400, GET HOST "Connection: X-Forwarded-For\r\n\r\n"),
        CASE(400, GET HOST "Connection: x-forwarded-anything\r\n\r\n"),
        CASE(400, GET HOST "Connection: close\r\nConnection: , ,Host\r\n\r\n"),
        /* fields that must occur once */
        CASE(400, GET HOST "Authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n"),
        CASE(400, GET HOST "Origin: https://a\r\nOrigin: https://b\r\n\r\n"),
        CASE(400, GET HOST "Sec-Fetch-Mode: cors\r\nsec-fetch-mode: navigate\r\n\r\n"),
        CASE(400, GET HOST "Sec-WebSocket-Key: " KEY "\r\nSec-WebSocket-Key: " KEY "\r\n\r\n"),
        CASE(400, GET HOST "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 8\r\n\r\n"),
        /* a handshake whose body would be read as frames */
        CASE(400, GET HOST "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                           "Sec-WebSocket-Key: " KEY "\r\nContent-Length: 5\r\n\r\n"),
#undef CASE
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        expect_status(cases[i].head, cases[i].status);
}

/* In a refused head, Host and Origin count if they were read, and only with one reading. */
static void test_unambiguous(void **state)
{
    (void)state;
#define ORIGIN "Origin: https://b.test\r\n"
    static const struct {
        bool unambiguous;
        str_t head;
    } cases[] = {
#define ROW(unambiguous, text)                                                                               \
    {                                                                                                        \
        unambiguous,                                                                                         \
        {                                                                                                    \
            text, sizeof(text) - 1                                                                           \
        }                                                                                                    \
    }
        ROW(true, POST ORIGIN "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ROW(true, POST ORIGIN "Transfer-Encoding: gzip\r\n\r\n"),
        ROW(true, POST ORIGIN "Expect: x\r\n\r\n"),
        ROW(true, "GET http://a.test/ HTTP/1.1\r\n" HOST ORIGIN "Expect: x\r\n\r\n"),
        ROW(false, "GET http://b.test/ HTTP/1.1\r\n" HOST ORIGIN "Expect: x\r\n\r\n"),
        ROW(false, GET ORIGIN "Expect: x\r\n\r\n"),
        ROW(false, GET "Host: a b\r\n" ORIGIN "\r\n"),
        ROW(false, POST HOST ORIGIN "\r\n"),
        ROW(false, POST ORIGIN ORIGIN "\r\n"),
        ROW(false, POST ORIGIN "a b: c\r\n\r\n"),
        ROW(false, POST ORIGIN "Content-Length: x\r\n\r\n"),
        ROW(false, "GET / HTTP/1.9\r\n" HOST ORIGIN "\r\n"),
#undef ROW
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        request_parse_t p;
        parse_request_whole(&p, cases[i].head);
        assert_int_equal(p.result, HTTP1_BAD);
        if (p.request.unambiguous != cases[i].unambiguous)
            fail_msg("%.*s", STR_ARG(cases[i].head));
        request_parse_fini(&p);
    }
}

/* The same in a head over its limits: the whole lines within them count. */
static void test_unambiguous_over_limits(void **state)
{
    (void)state;
    static const struct {
        int status;
        bool unambiguous;
        const char *before, *after;
    } cases[] = {
        {431, true, GET HOST ORIGIN, ""},
        {431, true, GET HOST ORIGIN, HOST},
        {431, true, GET ORIGIN HOST, ORIGIN},
        {431, true, GET HOST, ORIGIN}, /* no origin was read */
        {431, false, GET ORIGIN, HOST},
        {431, false, GET HOST HOST ORIGIN, ""},
        {431, false, GET HOST ORIGIN ORIGIN, ""},
        {400, false, GET HOST ORIGIN "a b: c\r\n", ""},
        {431, false, GET HOST ORIGIN "x: y\r\n z\r\n", ""},
        {431, false, GET "Host: a b\r\n" ORIGIN, ""},
        {431, false, "GET http://b.test/ HTTP/1.1\r\n" HOST ORIGIN, ""},
    };
    static char head[2 * HEADS_MAX_BYTES];
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (unsigned many = 0; many < 2; many++) {
            size_t n = (size_t)snprintf(head, sizeof(head), "%s", cases[i].before);
            size_t lines = many ? HEADS_MAX_FIELDS + 1 : 0, bytes = many ? 1 : HEADS_MAX_BYTES;
            for (size_t line = 0; line <= lines; line++)
                n += (size_t)snprintf(head + n, sizeof(head) - n, "x: %0*d\r\n", (int)bytes, 1);
            n += (size_t)snprintf(head + n, sizeof(head) - n, "%s\r\n", cases[i].after);
            assert_true(n < sizeof(head));
            request_parse_t p;
            parse_request_whole(&p, str_make(head, n));
            assert_int_equal(p.result, HTTP1_BAD);
            str_t origin = fields_value(&p.request.fields, FIELD_ORIGIN);
            if (p.error.status != cases[i].status || p.request.unambiguous != cases[i].unambiguous)
                fail_msg("%u: status %d after %s", many, p.error.status, cases[i].before);
            assert_true(!p.request.unambiguous || origin.n == 0 || str_eq(origin, STR("https://b.test")));
            request_parse_fini(&p);
        }
    }
#undef ORIGIN
}

/* Every byte in the method, the target and the host. */
static void test_every_byte(void **state)
{
    (void)state;
    static const char tchars[] =
        "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    for (int c = 0; c < 256; c++) {
        char method[] = "GxT /?x HTTP/1.1\r\nHost: axb\r\n\r\n";
        char target[] = "GET /?x HTTP/1.1\r\nHost: axb\r\n\r\n";
        char host[] = "GET /?x HTTP/1.1\r\nHost: axb\r\n\r\n";
        method[1] = target[6] = host[25] = (char)c;
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        /* 'a:b' is a host with an invalid port */
        struct {
            str_t head;
            bool good;
        } cases[] = {
            {str_make(method, sizeof(method) - 1), c != 0 && strchr(tchars, c) != NULL},
            {str_make(target, sizeof(target) - 1), c > 0x20 && c < 0x7f && c != '#'},
            {str_make(host, sizeof(host) - 1), letter || (c != 0 && strchr("-._~", c) != NULL)},
        };
        for (size_t i = 0; i < 3; i++) {
            request_parse_t p;
            parse_request_all_ways(&p, cases[i].head);
            if ((p.result == HTTP1_OK) != cases[i].good)
                fail_msg("byte 0x%02x at place %zu: result %d", (unsigned)c, i, p.result);
            assert_int_not_equal(p.result, HTTP1_INCOMPLETE);
            request_parse_fini(&p);
        }
    }
}

/* Bytes that are not HTTP are recognized by the first one, and a bad request line at its end. */
static void test_not_http(void **state)
{
    (void)state;
    expect_status(STR("\x16\x03\x01\x02"), 400);
    expect_status(STR("\x80"), 400);
    expect_status(STR("\n"), 400);
    expect_status(STR("\r\r"), 400);
    expect_status(STR("\r\n\r"), 400);
    expect_status(STR("\r\n\n"), 400);
    expect_status(STR("GET /\x01 HTTP/1.1\r\n"), 400);
    expect_status(STR("GET / HTTP/3.0\r\nHos"), 505);
    request_parse_t p;
    static const str_t incomplete[] = {{"", 0}, {"\r", 1}, {"\r\n", 2}, {"G", 1}, {"\r\nG", 3}, {GET, 16}};
    for (size_t i = 0; i < sizeof(incomplete) / sizeof(incomplete[0]); i++) {
        parse_request_all_ways(&p, incomplete[i]);
        assert_int_equal(p.result, HTTP1_INCOMPLETE);
        request_parse_fini(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_unambiguous),
        cmocka_unit_test(test_unambiguous_over_limits),
        cmocka_unit_test(test_connection_options),
        cmocka_unit_test(test_every_byte),
        cmocka_unit_test(test_not_http),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
