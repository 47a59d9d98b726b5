/* Response heads over HTTP/2, field by field. */
#include "http2_response_head.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "arena.h"

static const http2_head_limits_t limits = {.fields = 3, .bytes = 200};

typedef struct pair {
    const char *name, *value;
} pair_t;

/* The fields until a NULL; true if the head is good. */
static bool take(arena_t *pool, const pair_t *pairs, bool head_request, bool end_stream, response_t *response)
{
    http2_head_t head = {.bytes = 0};
    *response = (response_t){.content_length = LENGTH_UNKNOWN};
    for (; pairs->name != NULL; pairs++)
        assert_int_equal(http2_response_field(&head, pool, &limits, response, str_from(pairs->name), false,
                                              str_from(pairs->value)),
                         HTTP2_HEAD_OK);
    return http2_response_finish(&head, response, head_request, end_stream);
}

static void test_lengths(void **state)
{
    (void)state;
    static const struct {
        pair_t fields[3];
        bool head_request, end_stream, bodyless;
        uint64_t length;
    } cases[] = {
        {{{":status", "200"}}, false, false, false, LENGTH_UNKNOWN},
        {{{":status", "200"}}, false, true, true, 0},
        {{{":status", "200"}}, true, true, true, LENGTH_UNKNOWN},
        {{{":status", "200"}, {"content-length", "5"}}, false, false, false, 5},
        {{{":status", "200"}, {"content-length", "5"}}, true, true, true, 5},
        {{{":status", "200"}, {"content-length", "0"}}, false, false, false, 0},
        {{{":status", "204"}, {"content-length", "0"}}, false, true, true, LENGTH_UNKNOWN},
        {{{":status", "304"}, {"content-length", "9"}}, false, true, true, 9},
        {{{":status", "304"}}, false, true, true, LENGTH_UNKNOWN},
        {{{":status", "103"}}, false, false, true, LENGTH_UNKNOWN},
        {{{":status", "999"}}, false, true, true, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        arena_t pool;
        response_t response;
        arena_init(&pool);
        assert_true(take(&pool, cases[i].fields, cases[i].head_request, cases[i].end_stream, &response));
        assert_int_equal(response.bodyless, cases[i].bodyless);
        assert_true(response.content_length == cases[i].length);
        assert_int_equal(response.fields.count, 0);
        arena_clear(&pool);
    }
}

static void test_what_is_refused(void **state)
{
    (void)state;
    static const pair_t cases[][6] = {
        {{NULL, NULL}},
        {{"x", "y"}},
        {{":status", "20"}},
        {{":status", "2000"}},
        {{":status", "abc"}},
        {{":status", "099"}},
        {{":status", "101"}},
        {{":status", "200"}, {":path", "/"}},
        {{":status", "200"}, {"content-length", "x"}},
        {{":status", "200"}, {"content-length", "-1"}},
        {{":status", "200"}, {"content-length", "99999999999999999999"}},
        {{":status", "200"}, {"content-length", "1"}, {"content-length", "1"}},
        {{":status", "200"}, {"a", ""}, {"b", ""}, {"c", ""}, {"d", ""}},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        arena_t pool;
        response_t response;
        arena_init(&pool);
        assert_false(take(&pool, cases[i], false, false, &response));
        arena_clear(&pool);
    }
}

/* Bytes are counted as SETTINGS_MAX_HEADER_LIST_SIZE does, and a hopeless head is not decoded to its end. */
static void test_bytes(void **state)
{
    (void)state;
    arena_t pool;
    response_t response = {.content_length = LENGTH_UNKNOWN};
    http2_head_t head = {.bytes = 0};
    static char value[128];
    memset(value, 'v', sizeof(value));
    arena_init(&pool);
    /* 42 of the status, 32 and 1 of the next: 125 are left. */
    for (size_t extra = 0; extra < 2; extra++) {
        head = (http2_head_t){.bytes = 0};
        response = (response_t){.content_length = LENGTH_UNKNOWN};
        assert_int_equal(
            http2_response_field(&head, &pool, &limits, &response, STR(":status"), true, STR("200")),
            HTTP2_HEAD_OK);
        assert_int_equal(http2_response_field(&head, &pool, &limits, &response, STR("x"), true,
                                              str_make(value, 125 + extra)),
                         HTTP2_HEAD_OK);
        assert_int_equal(http2_response_finish(&head, &response, false, true), extra == 0);
    }
    uint32_t kept = response.fields.count;
    http2_head_result_t result = HTTP2_HEAD_OK;
    for (int i = 0; i < 1000 && result == HTTP2_HEAD_OK; i++)
        result = http2_response_field(&head, &pool, &limits, &response, STR("x"), true, str_make(value, 128));
    assert_int_equal(result, HTTP2_HEAD_HOPELESS_SIZE);
    assert_true(head.bytes <= (HTTP2_HEAD_HOPELESS + 2) * limits.bytes);
    assert_int_equal(response.fields.count, kept);
    arena_clear(&pool);
}

/* The texts of nghttp2 1.52, and texts that another version may have. */
static void test_the_text_of_a_refused_field(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool taken;
        int32_t stream;
        const char *name, *value;
    } cases[] = {
        {"Invalid HTTP header field was received: frame type: 1, stream: 7, name: [te], value: [x]", true, 7,
         "te", "x"},
        {"stream: 2147483647, name: [], value: []", true, INT32_MAX, "", ""},
        {"stream: 1, name: [a], value: [b], name: [c], value: [d]]", true, 1, "a",
         "b], name: [c], value: [d]"},
        {"stream: 1, name: [a], value: [b", true, 1, "a", "b"},
        {"stream: 1, name: [a], value: [", true, 1, "a", ""},
        {"stream: 2147483648, name: [a], value: [b]", false, 0, "", ""},
        {"stream: -1, name: [a], value: [b]", false, 0, "", ""},
        {"stream: , name: [a], value: [b]", false, 0, "", ""},
        {"stream: 1, name: [a]", false, 0, "", ""},
        {"stream: 1", false, 0, "", ""},
        {"a field is wrong", false, 0, "", ""},
        {"", false, 0, "", ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int32_t stream;
        str_t name, value;
        bool taken = http2_response_refused_field(str_from(cases[i].text), &stream, &name, &value);
        assert_int_equal(taken, cases[i].taken);
        if (!taken)
            continue;
        assert_int_equal(stream, cases[i].stream);
        assert_true(str_eq(name, str_from(cases[i].name)));
        assert_true(str_eq(value, str_from(cases[i].value)));
    }
}

/* The first one is kept, up to the number of bytes that a log shows. */
static void test_blame(void **state)
{
    (void)state;
    static char bytes[1000];
    arena_t pool;
    http2_head_t head = {.bytes = 0};
    arena_init(&pool);
    memset(bytes, 'b', sizeof(bytes));
    http2_response_blame(&head, &pool, "one", str_make(bytes, sizeof(bytes)));
    http2_response_blame(&head, &pool, "two", STR("c"));
    assert_true(head.malformed);
    assert_string_equal(head.fault.reason, "one");
    assert_int_equal(head.fault.bytes.n, FAULT_BYTES + 1);
    arena_clear(&pool);
}

static void test_trailers(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {":status", FAULT_PSEUDO_TRAILER},
        {"content-length", FAULT_TRAILER},
        {"upgrade", "The answer has a connection-specific field, which HTTP/2 forbids."},
        {"X", "The name of a header field has a capital letter."},
        {"x y", HTTP2_RESPONSE_BAD_FIELD},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        arena_t pool;
        http2_head_t head = {.bytes = 0};
        arena_init(&pool);
        http2_response_trailer_refused(&head, &pool, str_from(cases[i][0]));
        assert_true(head.malformed);
        assert_string_equal(head.fault.reason, cases[i][1]);
        assert_true(str_eq(head.fault.bytes, str_from(cases[i][0])));
        arena_clear(&pool);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lengths), cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_bytes),   cmocka_unit_test(test_the_text_of_a_refused_field),
        cmocka_unit_test(test_blame),   cmocka_unit_test(test_trailers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
