/* Response heads over HTTP/2, field by field. */
#include "http2_response_head.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const http2_head_limits_t limits = {.fields = 3, .bytes = 200};

typedef struct pair {
    const char *name, *value;
} pair_t;

/* The fields until a NULL; true where the head is good. */
static bool take(h2o_mem_pool_t *pool, const pair_t *pairs, bool head_request, bool end_stream,
                 response_t *response)
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
        h2o_mem_pool_t pool;
        response_t response;
        h2o_mem_init_pool(&pool);
        assert_true(take(&pool, cases[i].fields, cases[i].head_request, cases[i].end_stream, &response));
        assert_int_equal(response.bodyless, cases[i].bodyless);
        assert_true(response.content_length == cases[i].length);
        assert_int_equal(response.fields.count, 0);
        h2o_mem_clear_pool(&pool);
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
        h2o_mem_pool_t pool;
        response_t response;
        h2o_mem_init_pool(&pool);
        assert_false(take(&pool, cases[i], false, false, &response));
        h2o_mem_clear_pool(&pool);
    }
}

/* Bytes are counted as SETTINGS_MAX_HEADER_LIST_SIZE does, and a hopeless head is not decoded to its end. */
static void test_bytes(void **state)
{
    (void)state;
    h2o_mem_pool_t pool;
    response_t response = {.content_length = LENGTH_UNKNOWN};
    http2_head_t head = {.bytes = 0};
    static char value[128];
    memset(value, 'v', sizeof(value));
    h2o_mem_init_pool(&pool);
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
    h2o_mem_clear_pool(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
