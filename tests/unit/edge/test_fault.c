/* How faults are said: what is quoted, and how many lines a log gets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "fault.h"

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

/* Values of fields may be secrets: nothing of them is kept. */
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quote),
        cmocka_unit_test(test_lines_are_bounded),
        cmocka_unit_test(test_values_are_not_said),
        cmocka_unit_test(test_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
