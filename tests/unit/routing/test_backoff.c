/* When a process that died starts again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backoff.h"

/* A process that starts as soon as the rule allows and lives for `life` ms each time: the waits after its
 * first `count` deaths. */
static void die(uint32_t life, size_t count, uint32_t *waits)
{
    backoff_t backoff = {.delay_ms = 0};
    uint64_t now = 5000;
    for (size_t i = 0; i < count; i++) {
        uint64_t started = now;
        now += life;
        waits[i] = backoff_after_death(&backoff, started, now);
        now += waits[i];
    }
}

static void first_two_at_once_then_doubling(void **state)
{
    (void)state;
    uint32_t waits[9];
    const uint32_t expected[] = {0, 0, 1000, 2000, 4000, 8000, 16000, 30000, 30000};
    die(1, 9, waits);
    assert_memory_equal(waits, expected, sizeof(expected));
}

static void the_third_counts_only_within_ten_seconds(void **state)
{
    (void)state;
    uint32_t waits[3];
    die(4999, 3, waits); /* first to third death: 9,998 ms */
    assert_int_equal(waits[2], 1000);
    die(5000, 3, waits); /* exactly 10 s */
    assert_int_equal(waits[2], 0);
}

static void one_that_lives_ten_seconds_starts_afresh(void **state)
{
    (void)state;
    backoff_t backoff = {.delay_ms = 0};
    assert_int_equal(backoff_after_death(&backoff, 1000, 1001), 0);
    assert_int_equal(backoff_after_death(&backoff, 1001, 1002), 0);
    assert_int_equal(backoff_after_death(&backoff, 1002, 1003), 1000);
    assert_int_equal(backoff_after_death(&backoff, 2003, 2003 + 9999), 2000);
    assert_int_equal(backoff_after_death(&backoff, 14002, 14002 + 10000), 0);
    assert_int_equal(backoff_after_death(&backoff, 24002, 24003), 0);
    assert_int_equal(backoff_after_death(&backoff, 24003, 24004), 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_two_at_once_then_doubling),
        cmocka_unit_test(the_third_counts_only_within_ten_seconds),
        cmocka_unit_test(one_that_lives_ten_seconds_starts_afresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
