/* The HTTP/2 guard: it sees frames however the bytes are split, floods empty the bucket, busy clients do
 * not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "http2_guard.h"

enum {
    DATA,
    HEADERS,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    PUSH_PROMISE,
    PING,
    GOAWAY,
    WINDOW_UPDATE,
    CONTINUATION,
    UNKNOWN = 0x77
};
enum { END_STREAM = 1, END_HEADERS = 4, PADDED = 8 };

typedef struct bytes {
    char at[70000];
    size_t n;
} bytes_t;

static void frame(bytes_t *out, unsigned type, unsigned flags, uint32_t len)
{
    assert_true(out->n + 9 + len <= sizeof(out->at));
    const unsigned char header[9] = {(unsigned char)(len >> 16),
                                     (unsigned char)(len >> 8),
                                     (unsigned char)len,
                                     (unsigned char)type,
                                     (unsigned char)flags,
                                     0,
                                     0,
                                     0,
                                     1};
    memcpy(out->at + out->n, header, sizeof(header));
    memset(out->at + out->n + 9, 0xff, len);
    out->n += 9 + len;
}

/* Scans all of it, past HEADERS and DATA. */
static http2_guard_result_t scan(http2_guard_t *guard, const char *data, size_t n, uint64_t now)
{
    while (n != 0) {
        size_t taken;
        http2_guard_result_t result = http2_guard_scan(guard, data, n, now, &taken);
        assert_in_range(taken, 1, n);
        if (result == HTTP2_GUARD_OK)
            assert_int_equal(taken, n);
        else if (result == HTTP2_GUARD_STREAM)
            assert_int_equal(http2_guard_stream(guard), 1);
        else
            return result;
        data += taken;
        n -= taken;
    }
    return HTTP2_GUARD_OK;
}

static http2_guard_t begun(uint64_t now)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    http2_guard_t guard;
    http2_guard_init(&guard, now);
    assert_int_equal(scan(&guard, preface, sizeof(preface) - 1, now), HTTP2_GUARD_OK);
    assert_int_equal(guard.tokens, HTTP2_GUARD_BURST);
    return guard;
}

/* Frames that a trusted proxy forwards for its clients end no other client's streams; an endless field block
 * does. */
static void test_shared(void **state)
{
    (void)state;
    http2_guard_t guard = begun(0);
    guard.shared = true;
    for (int i = 0; i < 2 * HTTP2_GUARD_BURST; i++) {
        assert_int_equal(http2_guard_note(&guard, HTTP2_GUARD_RESET, 0), HTTP2_GUARD_OK);
        assert_int_equal(http2_guard_note(&guard, HTTP2_GUARD_OVERSIZE, 0), HTTP2_GUARD_OK);
    }
    assert_int_equal(guard.tokens, HTTP2_GUARD_BURST);
    static const char headers[] = "\x00\x40\x00\x01\x00\x00\x00\x00\x01",
                      more[] = "\x00\x40\x00\x09\x00\x00\x00\x00\x01";
    static char payload[16384];
    assert_int_equal(scan(&guard, headers, sizeof(headers) - 1, 0), HTTP2_GUARD_OK);
    http2_guard_result_t result = scan(&guard, payload, sizeof(payload), 0);
    for (int i = 0; i < 4 && result == HTTP2_GUARD_OK; i++) {
        result = scan(&guard, more, sizeof(more) - 1, 0);
        if (result == HTTP2_GUARD_OK)
            result = scan(&guard, payload, sizeof(payload), 0);
    }
    assert_int_equal(result, HTTP2_GUARD_LONG_BLOCK);
}

static int32_t price(unsigned type, unsigned flags, uint32_t len)
{
    static bytes_t one;
    one.n = 0;
    frame(&one, type, flags, len);
    http2_guard_t guard = begun(5);
    assert_int_equal(scan(&guard, one.at, one.n, 5), HTTP2_GUARD_OK);
    return HTTP2_GUARD_BURST - guard.tokens;
}

static void test_prices(void **state)
{
    (void)state;
    assert_int_equal(price(HEADERS, END_HEADERS, 100), 0);
    assert_int_equal(price(DATA, 0, 1), 0);
    assert_int_equal(price(DATA, END_STREAM, 0), 0);
    assert_int_equal(price(DATA, 0, 0), 10);
    assert_int_equal(price(DATA, PADDED, 256), 4);
    assert_int_equal(price(DATA, PADDED, 257), 0);
    assert_int_equal(price(RST_STREAM, 0, 4), 20);
    assert_int_equal(price(SETTINGS, 0, 6), 20);
    assert_int_equal(price(PING, 0, 8), 6);
    assert_int_equal(price(WINDOW_UPDATE, 0, 4), 2);
    assert_int_equal(price(PRIORITY, 0, 5), 4);
    assert_int_equal(price(CONTINUATION, END_HEADERS, 5), 4);
    assert_int_equal(price(UNKNOWN, 0, 5), 4);
    assert_int_equal(price(GOAWAY, 0, 8), 100);
}

/* The same charge for any split of the bytes. */
static void test_any_cut(void **state)
{
    (void)state;
    static bytes_t all;
    all.n = 0;
    frame(&all, SETTINGS, 0, 12);
    frame(&all, HEADERS, END_HEADERS | END_STREAM, 40);
    frame(&all, PING, 0, 8);
    frame(&all, DATA, 0, 0);
    frame(&all, WINDOW_UPDATE, 0, 4);
    for (size_t step = 1; step <= all.n; step++) {
        http2_guard_t guard = begun(1);
        for (size_t at = 0; at < all.n; at += step) {
            size_t n = all.n - at < step ? all.n - at : step;
            assert_int_equal(scan(&guard, all.at + at, n, 1), HTTP2_GUARD_OK);
        }
        assert_int_equal(HTTP2_GUARD_BURST - guard.tokens, 20 + 6 + 10 + 2);
    }
}

/* The number of frames of a kind that pass in one instant. */
static unsigned flood(unsigned type, uint32_t len)
{
    static bytes_t one;
    one.n = 0;
    frame(&one, type, 0, len);
    http2_guard_t guard = begun(1);
    for (unsigned n = 0; n < 100000; n++)
        if (scan(&guard, one.at, one.n, 1) == HTTP2_GUARD_CALM)
            return n;
    return 100000;
}

static void test_floods(void **state)
{
    (void)state;
    assert_int_equal(flood(RST_STREAM, 4), HTTP2_GUARD_BURST / 20 - 1);
    assert_int_equal(flood(SETTINGS, 0), HTTP2_GUARD_BURST / 20 - 1);
    assert_int_equal(flood(PING, 8), HTTP2_GUARD_BURST / 6);
    assert_int_equal(flood(DATA, 0), HTTP2_GUARD_BURST / 10 - 1);
    assert_int_equal(flood(WINDOW_UPDATE, 4), HTTP2_GUARD_BURST / 2 - 1);
    assert_int_equal(flood(PRIORITY, 5), HTTP2_GUARD_BURST / 4 - 1);
    assert_int_equal(flood(UNKNOWN, 0), HTTP2_GUARD_BURST / 4 - 1);
    http2_guard_t guard = begun(1);
    unsigned provoked = 0;
    while (http2_guard_note(&guard, HTTP2_GUARD_RESET, 1) == HTTP2_GUARD_OK)
        provoked++;
    assert_int_equal(provoked, HTTP2_GUARD_BURST / 20 - 1);
}

/* 100,000 resets within 20 s, each after a completed response. */
static void test_resets_beside_work(void **state)
{
    (void)state;
    static bytes_t rst;
    rst.n = 0;
    frame(&rst, RST_STREAM, 0, 4);
    http2_guard_t guard = begun(0);
    unsigned n = 0;
    for (; n < 100000; n++) {
        uint64_t now = n / 5;
        assert_int_equal(http2_guard_note(&guard, HTTP2_GUARD_DATA_SENT, now), HTTP2_GUARD_OK);
        assert_int_equal(http2_guard_note(&guard, HTTP2_GUARD_COMPLETED, now), HTTP2_GUARD_OK);
        if (scan(&guard, rst.at, rst.n, now) == HTTP2_GUARD_CALM)
            break;
    }
    assert_in_range(n, 1000, 10000);
}

/* An origin may refuse every request, with a PING and a window update beside each; more is a flood. */
static void test_an_origin_that_refuses(void **state)
{
    (void)state;
    static bytes_t answer;
    answer.n = 0;
    frame(&answer, RST_STREAM, 0, 4);
    frame(&answer, PING, 0, 8);
    frame(&answer, WINDOW_UPDATE, 0, 4);
    http2_guard_t guard = begun(0);
    for (unsigned n = 0; n < 100000; n++) {
        assert_int_equal(http2_guard_note(&guard, HTTP2_GUARD_REQUESTED, 0), HTTP2_GUARD_OK);
        assert_int_equal(scan(&guard, answer.at, answer.n, 0), HTTP2_GUARD_OK);
    }
    unsigned more = 0;
    while (scan(&guard, answer.at, answer.n, 0) == HTTP2_GUARD_OK)
        more++;
    assert_in_range(more, 500, 1000);
}

/* 10,000 requests a second for a minute, two window updates a DATA frame, every third one cancelled. */
static void test_busy_client(void **state)
{
    (void)state;
    static bytes_t updates, rst;
    updates.n = rst.n = 0;
    frame(&updates, WINDOW_UPDATE, 0, 4);
    frame(&updates, WINDOW_UPDATE, 0, 4);
    frame(&rst, RST_STREAM, 0, 4);
    http2_guard_t guard = begun(0);
    for (unsigned n = 0; n < 600000; n++) {
        uint64_t now = n / 10;
        if (n % 3 == 0) {
            assert_int_equal(scan(&guard, rst.at, rst.n, now), HTTP2_GUARD_OK);
            continue;
        }
        assert_int_equal(http2_guard_note(&guard, HTTP2_GUARD_DATA_SENT, now), HTTP2_GUARD_OK);
        assert_int_equal(http2_guard_note(&guard, HTTP2_GUARD_COMPLETED, now), HTTP2_GUARD_OK);
        assert_int_equal(scan(&guard, updates.at, updates.n, now), HTTP2_GUARD_OK);
    }
}

/* A browser that leaves pages with all its streams open, every second for a minute. */
static void test_browser_cancels(void **state)
{
    (void)state;
    static bytes_t rst;
    rst.n = 0;
    frame(&rst, RST_STREAM, 0, 4);
    http2_guard_t guard = begun(0);
    for (uint64_t second = 0; second < 60; second++)
        for (unsigned n = 0; n < 100; n++)
            assert_int_equal(scan(&guard, rst.at, rst.n, second * 1000), HTTP2_GUARD_OK);
    http2_guard_t burst = begun(0);
    for (unsigned n = 0; n < 7 * 128; n++)
        assert_int_equal(scan(&burst, rst.at, rst.n, 0), HTTP2_GUARD_OK);
}

static void test_block_bytes(void **state)
{
    (void)state;
    static bytes_t block;
    block.n = 0;
    frame(&block, HEADERS, 0, 16384);
    frame(&block, CONTINUATION, 0, 16384);
    frame(&block, CONTINUATION, 0, 16384);
    http2_guard_t guard = begun(1);
    assert_int_equal(scan(&guard, block.at, block.n, 1), HTTP2_GUARD_OK);
    block.n = 0;
    frame(&block, CONTINUATION, END_HEADERS, 16384);
    http2_guard_t exact = guard;
    assert_int_equal(scan(&exact, block.at, block.n, 1), HTTP2_GUARD_OK);
    block.n = 0;
    frame(&block, CONTINUATION, END_HEADERS, 16385);
    assert_int_equal(scan(&guard, block.at, block.n, 1), HTTP2_GUARD_LONG_BLOCK);
    /* The next block counts from nothing. */
    block.n = 0;
    frame(&block, HEADERS, END_HEADERS, 16384);
    assert_int_equal(scan(&exact, block.at, block.n, 1), HTTP2_GUARD_OK);
}

static void test_in_block(void **state)
{
    (void)state;
    static bytes_t block;
    block.n = 0;
    frame(&block, HEADERS, 0, 10);
    frame(&block, CONTINUATION, END_HEADERS, 10);
    http2_guard_t guard = begun(1);
    for (size_t i = 0; i < block.n; i++) {
        assert_int_equal(http2_guard_in_block(&guard), i >= 9);
        assert_int_equal(scan(&guard, block.at + i, 1, 1), HTTP2_GUARD_OK);
    }
    assert_false(http2_guard_in_block(&guard));
    block.n = 0;
    frame(&block, PING, 0, 8);
    assert_int_equal(scan(&guard, block.at, 12, 1), HTTP2_GUARD_OK);
    assert_false(http2_guard_in_block(&guard));
}

static http2_guard_result_t priority(uint32_t stream, const char *dependency, size_t cut)
{
    unsigned char bytes[] = {0, 0, 5, PRIORITY, 0, 0, 0, 0, (unsigned char)stream, 0, 0, 0, 0, 15};
    memcpy(bytes + 9, dependency, 4);
    http2_guard_t guard = begun(1);
    http2_guard_result_t first = scan(&guard, (char *)bytes, cut, 1);
    return first != HTTP2_GUARD_OK ? first : scan(&guard, (char *)bytes + cut, sizeof(bytes) - cut, 1);
}

static void test_priority(void **state)
{
    (void)state;
    for (size_t cut = 0; cut <= 14; cut++) {
        assert_int_equal(priority(3, "\0\0\0\1", cut), HTTP2_GUARD_OK);
        assert_int_equal(priority(3, "\0\0\3\1", cut), HTTP2_GUARD_OK);
        assert_int_equal(priority(3, "\0\0\0\3", cut), HTTP2_GUARD_BAD_PRIORITY);
        assert_int_equal(priority(3, "\x80\0\0\3", cut), HTTP2_GUARD_BAD_PRIORITY);
        assert_int_equal(priority(0, "\0\0\0\1", cut), HTTP2_GUARD_BAD_PRIORITY);
    }
}

/* It stops behind the header of HEADERS and DATA, at any split of the bytes, and nowhere else. */
static void test_stops(void **state)
{
    (void)state;
    static bytes_t all;
    all.n = 0;
    frame(&all, PING, 0, 8);
    frame(&all, HEADERS, END_HEADERS, 3);
    frame(&all, DATA, END_STREAM, 0);
    frame(&all, WINDOW_UPDATE, 0, 4);
    const size_t stops[] = {17 + 9, 17 + 12 + 9};
    for (size_t cut = 0; cut <= all.n; cut++) {
        http2_guard_t guard = begun(1);
        size_t at = 0, found = 0;
        while (at != all.n) {
            size_t n = at < cut ? cut - at : all.n - at, taken;
            http2_guard_result_t result = http2_guard_scan(&guard, all.at + at, n, 1, &taken);
            at += taken;
            if (result == HTTP2_GUARD_STREAM)
                assert_int_equal(at, stops[found++]);
            else
                assert_int_equal(taken, n);
        }
        assert_int_equal(found, 2);
    }
}

static void test_refill_is_bounded(void **state)
{
    (void)state;
    http2_guard_t guard = begun(0);
    while (http2_guard_note(&guard, HTTP2_GUARD_RESET, 0) == HTTP2_GUARD_OK)
        ;
    assert_int_equal(http2_guard_note(&guard, HTTP2_GUARD_RESET, 11), HTTP2_GUARD_OK);
    assert_int_equal(guard.tokens, 2);
    assert_int_equal(http2_guard_note(&guard, HTTP2_GUARD_DATA_SENT, UINT64_MAX / 2), HTTP2_GUARD_OK);
    assert_int_equal(guard.tokens, HTTP2_GUARD_BURST);
    /* A clock that stands still or goes back refills nothing. */
    assert_int_equal(http2_guard_note(&guard, HTTP2_GUARD_RESET, 0), HTTP2_GUARD_OK);
    assert_int_equal(guard.tokens, HTTP2_GUARD_BURST - 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_shared),
                                       cmocka_unit_test(test_prices),
                                       cmocka_unit_test(test_any_cut),
                                       cmocka_unit_test(test_floods),
                                       cmocka_unit_test(test_resets_beside_work),
                                       cmocka_unit_test(test_busy_client),
                                       cmocka_unit_test(test_browser_cancels),
                                       cmocka_unit_test(test_block_bytes),
                                       cmocka_unit_test(test_in_block),
                                       cmocka_unit_test(test_priority),
                                       cmocka_unit_test(test_stops),
                                       cmocka_unit_test(test_refill_is_bounded),
                                       cmocka_unit_test(test_an_origin_that_refuses)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
