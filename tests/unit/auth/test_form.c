/* Form bodies and the rate of preflights. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "form.h"
#include "rate.h"

static void test_values(void **state)
{
    (void)state;
    static const struct {
        const char *body, *name, *expected; /* NULL: absent */
    } cases[] = {
        {"token=abc", "token", "abc"},
        {"a=1&token=x%2Fy+z&b=2", "token", "x/y z"},
        {"token=", "token", ""},
        {"token", "token", ""},
        {"tokens=1", "token", NULL},
        {"", "token", NULL},
        {"&&token=1", "token", "1"},
        {"token=1&token=2", "token", "1"},
        {"token=%", "token", NULL},
        {"token=%4", "token", NULL},
        {"token=%4g", "token", NULL},
        {"token=%41", "token", "A"},
        {"token=a=b", "token", "a=b"},
        {"token=12345678", "token", "12345678"},
        {"token=123456789", "token", NULL}, /* one more than fits */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char out[8];
        size_t len = 99;
        bool found = form_value(str_from(cases[i].body), str_from(cases[i].name), out, sizeof(out), &len);
        assert_int_equal(found, cases[i].expected != NULL);
        if (!found)
            continue;
        assert_int_equal(len, strlen(cases[i].expected));
        assert_memory_equal(out, cases[i].expected, len);
    }
}

static void test_rate(void **state)
{
    (void)state;
    uint64_t tat = 0;
    for (int i = 0; i < 5; i++)
        assert_true(rate_take(&tat, 1000, 50, 5));
    assert_false(rate_take(&tat, 1000, 50, 5));
    assert_false(rate_take(&tat, 1049, 50, 5));
    assert_true(rate_take(&tat, 1050, 50, 5));
    assert_false(rate_take(&tat, 1050, 50, 5));
    for (int i = 0; i < 5; i++) /* a long pause refills the burst, and no more */
        assert_true(rate_take(&tat, 100000, 50, 5));
    assert_false(rate_take(&tat, 100000, 50, 5));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_values), cmocka_unit_test(test_rate)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
