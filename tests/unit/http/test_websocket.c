/* WebSocket: keys, the position within a stream of frames, Close frames. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "heads.h"
#include "websocket.h"

static void test_key(void **state)
{
    (void)state;
    static const struct {
        str_t key;
        bool valid;
    } cases[] = {
        {STR("dGhlIHNhbXBsZSBub25jZQ=="), true},
        {STR("AAAAAAAAAAAAAAAAAAAAAA=="), true},
        {STR("////++++////++++/////w=="), true},
        {STR(""), false},
        {STR("dGhlIHNhbXBsZSBub25jZQ="), false},
        {STR("dGhlIHNhbXBsZSBub25jZQ==="), false},
        {STR("dGhlIHNhbXBsZSBub25jZQ=A"), false},
        {STR("dGhlIHNhbXBsZSBub25jZQA="), false},
        {STR("dGhlIHNhbXBsZSBub25jZR=="), false},
        {STR("dGhlIHNhbXBsZSBub25j-Q=="), false},
        {STR("dGhlIHNhbXBsZSBub25j Q=="), false},
        {STR("dGhlIHNhbXBsZSBub25jZ==="), false},
        {STR("dGhlIHNhbXBsZSBub25jZQ==dGhlIHNhbXBsZSBub25jZQ=="), false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (websocket_key_valid(cases[i].key) != cases[i].valid)
            fail_msg("%.*s", STR_ARG(cases[i].key));
}

/* The example of RFC 6455 section 1.3. */
static void test_accept(void **state)
{
    (void)state;
    char accept[WEBSOCKET_ACCEPT_LEN + 1];
    websocket_accept_key(STR("dGhlIHNhbXBsZSBub25jZQ=="), accept);
    assert_string_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

/* Adds a frame with `len` bytes of payload, masked or not. */
static void add_frame(text_t *text, unsigned first, size_t len, bool masked)
{
    unsigned char header[14] = {(unsigned char)first};
    size_t n = 2;
    unsigned mask = masked ? 0x80 : 0;
    if (len < 126) {
        header[1] = (unsigned char)(mask | len);
    } else {
        size_t bytes = len < 65536 ? 2 : 8;
        header[1] = (unsigned char)(mask | (bytes == 2 ? 126 : 127));
        for (size_t i = 0; i < bytes; i++)
            header[n++] = (unsigned char)(len >> 8 * (bytes - 1 - i));
    }
    if (masked)
        n += 4; /* any key */
    text_add(text, str_make((const char *)header, n));
    for (size_t i = 0; i < len; i++)
        text_add(text, STR("\x88"));
}

static websocket_frames_t feed(str_t data, size_t step)
{
    websocket_frames_t frames = {.left = 0};
    while (data.n != 0) {
        size_t n = data.n < step ? data.n : step;
        websocket_frames_feed(&frames, str_make(data.p, n));
        data = str_from_offset(data, n);
    }
    return frames;
}

/* At each byte of the stream: "between frames" exactly after the end of a frame. */
static void test_boundaries(void **state)
{
    (void)state;
    static const struct {
        unsigned first;
        size_t len;
        bool masked;
    } frames[] = {
        {0x81, 0, false},    {0x81, 5, false},     {0x82, 125, true}, {0x01, 126, false},
        {0x89, 4, true},     {0x80, 300, true},    {0xc1, 10, false}, {0x8a, 125, false},
        {0x82, 65535, true}, {0x82, 65536, false}, {0x89, 0, false},  {0x82, 1, true},
    };
    text_t text = {NULL, 0, 0};
    size_t ends[sizeof(frames) / sizeof(frames[0])];
    uint64_t payload = 0, control = 0;
    for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
        size_t before = text.n;
        add_frame(&text, frames[i].first, frames[i].len, frames[i].masked);
        ends[i] = text.n;
        if ((frames[i].first & 0x0f) >= 8)
            control += text.n - before;
        else
            payload += frames[i].len;
    }
    websocket_frames_t tracker = {.left = 0};
    size_t next = 0;
    assert_true(websocket_frames_between(&tracker));
    for (size_t n = 1; n <= text.n; n++) {
        websocket_frames_feed(&tracker, str_make(text.p + n - 1, 1));
        bool at_end = n == ends[next];
        if (at_end)
            next++;
        assert_int_equal(websocket_frames_between(&tracker), at_end);
    }
    assert_int_equal(tracker.payload_bytes, payload);
    assert_int_equal(tracker.control_bytes, control);
    static const size_t steps[] = {2, 3, 7, 1000, 200000};
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        websocket_frames_t other = feed(str_make(text.p, text.n), steps[i]);
        assert_true(websocket_frames_between(&other));
        assert_int_equal(other.payload_bytes, payload);
        assert_int_equal(other.control_bytes, control);
    }
    free(text.p);
}

static void test_close_ends_it(void **state)
{
    (void)state;
    text_t text = {NULL, 0, 0};
    add_frame(&text, 0x81, 3, false);
    add_frame(&text, 0x88, 2, false);
    websocket_frames_t frames = feed(str_make(text.p, text.n), text.n);
    assert_true(frames.closed);
    assert_false(frames.unknown);
    assert_false(websocket_frames_between(&frames));
    free(text.p);
}

/* A stream that is not understood is counted and never reported as between frames. */
static void test_unknown(void **state)
{
    (void)state;
    static const str_t cases[] = {
        {"\x83\x00", 2}, /* reserved opcodes */
        {"\x87\x01x", 3},
        {"\x8b\x00", 2},
        {"\x8f\x00", 2},
        {"\x09\x00", 2},                                  /* a ping in fragments */
        {"\x89\x7e\x00\x7e", 4},                          /* a ping of 126 bytes */
        {"\x82\x7f\x80\x00\x00\x00\x00\x00\x00\x00", 10}, /* a length of 2^63 */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        websocket_frames_t frames = feed(cases[i], 1);
        assert_true(frames.unknown);
        assert_false(websocket_frames_between(&frames));
        uint64_t before = frames.payload_bytes;
        websocket_frames_feed(&frames, STR("\x81\x00"));
        assert_int_equal(frames.payload_bytes, before + 2);
        assert_false(websocket_frames_between(&frames));
    }
    websocket_frames_t longest = feed(str_make("\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xffxy", 12), 12);
    assert_false(longest.unknown);
    assert_true(longest.left == INT64_MAX - 2);
}

static void test_close_frame(void **state)
{
    (void)state;
    char out[WEBSOCKET_CLOSE_MAX];
    assert_int_equal(websocket_close_frame(1012, STR("restart"), out), 11);
    assert_memory_equal(out, "\x88\x09\x03\xf4restart", 11);
    assert_int_equal(websocket_close_frame(1001, str_make(NULL, 0), out), 4);
    assert_memory_equal(out, "\x88\x02\x03\xe9", 4);
    char reason[WEBSOCKET_REASON_MAX];
    memset(reason, 'x', sizeof(reason));
    assert_int_equal(websocket_close_frame(1001, str_make(reason, sizeof(reason)), out), 127);
    assert_int_equal((unsigned char)out[1], 125);
    websocket_frames_t frames = feed(str_make(out, 127), 127);
    assert_true(frames.closed && frames.left == 0 && !frames.unknown);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_key),        cmocka_unit_test(test_accept),
        cmocka_unit_test(test_boundaries), cmocka_unit_test(test_close_ends_it),
        cmocka_unit_test(test_unknown),    cmocka_unit_test(test_close_frame),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
