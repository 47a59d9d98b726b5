/* Traces as JSON: hostile text and the longest texts, spans and their parents, and answers of receivers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>

#include "otlp.h"

static trace_message_t trace_of(void)
{
    trace_message_t trace = {.wall_us = 1700000000000001,
                             .took_us = 5000,
                             .id = "4bf92f3577b34da6a3ce929d0e0e4736",
                             .span = "00f067aa0ba902b7",
                             .client = {.s6_addr = {[10] = 0xff, 0xff, 192, 0, 2, 1}},
                             .status = 200,
                             .version = "1.1",
                             .method = "GET",
                             .host = "box-3000.preview.test:8443",
                             .path = "/x?a=b"};
    trace.phases[TRACE_ACCEPT] = (trace_span_t){.there = true};
    trace.phases[TRACE_RESPONSE] =
        (trace_span_t){.from_us = 10, .to_us = 5000, .there = true, .failed = true};
    return trace;
}

/* The spans of one trace; the caller frees *root. */
static json_t *spans_of(const trace_message_t *trace, json_t **root)
{
    static char out[OTLP_FRAME_BYTES + OTLP_TRACE_BYTES];
    random_source_t *random = random_source_new();
    size_t n = otlp_write(out, "node", &trace, 1, random);
    random_source_free(&random);
    assert_true(n <= sizeof(out));
    *root = json_loadb(out, n, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(*root);
    json_t *scopes =
        json_object_get(json_array_get(json_object_get(*root, "resourceSpans"), 0), "scopeSpans");
    return json_object_get(json_array_get(scopes, 0), "spans");
}

static const char *text_of(const json_t *span, const char *key)
{
    return json_string_value(json_object_get(span, key));
}

/* The value of an attribute of either type; NULL: none. */
static const char *attribute(const json_t *span, const char *key)
{
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(span, "attributes"), i, item)
    {
        json_t *value = json_object_get(item, "value");
        if (strcmp(text_of(item, "key"), key) == 0)
            return json_string_value(json_object_iter_value(json_object_iter(value)));
    }
    return NULL;
}

static void test_spans(void **state)
{
    (void)state;
    json_t *root;
    trace_message_t trace = trace_of();
    json_t *spans = spans_of(&trace, &root);
    assert_int_equal(json_array_size(spans), 3);
    const json_t *request = json_array_get(spans, 0), *response = json_array_get(spans, 2);
    assert_string_equal(text_of(request, "traceId"), trace.id);
    assert_string_equal(text_of(request, "spanId"), trace.span);
    assert_null(text_of(request, "parentSpanId"));
    assert_string_equal(text_of(request, "startTimeUnixNano"), "1700000000000001000");
    assert_string_equal(text_of(request, "endTimeUnixNano"), "1700000000005001000");
    assert_string_equal(attribute(request, "server.address"), "box-3000.preview.test");
    assert_string_equal(attribute(request, "server.port"), "8443");
    assert_string_equal(attribute(request, "client.address"), "192.0.2.1");
    assert_string_equal(attribute(request, "url.path"), "/x");
    assert_string_equal(attribute(request, "url.query"), "a=b");
    assert_null(attribute(request, "error.type"));
    assert_string_equal(text_of(response, "name"), "response");
    assert_string_equal(text_of(response, "parentSpanId"), trace.span);
    assert_string_equal(text_of(response, "startTimeUnixNano"), "1700000000000011000");
    assert_int_equal(json_integer_value(json_object_get(json_object_get(response, "status"), "code")), 2);
    json_decref(root);
}

static void test_the_parent_and_the_error(void **state)
{
    (void)state;
    json_t *root;
    trace_message_t trace = trace_of();
    trace_message_put(trace.parent, sizeof(trace.parent), STR("b7ad6b7169203331"));
    trace.status = 503;
    json_t *spans = spans_of(&trace, &root);
    assert_string_equal(text_of(json_array_get(spans, 0), "parentSpanId"), trace.parent);
    assert_string_equal(attribute(json_array_get(spans, 0), "error.type"), "503");
    json_decref(root);
    trace_message_put(trace.code, sizeof(trace.code), STR("overloaded"));
    spans = spans_of(&trace, &root);
    assert_string_equal(attribute(json_array_get(spans, 0), "error.type"), "overloaded");
    json_decref(root);
}

/* Every text as long as it can be, of bytes that grow: broken UTF-8, control characters, quotes. */
static void test_hostile_texts(void **state)
{
    (void)state;
    static const char bytes[] = {'\x01', '"', '\\', '\x80', '\xff', '\x7f'};
    for (size_t i = 0; i < sizeof(bytes); i++) {
        json_t *root;
        trace_message_t trace = trace_of();
        memset(trace.method, bytes[i], TRACE_METHOD_MAX);
        memset(trace.host, bytes[i], TRACE_HOST_MAX);
        memset(trace.path, bytes[i], TRACE_PATH_MAX);
        memset(trace.code, bytes[i], TRACE_CODE_MAX);
        memset(trace.origin, bytes[i], TRACE_ORIGIN_MAX);
        memset(trace.box, bytes[i], BOX_ID_MAX);
        memset(trace.request_id, bytes[i], sizeof(trace.request_id) - 1);
        trace.path[100] = '?';
        trace.status = 599;
        trace.port = trace.client_port = trace.local_port = UINT16_MAX;
        trace.gone = trace.cut = true;
        memset(&trace.client, 0xff, sizeof(trace.client));
        trace.took_us = UINT32_MAX;
        for (unsigned p = 0; p < TRACE_PHASES; p++)
            trace.phases[p] =
                (trace_span_t){.from_us = 1, .to_us = UINT32_MAX, .there = true, .failed = true};
        json_t *spans = spans_of(&trace, &root);
        assert_int_equal(json_array_size(spans), 1 + TRACE_PHASES);
        assert_string_equal(text_of(json_array_get(spans, 0), "name"), "HTTP");
        assert_string_equal(attribute(json_array_get(spans, 0), "http.request.method"), "_OTHER");
        json_decref(root);
    }
}

static void test_messages(void **state)
{
    (void)state;
    trace_message_t trace = trace_of(), out;
    str_t bytes = str_make((const char *)&trace, sizeof(trace));
    assert_true(trace_message_read(bytes, &out));
    assert_false(trace_message_read(str_make(bytes.p, bytes.n - 1), &out));
    trace.phases[TRACE_RESPONSE].to_us = trace.took_us + 1;
    assert_false(trace_message_read(bytes, &out));
    trace = trace_of();
    trace.phases[TRACE_WAKE].from_us = 1; /* ends before it begins */
    assert_false(trace_message_read(bytes, &out));
    trace = trace_of();
    trace.id[31] = 'G';
    assert_false(trace_message_read(bytes, &out));
    trace = trace_of();
    trace.parent[0] = '1'; /* not whole */
    assert_false(trace_message_read(bytes, &out));
    trace = trace_of();
    memset(trace.path, 'x', sizeof(trace.path));
    assert_false(trace_message_read(bytes, &out));
    trace = trace_of();
    trace.kind = MEASURE_KINDS;
    assert_false(trace_message_read(bytes, &out));
    trace = trace_of();
    memset(&trace.https, 2, 1);
    assert_false(trace_message_read(bytes, &out));
}

static void test_put_cuts(void **state)
{
    (void)state;
    char field[4];
    trace_message_put(field, sizeof(field), STR("abc"));
    assert_string_equal(field, "abc");
    trace_message_put(field, sizeof(field), STR("abcd"));
    assert_string_equal(field, "abc");
    trace_message_put(field, sizeof(field), STR(""));
    assert_string_equal(field, "");
}

static void test_answers(void **state)
{
    (void)state;
    static const struct {
        const char *answer;
        uint64_t rejected;
    } cases[] = {{"", 0},
                 {"{}", 0},
                 {"junk", 0},
                 {"[]", 0},
                 {"{\"partialSuccess\":{}}", 0},
                 {"{\"partialSuccess\":{\"rejectedSpans\":\"7\"}}", 7},
                 {"{\"partialSuccess\":{\"rejectedSpans\":7}}", 7},
                 {"{\"partialSuccess\":{\"rejectedSpans\":-7}}", 0},
                 {"{\"partialSuccess\":{\"rejectedSpans\":\"x\"}}", 0}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        assert_int_equal(otlp_rejected(str_from(cases[i].answer)), cases[i].rejected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spans),         cmocka_unit_test(test_the_parent_and_the_error),
        cmocka_unit_test(test_hostile_texts), cmocka_unit_test(test_messages),
        cmocka_unit_test(test_put_cuts),      cmocka_unit_test(test_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
