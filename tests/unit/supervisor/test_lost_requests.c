/* lost_requests.h: the line of a request whose worker died, also of a record that the worker filled with
 * nonsense. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "lost_requests.h"

static char line[LOST_LINE_MAX + 1];

static json_t *line_of(const flight_t *flight, const char *cause)
{
    json_error_t error;
    size_t n = lost_request_line(line, flight, cause, UINT64_C(1796046428123000));
    assert_int_equal(line[n - 1], '\n');
    line[n] = '\0';
    json_t *object = json_loads(line, 0, &error);
    if (object == NULL)
        fail_msg("%s: %s", error.text, line);
    return object;
}

static void assert_field(const json_t *object, const char *name, const char *expected)
{
    assert_string_equal(json_string_value(json_object_get(object, name)), expected);
}

static void a_line_has_the_request(void **state)
{
    (void)state;
    flight_t flight = {.wall_us = UINT64_C(1796046426000000),
                       .client = {.s6_addr = {[10] = 0xff, [11] = 0xff, [12] = 192, [15] = 1}},
                       .id = "ab",
                       .method_n = 3,
                       .method = "GET",
                       .host_n = 1,
                       .host = "h",
                       .path_n = 2,
                       .path = "/\"",
                       .version = 20,
                       .listener = CONF_LISTENER_TLS,
                       .box = "sweet-shark-26021",
                       .port = 3000,
                       .https = true};
    json_t *object = line_of(&flight, "worker 0 died");
    assert_field(object, "time", "2026-11-30T13:47:06.000Z");
    assert_field(object, "request_id", "ab");
    assert_field(object, "client", "192.0.0.1");
    assert_field(object, "method", "GET");
    assert_field(object, "host", "h");
    assert_field(object, "path", "/\"");
    assert_field(object, "http", "2");
    assert_field(object, "detail", "worker 0 died");
    assert_field(object, "end", "worker_died");
    assert_field(object, "box", "sweet-shark-26021");
    assert_int_equal(json_integer_value(json_object_get(object, "port")), 3000);
    assert_field(object, "kind", "preview");
    assert_true(json_is_true(json_object_get(object, "tls")));
    assert_true(json_real_value(json_object_get(object, "duration_ms")) == 2123.0);
    json_decref(object);
}

static void a_line_has_the_kind(void **state)
{
    (void)state;
    static const struct {
        flight_t flight;
        const char *kind;
    } cases[] = {{{.listener = CONF_LISTENER_PLAIN}, "none"},
                 {{.listener = CONF_LISTENER_PLAIN, .api = true}, "api"},
                 {{.listener = CONF_LISTENER_TLS, .box = "b"}, "preview"},
                 {{.listener = CONF_LISTENER_REDIRECT}, "redirect"},
                 {{.listener = CONF_LISTENER_HEALTH}, "health"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        json_t *object = line_of(&cases[i].flight, "worker 0 died");
        assert_field(object, "kind", cases[i].kind);
        assert_true((json_object_get(object, "box") != NULL) == (cases[i].flight.box[0] != '\0'));
        json_decref(object);
    }
}

static void requests_count_by_kind_and_protocol(void **state)
{
    (void)state;
    flight_table_t *table = calloc(1, sizeof(*table));
    measures_t *measures = calloc(1, sizeof(*measures));
    assert_non_null(table);
    assert_non_null(measures);
    table->at[1] = (flight_t){.wall_us = 1, .version = 11, .box = "b"};
    table->at[2] = (flight_t){.wall_us = 1, .version = 20, .box = "b"};
    table->at[FLIGHTS_MAX - 1] = (flight_t){.wall_us = 1, .version = 20, .api = true};
    atomic_store(&table->unrecorded, 4);
    atomic_store(&measures->statuses[MEASURE_PREVIEW][MEASURE_H1][MEASURE_STATUS_NONE], 5);
    lost_requests_count(measures, table);
    assert_int_equal(measures->statuses[MEASURE_PREVIEW][MEASURE_H1][MEASURE_STATUS_NONE], 6);
    assert_int_equal(measures->statuses[MEASURE_PREVIEW][MEASURE_H2][MEASURE_STATUS_NONE], 1);
    assert_int_equal(measures->statuses[MEASURE_API][MEASURE_H2][MEASURE_STATUS_NONE], 1);
    assert_int_equal(measures->codes[ERROR_CODE_worker_died], 3 + 4);
    free(measures);
    free(table);
}

static void nonsense_makes_a_line_too(void **state)
{
    (void)state;
    for (int byte = 1; byte < 256; byte++) {
        flight_table_t *table = calloc(1, sizeof(*table));
        flight_t flight;
        assert_non_null(table);
        memset(&table->at[3], byte, sizeof(flight_t));
        assert_true(flight_read(table, 3, &flight));
        flight.https = flight.api = true;
        json_decref(line_of(&flight,
                            "a cause of more than any length \x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01"
                            "\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01"));
        free(table);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_has_the_request),
        cmocka_unit_test(a_line_has_the_kind),
        cmocka_unit_test(requests_count_by_kind_and_protocol),
        cmocka_unit_test(nonsense_makes_a_line_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
