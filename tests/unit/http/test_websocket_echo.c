/* The echoing end of a WebSocket: RFC 6455 in frames, whole or in pieces, and every way to break it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "utf8.h"
#include "websocket_echo.h"

static char frames[2 * WEBSOCKET_ECHO_MESSAGE_MAX];
static size_t frames_len;

/* Adds a masked frame to `frames`. */
static void frame(unsigned first, const char *payload, size_t n)
{
    static const unsigned char mask[4] = {0x37, 0xfa, 0x21, 0x3d};
    assert_true(frames_len + n + 14 <= sizeof frames);
    char *at = frames + frames_len;
    *at++ = (char)first;
    if (n < 126) {
        *at++ = (char)(0x80 | n);
    } else if (n < 65536) {
        *at++ = (char)(0x80 | 126);
        *at++ = (char)(n >> 8);
        *at++ = (char)n;
    } else {
        *at++ = (char)(0x80 | 127);
        for (int i = 7; i >= 0; i--)
            *at++ = (char)((uint64_t)n >> (8 * i));
    }
    memcpy(at, mask, 4);
    at += 4;
    for (size_t i = 0; i < n; i++)
        *at++ = (char)((unsigned char)payload[i] ^ mask[i & 3]);
    frames_len = (size_t)(at - frames);
}

static void text_frame(unsigned first, const char *payload)
{
    frame(first, payload, strlen(payload));
}

/* A header as it is, without payload. */
static void raw(const char *bytes, size_t n)
{
    memcpy(frames + frames_len, bytes, n);
    frames_len += n;
}

/* Feeds `frames` in pieces of `piece`, draining the output; returns all of it. */
static size_t feed(websocket_echo_t *echo, size_t piece, char *out, size_t cap)
{
    size_t total = 0;
    for (size_t at = 0; at < frames_len;) {
        size_t room = websocket_echo_room(echo);
        size_t n = frames_len - at < piece ? frames_len - at : piece;
        n = n < room ? n : room;
        assert_true(n != 0);
        websocket_echo_feed(echo, str_make(frames + at, n));
        at += n;
        str_t output = websocket_echo_output(echo);
        assert_true(total + output.n <= cap);
        if (output.n != 0)
            memcpy(out + total, output.p, output.n);
        total += output.n;
        websocket_echo_consume(echo, output.n);
    }
    frames_len = 0;
    return total;
}

static void expect(const char *want, size_t want_len)
{
    static const size_t pieces[] = {1, 2, 3, 7, 65536};
    static char kept[sizeof frames], out[4096];
    size_t kept_len = frames_len;
    memcpy(kept, frames, kept_len);
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        websocket_echo_t *echo = websocket_echo_new();
        memcpy(frames, kept, kept_len);
        frames_len = kept_len;
        size_t n = feed(echo, pieces[i], out, sizeof out);
        assert_int_equal(n, want_len);
        assert_memory_equal(out, want, want_len);
        websocket_echo_free(&echo);
        assert_null(echo);
    }
}

#define EXPECT(bytes) expect(bytes, sizeof(bytes) - 1)

/* The output is one Close frame with this code. */
static void expect_close(unsigned code)
{
    static char out[4096];
    websocket_echo_t *echo = websocket_echo_new();
    size_t n = feed(echo, 65536, out, sizeof out);
    assert_true(n >= 4);
    assert_int_equal((unsigned char)out[0], 0x88);
    assert_int_equal((unsigned char)out[1], n - 2);
    assert_int_equal((unsigned char)out[2] * 256 + (unsigned char)out[3], code);
    assert_true(websocket_echo_ended(echo));
    /* Nothing follows a Close frame, whatever arrives. */
    text_frame(0x81, "more");
    assert_int_equal(feed(echo, 65536, out, sizeof out), 0);
    websocket_echo_free(&echo);
}

static void messages_come_back(void **state)
{
    (void)state;
    text_frame(0x81, "hello");
    EXPECT("\x81\x05hello");
    text_frame(0x82, "\x01\x02");
    text_frame(0x81, "");
    EXPECT("\x82\x02\x01\x02\x81\x00");
    text_frame(0x81, "gr\xc3\xbc\xc3\x9f");
    EXPECT("\x81\x06gr\xc3\xbc\xc3\x9f");
}

static void fragments_become_one(void **state)
{
    (void)state;
    text_frame(0x01, "he");
    text_frame(0x89, "ping"); /* a control frame between fragments */
    text_frame(0x00, "l");
    text_frame(0x80, "lo");
    EXPECT("\x8a\x04ping\x81\x05hello");
    /* A character may be split between fragments. */
    text_frame(0x01, "\xc3");
    text_frame(0x80, "\xbc");
    EXPECT("\x81\x02\xc3\xbc");
    text_frame(0x02, "");
    text_frame(0x80, "");
    EXPECT("\x82\x00");
}

static void lengths_at_their_bounds(void **state)
{
    (void)state;
    static const size_t lengths[] = {125, 126, 127, 65535, 65536, WEBSOCKET_ECHO_MESSAGE_MAX};
    static char payload[WEBSOCKET_ECHO_MESSAGE_MAX], out[WEBSOCKET_ECHO_MESSAGE_MAX + 16];
    memset(payload, 'x', sizeof payload);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        size_t header = lengths[i] < 126 ? 2 : lengths[i] < 65536 ? 4 : 10;
        websocket_echo_t *echo = websocket_echo_new();
        frame(0x82, payload, lengths[i]);
        assert_int_equal(feed(echo, 65536, out, sizeof out), header + lengths[i]);
        assert_memory_equal(out + header, payload, lengths[i]);
        assert_false(websocket_echo_ended(echo));
        websocket_echo_free(&echo);
    }
}

static void too_long_a_message(void **state)
{
    (void)state;
    static char payload[WEBSOCKET_ECHO_MESSAGE_MAX + 1];
    frame(0x82, payload, sizeof payload);
    expect_close(1009);
    frame(0x02, payload, sizeof payload - 1);
    frame(0x80, payload, 1);
    expect_close(1009);
    raw("\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff", 10); /* 2^63-1 bytes */
    raw("mask", 4);
    expect_close(1009);
}

static void broken_frames(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t n;
    } cases[] = {
        {"\x81\x05hello", 7}, /* no mask */
        {"\xc1\x80mask", 6},  /* reserved bits */
        {"\xa1\x80mask", 6},
        {"\x91\x80mask", 6},
        {"\x83\x80mask", 6}, /* reserved opcodes */
        {"\x8b\x80mask", 6},
        {"\x80\x80mask", 6}, /* nothing to continue */
        {"\x00\x80mask", 6},
        {"\x09\x80mask", 6},         /* a control frame in fragments */
        {"\x89\xfe\x00\x7emask", 8}, /* a long control frame */
        {"\x81\xfe\x00\x7dmask", 8}, /* a length not in its shortest form */
        {"\x81\xff\x00\x00\x00\x00\x00\x00\xff\xffmask", 14},
        {"\x81\xff\xff\xff\xff\xff\xff\xff\xff\xffmask", 14}, /* 2^64-1 */
        {"\x88\x81mask\x03", 7},                              /* Close with half a code */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        raw(cases[i].bytes, cases[i].n);
        expect_close(1002);
    }
    text_frame(0x01, "a");
    text_frame(0x81, "b"); /* a message within a message */
    expect_close(1002);
}

static void goodbyes(void **state)
{
    (void)state;
    static const unsigned good[] = {1000, 1001, 1003, 1007, 1014, 3000, 4999};
    static const unsigned bad[] = {0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65535};
    char payload[16];
    frame(0x88, "", 0);
    expect_close(1000);
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        payload[0] = (char)(good[i] >> 8);
        payload[1] = (char)good[i];
        memcpy(payload + 2, "bye", 3);
        frame(0x88, payload, 5);
        expect_close(good[i]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        payload[0] = (char)(bad[i] >> 8);
        payload[1] = (char)bad[i];
        frame(0x88, payload, 2);
        expect_close(1002);
    }
    frame(0x88, "\x03\xe8\xff", 3);
    expect_close(1007);
}

static void text_must_be_utf8(void **state)
{
    (void)state;
    text_frame(0x81, "\xff");
    expect_close(1007);
    text_frame(0x01, "\xed\xa0");
    text_frame(0x80, "\x80");
    expect_close(1007);
}

static void pongs_are_ignored(void **state)
{
    (void)state;
    text_frame(0x8a, "unasked");
    text_frame(0x89, "");
    EXPECT("\x8a\x00");
}

/* Output that is not read stops the input, and is not moved forever. */
static void backpressure(void **state)
{
    (void)state;
    static char payload[1000];
    websocket_echo_t *echo = websocket_echo_new();
    frame(0x82, payload, sizeof payload);
    unsigned taken = 0;
    while (websocket_echo_room(echo) != 0) {
        websocket_echo_feed(echo, str_make(frames, frames_len));
        assert_true(++taken < 100);
    }
    assert_in_range(websocket_echo_output(echo).n, 65536, 65536 + 1004);
    /* A little room is enough to continue until it is used up. */
    for (int i = 0; i < 1000; i++) {
        websocket_echo_consume(echo, 1004);
        assert_true(websocket_echo_room(echo) != 0);
        websocket_echo_feed(echo, str_make(frames, frames_len));
        str_t output = websocket_echo_output(echo);
        assert_true(output.n < 70000);
        assert_int_equal((unsigned char)output.p[0], 0x82);
    }
    frames_len = 0;
    websocket_echo_free(&echo);
}

static void utf8(void **state)
{
    (void)state;
    static const str_t good[] = {{"", 0},
                                 {"a\x7f", 2},
                                 {"\xc2\x80", 2},
                                 {"\xdf\xbf", 2},
                                 {"\xe0\xa0\x80", 3},
                                 {"\xed\x9f\xbf", 3},
                                 {"\xee\x80\x80", 3},
                                 {"\xef\xbf\xbf", 3},
                                 {"\xf0\x90\x80\x80", 4},
                                 {"\xf4\x8f\xbf\xbf", 4}};
    static const str_t bad[] = {{"\x80", 1},
                                {"\xc0\x80", 2},
                                {"\xc1\xbf", 2},
                                {"\xc2", 1},
                                {"\xe0\x9f\xbf", 3},
                                {"\xed\xa0\x80", 3},
                                {"\xe1\x80", 2},
                                {"\xf0\x8f\xbf\xbf", 4},
                                {"\xf4\x90\x80\x80", 4},
                                {"\xf5\x80\x80\x80", 4},
                                {"a\xff", 2}};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(utf8_valid(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(utf8_valid(bad[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_come_back),
        cmocka_unit_test(fragments_become_one),
        cmocka_unit_test(lengths_at_their_bounds),
        cmocka_unit_test(too_long_a_message),
        cmocka_unit_test(broken_frames),
        cmocka_unit_test(goodbyes),
        cmocka_unit_test(text_must_be_utf8),
        cmocka_unit_test(pongs_are_ignored),
        cmocka_unit_test(backpressure),
        cmocka_unit_test(utf8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
