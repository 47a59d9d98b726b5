/* The clock of tunnels and event streams, at its bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "idle_window.h"

#define OPEN_MS 1800000
#define START   ((uint64_t)7000000)

static void test_opening_holds(void **state)
{
    (void)state;
    idle_window_t quiet;
    idle_window_open(&quiet, START);
    assert_true(idle_window_holds(&quiet, OPEN_MS, START));
    assert_true(idle_window_holds(&quiet, OPEN_MS, START + OPEN_MS - 1));
    assert_false(idle_window_holds(&quiet, OPEN_MS, START + OPEN_MS));
}

static void test_more_than_1024_bytes_in_a_minute_hold(void **state)
{
    (void)state;
    idle_window_t quiet;
    idle_window_open(&quiet, START);
    idle_window_carry(&quiet, 1024, START + 1000);
    assert_false(idle_window_holds(&quiet, OPEN_MS, START + OPEN_MS));
    idle_window_carry(&quiet, 1, START + IDLE_WINDOW_MINUTE_MS - 1);
    assert_true(idle_window_holds(&quiet, OPEN_MS, START + OPEN_MS));
    assert_true(idle_window_holds(&quiet, OPEN_MS, START + IDLE_WINDOW_MINUTE_MS - 1 + OPEN_MS - 1));
    assert_false(idle_window_holds(&quiet, OPEN_MS, START + IDLE_WINDOW_MINUTE_MS - 1 + OPEN_MS));
}

static void test_the_next_minute_counts_anew(void **state)
{
    (void)state;
    idle_window_t quiet;
    idle_window_open(&quiet, START);
    idle_window_carry(&quiet, 1024, START + 1000);
    idle_window_carry(&quiet, 1024, START + IDLE_WINDOW_MINUTE_MS);
    idle_window_carry(&quiet, 1024, START + 10 * IDLE_WINDOW_MINUTE_MS);
    assert_false(idle_window_holds(&quiet, OPEN_MS, START + OPEN_MS));
    /* The minute began with the byte, not with the opening. */
    idle_window_carry(&quiet, 1, START + 11 * IDLE_WINDOW_MINUTE_MS - 1);
    assert_true(idle_window_holds(&quiet, OPEN_MS, START + OPEN_MS));
}

static void test_many_bytes_do_not_wrap(void **state)
{
    (void)state;
    idle_window_t quiet;
    idle_window_open(&quiet, START);
    idle_window_carry(&quiet, SIZE_MAX, START + 10);
    idle_window_carry(&quiet, UINT32_MAX, START + 20);
    idle_window_carry(&quiet, 0, START + 30);
    assert_true(idle_window_holds(&quiet, OPEN_MS, START + 30 + OPEN_MS - 1));
    assert_false(idle_window_holds(&quiet, 0, START + 30));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_opening_holds),
        cmocka_unit_test(test_more_than_1024_bytes_in_a_minute_hold),
        cmocka_unit_test(test_the_next_minute_counts_anew),
        cmocka_unit_test(test_many_bytes_do_not_wrap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
