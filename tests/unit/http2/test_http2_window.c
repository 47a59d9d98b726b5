/* The window of an HTTP/2 stream follows the bandwidth-delay product, and grants credit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "http2_window.h"

#define MIB        (1024 * 1024)
#define ROUND_TRIP 100
#define PLENTY     UINT64_MAX / 2

static http2_window_t window;
static uint64_t now;

static int set_up(void **state)
{
    (void)state;
    http2_window_init(&window);
    now = 1000000;
    return 0;
}

/* `bytes` in ten portions spread over a round trip. */
static void take(uint64_t bytes, bool held, uint32_t most)
{
    for (unsigned i = 0; i < 10; i++) {
        now += ROUND_TRIP / 10;
        http2_window_took(&window, bytes / 10, held, now, ROUND_TRIP, most);
    }
}

static void test_a_peer_that_uses_it_up_gets_more(void **state)
{
    (void)state;
    unsigned rounds = 0;
    for (; window.size != HTTP2_WINDOW_MAX; rounds++) {
        uint32_t before = window.size;
        take(before, false, HTTP2_WINDOW_MAX);
        assert_in_range(window.size, before, 4 * (uint64_t)before);
        assert_true(rounds < 8);
    }
    take(window.size, false, HTTP2_WINDOW_MAX);
    assert_int_equal(window.size, HTTP2_WINDOW_MAX);
}

static void test_a_slow_reader_keeps_it_small(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 50; i++) {
        take(20000, false, HTTP2_WINDOW_MAX);
        assert_int_equal(window.size, HTTP2_WINDOW_MIN);
    }
}

/* From any former size: two to eight times the bytes of a round trip. */
static void test_it_settles(void **state)
{
    (void)state;
    static const uint32_t rates[] = {MIB, 4 * MIB, 300000, MIB};
    for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
        for (unsigned j = 0; j < 20; j++)
            take(rates[i] < window.size ? rates[i] : window.size, false, HTTP2_WINDOW_MAX);
        assert_in_range(window.size, 2 * (uint64_t)rates[i], 8 * (uint64_t)rates[i]);
    }
}

/* 100 MB a second over a millisecond is 100 KB. */
static void test_a_near_peer_needs_little(void **state)
{
    (void)state;
    uint32_t most = 0;
    for (unsigned i = 0; i < 1000; i++) {
        http2_window_took(&window, 100000, false, ++now, 1, HTTP2_WINDOW_MAX);
        most = window.size > most ? window.size : most;
    }
    assert_in_range(window.size, 100000, 800000);
    assert_true(most < MIB);
}

static void test_a_reader_that_lags_gets_no_more(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 20; i++)
        take(window.size, true, HTTP2_WINDOW_MAX);
    assert_int_equal(window.size, HTTP2_WINDOW_MIN);
}

static void test_without_a_round_trip_it_stays(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 100; i++)
        http2_window_took(&window, 65535, false, now += 100, 0, HTTP2_WINDOW_MAX);
    assert_int_equal(window.size, HTTP2_WINDOW_MIN);
}

static void test_bound_of_the_connection(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 20; i++)
        take(window.size, false, 500000);
    assert_int_equal(window.size, 500000);
    for (unsigned i = 0; i < 20; i++)
        take(window.size, false, 0);
    assert_int_equal(window.size, HTTP2_WINDOW_MIN);
}

static void test_round_trip(void **state)
{
    (void)state;
    assert_int_equal(http2_round_trip_ms(500, 500), 1);
    assert_int_equal(http2_round_trip_ms(500, 580), 81);
    assert_int_equal(http2_round_trip_ms(500, 90000), HTTP2_ROUND_TRIP_MAX_MS);
}

/* ---- credit ---- */

static void test_what_is_used_or_held_is_not_given_twice(void **state)
{
    (void)state;
    window.size = 8 * MIB;
    assert_int_equal(http2_window_grant(&window, 0, 0, PLENTY), 8 * MIB);
    assert_int_equal(http2_window_grant(&window, 3 * MIB, 0, PLENTY), 5 * MIB);
    assert_int_equal(http2_window_grant(&window, 3 * MIB, 4 * MIB, PLENTY), MIB);
    assert_int_equal(http2_window_grant(&window, 3 * MIB, 5 * MIB, PLENTY), 0);
    assert_int_equal(http2_window_grant(&window, 8 * MIB, 8 * MIB, PLENTY), 0);
}

static void test_little_is_not_worth_a_frame(void **state)
{
    (void)state;
    assert_int_equal(http2_window_grant(&window, HTTP2_WINDOW_MIN - 16383, 0, PLENTY), 16383);
    assert_int_equal(http2_window_grant(&window, HTTP2_WINDOW_MIN - 16382, 0, PLENTY), 0);
    window.size = 8 * MIB;
    assert_int_equal(http2_window_grant(&window, 8 * MIB - 262144, 0, PLENTY), 262144);
    assert_int_equal(http2_window_grant(&window, 8 * MIB - 262143, 0, PLENTY), 0);
}

static void test_budget(void **state)
{
    (void)state;
    window.size = 8 * MIB;
    /* No budget is left: the first window, and no more. */
    assert_int_equal(http2_window_grant(&window, 0, 0, 0), HTTP2_WINDOW_MIN);
    assert_int_equal(http2_window_grant(&window, 0, 40000, 0), HTTP2_WINDOW_MIN - 40000);
    assert_int_equal(http2_window_grant(&window, 30000, 35000, 0), 0);
    assert_int_equal(http2_window_grant(&window, 3 * MIB, 0, 0), 0);
    /* The rest is granted to the byte. */
    assert_int_equal(http2_window_grant(&window, 3 * MIB, 0, MIB), MIB);
    assert_int_equal(http2_window_grant(&window, 0, 0, MIB), HTTP2_WINDOW_MIN + MIB);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup(test, set_up)
    const struct CMUnitTest tests[] = {T(test_a_peer_that_uses_it_up_gets_more),
                                       T(test_a_slow_reader_keeps_it_small),
                                       T(test_it_settles),
                                       T(test_a_near_peer_needs_little),
                                       T(test_a_reader_that_lags_gets_no_more),
                                       T(test_without_a_round_trip_it_stays),
                                       T(test_bound_of_the_connection),
                                       T(test_round_trip),
                                       T(test_what_is_used_or_held_is_not_given_twice),
                                       T(test_little_is_not_worth_a_frame),
                                       T(test_budget)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
