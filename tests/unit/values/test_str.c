/* Slices. */
#include "str.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void compares(void **state)
{
    (void)state;
    assert_true(str_eq(STR(""), str_make(NULL, 0)));
    assert_true(str_eq(STR("ab"), STR("ab")));
    assert_false(str_eq(STR("ab"), STR("aB")));
    assert_false(str_eq(STR("ab"), STR("abc")));
    assert_true(str_ieq(STR("aZ-1"), STR("Az-1")));
    assert_false(str_ieq(STR("ab"), STR("abc")));
    /* The neighbours of the letters are no letters: '@' is not '`', '[' is not '{'. */
    assert_false(str_ieq(STR("@"), STR("`")));
    assert_false(str_ieq(STR("["), STR("{")));
    assert_true(str_starts(STR("abc"), STR("ab")));
    assert_true(str_starts(STR("abc"), STR("abc")));
    assert_true(str_starts(STR("abc"), STR("")));
    assert_false(str_starts(STR("ab"), STR("abc")));
    assert_int_equal(str_from(NULL).n, 0);
    assert_true(str_eq(str_from_offset(STR("abc"), 3), STR("")));
    assert_true(str_eq(str_from_offset(STR("abc"), 1), STR("bc")));
    assert_null(str_from_offset(str_make(NULL, 0), 0).p);
}

static void lowers_ascii_only(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        char in = (char)c;
        char wanted = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : in;
        assert_int_equal(str_lower(in), wanted);
    }
}

static void trims_spaces_and_tabs(void **state)
{
    (void)state;
    assert_true(str_eq(str_trim(STR(" \t a b\t ")), STR("a b")));
    assert_true(str_eq(str_trim(STR(" \t ")), STR("")));
    assert_true(str_eq(str_trim(STR("")), STR("")));
    assert_true(str_eq(str_trim(STR("\na\r")), STR("\na\r")));
}

static void takes_list_elements(void **state)
{
    (void)state;
    str_t rest = STR(", a ,,\tb c,\t, d");
    str_t element;
    assert_true(str_next_element(&rest, &element));
    assert_true(str_eq(element, STR("a")));
    assert_true(str_next_element(&rest, &element));
    assert_true(str_eq(element, STR("b c")));
    assert_true(str_next_element(&rest, &element));
    assert_true(str_eq(element, STR("d")));
    assert_false(str_next_element(&rest, &element));
    assert_false(str_next_element(&rest, &element));
    rest = STR(" , ,");
    assert_false(str_next_element(&rest, &element));
    rest = STR("");
    assert_false(str_next_element(&rest, &element));
}

static void reads_numbers_at_their_bounds(void **state)
{
    (void)state;
    uint64_t value = 7;
    assert_true(str_to_uint(STR("0"), 0, &value));
    assert_int_equal(value, 0);
    assert_true(str_to_uint(STR("65535"), 65535, &value));
    assert_int_equal(value, 65535);
    assert_false(str_to_uint(STR("65536"), 65535, &value));
    assert_true(str_to_uint(STR("18446744073709551615"), UINT64_MAX, &value));
    assert_true(value == UINT64_MAX);
    assert_false(str_to_uint(STR("18446744073709551616"), UINT64_MAX, &value));
    assert_false(str_to_uint(STR("99999999999999999999"), UINT64_MAX, &value));
    assert_false(str_to_uint(STR("9"), 8, &value));
    assert_true(str_to_uint(STR("0008"), 8, &value));
    static const char *const wrong[] = {"", "+1", "-1", " 1", "1 ", "0x1", "1.", "a"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_false(str_to_uint(str_from(wrong[i]), UINT64_MAX, &value));
}

static void lines(void **state)
{
    (void)state;
    static const struct {
        str_t text;
        size_t length;
        uint64_t count;
    } cases[] = {{{NULL, 0}, 0, 0},
                 {{"a", 1}, 1, 1},
                 {{"a\n", 2}, 2, 1},
                 {{"\n\nb", 3}, 1, 3},
                 {{"ab\ncd\n", 6}, 3, 2}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(str_line_length(cases[i].text), cases[i].length);
        assert_int_equal(str_count_lines(cases[i].text), cases[i].count);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compares),
        cmocka_unit_test(lowers_ascii_only),
        cmocka_unit_test(trims_spaces_and_tabs),
        cmocka_unit_test(takes_list_elements),
        cmocka_unit_test(reads_numbers_at_their_bounds),
        cmocka_unit_test(lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
