/* Numbers as text, at every length. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "decimal.h"

static void check(uint64_t n)
{
    char want[DECIMAL_MAX + 1], got[DECIMAL_MAX + 2];
    size_t length = (size_t)snprintf(want, sizeof(want), "%llu", (unsigned long long)n);
    assert_int_equal(decimal_length(n), length);
    memset(got, '#', sizeof(got));
    assert_ptr_equal(decimal_put(got, n), got + length);
    assert_memory_equal(got, want, length);
    assert_int_equal(got[length], '#');
    memset(got, '#', sizeof(got));
    char *first = decimal_before(got + 1 + DECIMAL_MAX, n);
    assert_ptr_equal(first, got + 1 + DECIMAL_MAX - length);
    assert_memory_equal(first, want, length);
    assert_int_equal(first[-1], '#');
}

static void every_length(void **state)
{
    (void)state;
    for (uint64_t n = 0; n < 20000; n++)
        check(n);
    for (uint64_t power = 10000, i = 4; i < DECIMAL_MAX; i++, power *= 10) {
        check(power - 1);
        check(power);
        check(power + 1);
        check(power / 3 * 2);
    }
    check(UINT64_MAX);
    check(UINT64_MAX - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_length)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
