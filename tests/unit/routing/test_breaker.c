/* When the edge stops calling a failing control plane, and when it tries again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "breaker.h"
#include "retry.h"

static void fail_times(breaker_t *breaker, uint64_t now, unsigned times)
{
    for (unsigned i = 0; i < times; i++) {
        bool probe;
        assert_true(breaker_allows(breaker, now, &probe));
        assert_false(probe);
        breaker_failed(breaker, now, probe);
    }
}

static void test_opens_after_failures_in_a_row(void **state)
{
    (void)state;
    breaker_t breaker = {0};
    bool probe;
    fail_times(&breaker, 100, BREAKER_FAILURES - 1);
    assert_true(breaker_allows(&breaker, 100, &probe));
    breaker_succeeded(&breaker); /* the count begins again */
    fail_times(&breaker, 100, BREAKER_FAILURES);
    assert_true(breaker_is_open(&breaker, 100));
    assert_false(breaker_allows(&breaker, 100, &probe));
    assert_false(breaker_allows(&breaker, 100 + BREAKER_FIRST_MS - 1, &probe));
    assert_false(breaker_is_open(&breaker, 100 + BREAKER_FIRST_MS));
    assert_true(breaker_allows(&breaker, 100 + BREAKER_FIRST_MS, &probe));
    assert_true(probe);
    assert_false(breaker_allows(&breaker, UINT64_MAX, &probe)); /* one probe at a time */
    breaker_succeeded(&breaker);
    assert_true(breaker_allows(&breaker, 100, &probe));
    assert_false(probe);
}

static void test_doubles_up_to_its_bound(void **state)
{
    (void)state;
    breaker_t breaker = {0};
    uint64_t now = 5000;
    bool probe;
    fail_times(&breaker, now, BREAKER_FAILURES);
    const uint32_t times[] = {1000, 2000, 4000, 8000, 16000, 30000, 30000};
    for (unsigned i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        assert_false(breaker_allows(&breaker, now + times[i] - 1, &probe));
        now += times[i];
        assert_true(breaker_allows(&breaker, now, &probe));
        assert_true(probe);
        breaker_failed(&breaker, now, probe);
    }
    /* After a success it begins with the first time again. */
    now += BREAKER_LAST_MS;
    assert_true(breaker_allows(&breaker, now, &probe));
    breaker_succeeded(&breaker);
    fail_times(&breaker, now, BREAKER_FAILURES);
    assert_true(breaker_allows(&breaker, now + BREAKER_FIRST_MS, &probe));
}

/* Calls that began before it opened end while it is open, or while the probe is under way. */
static void test_late_ends(void **state)
{
    (void)state;
    breaker_t breaker = {0};
    bool probe;
    fail_times(&breaker, 0, BREAKER_FAILURES);
    breaker_failed(&breaker, 500, false); /* neither longer nor again */
    assert_true(breaker_allows(&breaker, BREAKER_FIRST_MS, &probe));
    breaker_failed(&breaker, BREAKER_FIRST_MS, false);
    assert_false(breaker_allows(&breaker, BREAKER_FIRST_MS, &probe)); /* the probe still is under way */
    breaker_succeeded(&breaker);                                      /* of an earlier call */
    assert_true(breaker_allows(&breaker, BREAKER_FIRST_MS, &probe));
    breaker_failed(&breaker, BREAKER_FIRST_MS, true); /* the probe of a breaker that is closed: one failure */
    assert_true(breaker_allows(&breaker, BREAKER_FIRST_MS, &probe));
    assert_int_equal(breaker.failures, 1);
}

static void test_probe_given_up(void **state)
{
    (void)state;
    breaker_t breaker = {0};
    bool probe;
    breaker_given_up(&breaker, 0, false);
    fail_times(&breaker, 0, BREAKER_FAILURES);
    assert_true(breaker_allows(&breaker, 1000, &probe));
    breaker_given_up(&breaker, 1100, false); /* another call */
    assert_false(breaker_allows(&breaker, 1100, &probe));
    breaker_given_up(&breaker, 1100, true);
    assert_true(breaker_allows(&breaker, 1100, &probe)); /* the next call is the probe */
    assert_true(probe);
    breaker_failed(&breaker, 1200, true);
    assert_true(breaker_is_open(&breaker, 1200 + 1999));
    assert_false(breaker_is_open(&breaker, 1200 + 2000));
}

static void test_retry_delays(void **state)
{
    (void)state;
    const uint32_t most[] = {200, 400, 800, 1600, 3200, 5000, 5000};
    uint32_t ms;
    for (unsigned i = 0; i < sizeof(most) / sizeof(most[0]); i++) {
        assert_true(retry_delay(i + 1, 0, 0, &ms));
        assert_int_equal(ms, most[i] / 2);
        assert_true(retry_delay(i + 1, 0, UINT16_MAX, &ms));
        assert_int_equal(ms, most[i]);
    }
    assert_true(retry_delay(UINT32_MAX, 0, UINT16_MAX, &ms));
    assert_int_equal(ms, RETRY_LAST_MS);
    assert_true(retry_delay(1, RETRY_AFTER_MAX, 0, &ms)); /* never sooner than the answer asked */
    assert_int_equal(ms, RETRY_AFTER_MAX * 1000 + 100);
    assert_false(retry_delay(1, RETRY_AFTER_MAX + 1, 0, &ms));
    assert_false(retry_delay(1, UINT32_MAX, 0, &ms));
}

static void test_poll_delays(void **state)
{
    (void)state;
    assert_int_equal(poll_delay(0, 0), 200);
    assert_int_equal(poll_delay(0, UINT16_MAX), 300);
    assert_int_equal(poll_delay(1, 0), 300);
    assert_int_equal(poll_delay(UINT32_MAX, 0), 1600);
    assert_int_equal(poll_delay(UINT32_MAX, UINT16_MAX), 2400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_opens_after_failures_in_a_row),
        cmocka_unit_test(test_doubles_up_to_its_bound),
        cmocka_unit_test(test_late_ends),
        cmocka_unit_test(test_probe_given_up),
        cmocka_unit_test(test_retry_delays),
        cmocka_unit_test(test_poll_delays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
