/* The text of faults: their quotations, and the number of log lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "arena.h"
#include "chunked.h"
#include "fault.h"
#include "fault_log.h"

static void test_quote(void **state)
{
    (void)state;
    char out[FAULT_TEXT], longest[FAULT_BYTES + 1];
    fault_quote(STR("a\0\"\\\x7f\xff z"), out);
    assert_string_equal(out, "\"a\\x00\\x22\\x5c\\x7f\\xff z\"");
    fault_quote(STR(""), out);
    assert_string_equal(out, "\"\"");
    memset(longest, 1, sizeof(longest));
    fault_quote(str_make(longest, FAULT_BYTES), out);
    assert_int_equal(strlen(out), FAULT_BYTES * 4 + 2);
    fault_quote(str_make(longest, sizeof(longest)), out);
    assert_int_equal(strlen(out), FAULT_BYTES * 4 + 5);
    assert_string_equal(out + strlen(out) - 4, "\"...");
}

static void test_lines_are_bounded(void **state)
{
    (void)state;
    fault_log_t log = {0};
    unsigned left_out = 7;
    for (unsigned i = 0; i < FAULT_LINES; i++) {
        assert_true(fault_log_take(&log, 1000 + i, &left_out));
        assert_int_equal(left_out, 0);
    }
    for (int i = 0; i < 5; i++)
        assert_false(fault_log_take(&log, 1000 + FAULT_WINDOW_MS - 1, &left_out));
    assert_true(fault_log_take(&log, 1000 + FAULT_WINDOW_MS, &left_out));
    assert_int_equal(left_out, 5);
    assert_true(fault_log_take(&log, 1000 + FAULT_WINDOW_MS, &left_out));
    assert_int_equal(left_out, 0);
}

/* Values of fields may be secrets: no part of them is kept. */
static void test_values_are_not_said(void **state)
{
    (void)state;
    static const struct {
        const char *text, *bytes;
    } cases[] = {
        {"A: b\r\nAuthorization: secret\n\r\n", "Authorization"},
        {"Authorization : secret\r\n\r\n", "Authorization"},
        {"Authorization: sec\001ret\r\n\r\n", "Authorization"},
        {"A: b\r\n secret\r\n\r\n", ""},
        {"verylongsecretwithoutcolon\r\n\r\n", "verylong"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fault_t fault = fault_of_lines(str_from(cases[i].text), false);
        assert_non_null(fault.reason);
        assert_true(str_eq(fault.bytes, str_from(cases[i].bytes)));
    }
}

static bool is_letter_or_sign(str_t text)
{
    for (size_t i = 0; i < text.n; i++)
        if ((text.p[i] < 'a' || text.p[i] > 'z') && text.p[i] != '=' && text.p[i] != '/')
            return false;
    return text.n != 0;
}

static void test_text(void **state)
{
    (void)state;
    static const struct {
        const char *text, *quoted;
        int byte;
    } cases[] = {
        {"", "", -1},
        {"/a", "/a", -1},
        {"/a#b", "/a", '#'},
        {"#", "", '#'},
        {"/a/k=secret#", "/a/k", '#'},
        {"/k=secret", "/k", -1},
        {"secret@a#", "", '@'}, /* a user and a password may stand before '@' */
        {"/a@b", "/a", '@'},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fault_t fault = fault_of_text("why", str_from(cases[i].text), is_letter_or_sign);
        assert_string_equal(fault.reason, "why");
        assert_true(str_eq(fault.bytes, str_from(cases[i].quoted)));
        assert_int_equal(fault.has_byte, cases[i].byte >= 0);
        if (fault.has_byte)
            assert_int_equal(fault.byte, cases[i].byte);
    }
}

static void test_request_line(void **state)
{
    (void)state;
    static const struct {
        const char *line, *quoted;
    } cases[] = {
        {"", ""},
        {"GET", "GET"},
        {"secretsecretsecret", "secretse"},
        {"password=secret", "password"},
        {"GET /a?token=secret", "GET /a?token"},
        {"GET http://user:secret@a/", "GET http"},
        {"GET /a secret", "GET /a"},
        {"GET ", "GET "},
        {"a=b secret c", "a"},
        {" /", " /"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fault_t fault = fault_of_request_line("why", str_from(cases[i].line));
        assert_string_equal(fault.reason, "why");
        assert_true(str_eq(fault.bytes, str_from(cases[i].quoted)));
        assert_false(fault.has_byte);
    }
}

#define FIELD(name, value, reason, quoted, byte)                                                             \
    {                                                                                                        \
        {name, sizeof(name) - 1}, {value, sizeof(value) - 1}, reason, quoted, byte                           \
    }

static void test_http2_field(void **state)
{
    (void)state;
    static const struct {
        str_t name, value;
        const char *reason, *quoted;
        int byte;
    } cases[] = {
        FIELD("a", "", NULL, "a", -1),
        FIELD("a", "b c\td\xff", NULL, "a", -1),
        FIELD(":path", "/", NULL, ":path", -1),
        FIELD("", "b", "no name", "", -1),
        FIELD("x-A", "b", "capital letter", "x-A", 'A'),
        FIELD("x y", "b", "not allowed", "x", ' '),
        FIELD("x:", "b", "not allowed", "x", ':'),
        FIELD("a", " b", "white space", "a", -1),
        FIELD("a", "b\t", "white space", "a", -1),
        FIELD("a", "secret\0", "control character", "a", 0),
        FIELD("a", "secret\n", "control character", "a", '\n'),
        FIELD(":path", "/\x7f", "control character", ":path", 0x7f),
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fault_t fault = fault_of_http2_field(cases[i].name, cases[i].value);
        assert_true((fault.reason == NULL) == (cases[i].reason == NULL));
        if (fault.reason != NULL)
            assert_non_null(strstr(fault.reason, cases[i].reason));
        assert_true(str_eq(fault.bytes, str_from(cases[i].quoted)));
        assert_int_equal(fault.has_byte, cases[i].byte >= 0);
        if (fault.has_byte)
            assert_int_equal(fault.byte, cases[i].byte);
    }
}

static void test_chunked(void **state)
{
    (void)state;
    static const struct {
        const char *body, *reason, *quoted;
        int byte;
    } cases[] = {
        {"g", "size of a chunk", "", 'g'},
        {"1;\001", "extensions", "", 1},
        {"1\r\nab", "does not end", "", 'b'},
        {"0\r\nHost: secret\r\n\r\n", FAULT_TRAILER, "Host", -1},
        {"0\r\nA\001: secret\r\n\r\n", "not allowed", "A", 1},
        {"0\r\nA : secret\r\n\r\n", "space before its colon", "A", -1},
        {"0\r\nA: secret\n", "LF alone", "A", -1},
        {"0\r\nA: secret\rx", "control character", "A", '\r'},
        {"0\r\nA: b\r\nC: d\r\nE: secret\r\n\r\n", "not allowed there", "", -1}, /* too many */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        arena_t pool;
        chunked_t chunked;
        str_t input = str_from(cases[i].body), piece;
        chunked_result_t result = CHUNKED_DATA;
        arena_init(&pool);
        chunked_init(&chunked, &pool, 2);
        while (result == CHUNKED_DATA)
            result = chunked_decode(&chunked, &input, &piece);
        assert_int_equal(result, CHUNKED_BAD);
        fault_t fault = fault_of_chunked(&chunked);
        assert_non_null(strstr(fault.reason, cases[i].reason));
        assert_true(str_eq(fault.bytes, str_from(cases[i].quoted)));
        assert_int_equal(fault.has_byte, cases[i].byte >= 0);
        if (fault.has_byte)
            assert_int_equal(fault.byte, cases[i].byte);
        arena_clear(&pool);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quote),
        cmocka_unit_test(test_lines_are_bounded),
        cmocka_unit_test(test_values_are_not_said),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_request_line),
        cmocka_unit_test(test_http2_field),
        cmocka_unit_test(test_chunked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
