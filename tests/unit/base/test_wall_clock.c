/* The time that the wall clock has shown for an hour, and its jumps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wall_clock.h"

#define START_MS 5000000u
#define WALL     1700000000u
#define TEN_DAYS 864000
#define MINUTE   60000u

/* Runs for `ms`, with a reading each quarter of a second like the controller's; returns the sum of the
 * jumps. */
static int64_t run(wall_clock_t *clock, uint64_t *now_ms, uint64_t ms, int64_t offset_s)
{
    int64_t sum = 0;
    for (uint64_t end = *now_ms + ms; *now_ms < end; *now_ms += 250) {
        uint64_t real_us = WALL * 1000000ull + (*now_ms - START_MS) * 1000;
        sum += wall_clock_note(clock, *now_ms, (uint64_t)((int64_t)real_us + offset_s * 1000000));
    }
    return sum;
}

static void assert_unknown(const wall_clock_t *clock, uint64_t now_ms)
{
    wall_span_t span = wall_clock_span(clock, now_ms);
    assert_true(span.earliest == 0 && span.latest == UINT64_MAX);
}

static void an_hour(void **state)
{
    (void)state;
    wall_clock_t clock = {0};
    uint64_t now = START_MS;
    assert_unknown(&clock, now);
    assert_true(run(&clock, &now, 60 * MINUTE, 0) == 0);
    assert_unknown(&clock, now - 250);
    assert_true(run(&clock, &now, MINUTE, 0) == 0);
    wall_span_t span = wall_clock_span(&clock, now);
    assert_true(span.earliest >= WALL && span.earliest <= WALL + 60);
    assert_true(span.latest >= WALL + 3600 && span.latest <= WALL + 3660);
    assert_true(run(&clock, &now, 100 * MINUTE, 0) == 0); /* more samples than the clock keeps */
    span = wall_clock_span(&clock, now);
    assert_true(span.earliest >= WALL + 99 * 60 && span.earliest <= WALL + 101 * 60);
    assert_true(clock.jumps == 0);
}

/* Ten days ahead for a minute and back, then ten days back for a second: a time counts as passed only after
 * the clock has shown it for an hour. */
static void jumps(void **state)
{
    (void)state;
    wall_clock_t clock = {0};
    uint64_t now = START_MS;
    (void)run(&clock, &now, 120 * MINUTE, 0);
    assert_true(run(&clock, &now, MINUTE, TEN_DAYS) == TEN_DAYS);
    wall_span_t span = wall_clock_span(&clock, now);
    assert_true(span.earliest < WALL + 121 * 60 && span.latest >= WALL + TEN_DAYS);
    assert_true(run(&clock, &now, MINUTE, 0) == -TEN_DAYS);
    assert_true(run(&clock, &now, 1000, -TEN_DAYS) == -TEN_DAYS);
    assert_true(run(&clock, &now, 59 * MINUTE, 0) == TEN_DAYS);
    span = wall_clock_span(&clock, now);
    assert_true(span.earliest < WALL - TEN_DAYS + 9000); /* the second is remembered */
    assert_true(run(&clock, &now, 3 * MINUTE, 0) == 0);
    span = wall_clock_span(&clock, now);
    assert_true(span.earliest > WALL && span.latest < WALL + TEN_DAYS);
    assert_true(clock.jumps == 4);
}

/* A clock that stays ahead is right after an hour. */
static void a_correction(void **state)
{
    (void)state;
    wall_clock_t clock = {0};
    uint64_t now = START_MS;
    (void)run(&clock, &now, 120 * MINUTE, 0);
    (void)run(&clock, &now, 59 * MINUTE, TEN_DAYS);
    assert_true(wall_clock_span(&clock, now).earliest < WALL + TEN_DAYS);
    (void)run(&clock, &now, 3 * MINUTE, TEN_DAYS);
    assert_true(wall_clock_span(&clock, now).earliest >= WALL + TEN_DAYS);
}

/* Steps of a time service are no jumps; a clock that keeps jumping is never trusted. */
static void the_bounds(void **state)
{
    (void)state;
    wall_clock_t clock = {0};
    uint64_t now = START_MS;
    (void)run(&clock, &now, 1000, 0);
    assert_true(run(&clock, &now, 1000, WALL_CLOCK_JUMP_S - 1) == 0);
    assert_true(run(&clock, &now, 1000, 2 * WALL_CLOCK_JUMP_S - 1) == WALL_CLOCK_JUMP_S);
    (void)run(&clock, &now, 120 * MINUTE, 0);
    for (int i = 0; i < WALL_CLOCK_SAMPLES; i++)
        (void)run(&clock, &now, 250, i % 2 * TEN_DAYS);
    assert_unknown(&clock, now);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(an_hour), cmocka_unit_test(jumps),
                                       cmocka_unit_test(a_correction), cmocka_unit_test(the_bounds)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
