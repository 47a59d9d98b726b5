/* Which boxes are paused for idleness, and when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "idle_clock.h"

#define START ((uint64_t)5000000)
/* The time at which a box is paused that was last active at START. */
#define OVER(idle_ms) (START + (idle_ms) + IDLE_CLOCK_LATE_MS)

typedef struct pauses {
    idle_clock_t *clock;
    char ids[256]; /* the paused boxes, each with a space */
    bool stops;    /* a pause takes effect immediately */
} pauses_t;

static void on_pause(void *owner, str_t id)
{
    pauses_t *pauses = owner;
    size_t n = strlen(pauses->ids);
    assert_true(id.n + 2 <= sizeof(pauses->ids) - n);
    snprintf(pauses->ids + n, sizeof(pauses->ids) - n, "%.*s ", STR_ARG(id));
    if (pauses->stops)
        idle_clock_stops(pauses->clock, id);
}

static void expect(idle_clock_t *clock, uint64_t now_ms, const char *ids)
{
    pauses_t pauses = {.clock = clock};
    idle_clock_tick(clock, now_ms, on_pause, &pauses);
    assert_string_equal(pauses.ids, ids);
}

static int setup(void **state)
{
    *state = idle_clock_new();
    return 0;
}

static int teardown(void **state)
{
    idle_clock_t *clock = *state;
    idle_clock_free(&clock);
    assert_null(clock);
    idle_clock_free(&clock);
    return 0;
}

static void test_paused_when_its_time_is_over(void **state)
{
    idle_clock_t *clock = *state;
    idle_clock_runs(clock, STR("a"), 1, 2000, START);
    idle_clock_runs(clock, STR("b"), 1, 3000, START);
    expect(clock, OVER(2000) - 1, "");
    expect(clock, OVER(2000), "a ");
    expect(clock, OVER(3000), "b ");
}

static void test_activity_starts_it_anew(void **state)
{
    idle_clock_t *clock = *state;
    idle_clock_runs(clock, STR("a"), 1, 2000, START);
    idle_clock_active(clock, STR("a"), START + 1500);
    idle_clock_active(clock, STR("unknown"), START + 1500);
    expect(clock, OVER(3500) - 1, "");
    expect(clock, OVER(3500), "a ");
    assert_int_equal(idle_clock_count(clock), 1);
}

static void test_asked_again_where_it_still_runs(void **state)
{
    idle_clock_t *clock = *state;
    idle_clock_runs(clock, STR("a"), 1, 2000, START);
    expect(clock, OVER(2000), "a ");
    expect(clock, OVER(2000) + IDLE_CLOCK_AGAIN_MS - 1, "");
    expect(clock, OVER(2000) + IDLE_CLOCK_AGAIN_MS, "a ");
    idle_clock_active(clock, STR("a"), START + 15000);
    expect(clock, OVER(17000) - 1, "");
    expect(clock, OVER(17000), "a ");
}

/* A box that just resumed counts as active at that moment; other reports on it do not. */
static void test_a_new_generation_is_active(void **state)
{
    idle_clock_t *clock = *state;
    idle_clock_runs(clock, STR("a"), 1, 2000, START);
    idle_clock_runs(clock, STR("a"), 1, 2000, START + 1000);
    expect(clock, OVER(2000), "a ");
    idle_clock_runs(clock, STR("a"), 2, 2000, START + 2100);
    expect(clock, OVER(4100) - 1, "");
    expect(clock, OVER(4100), "a ");
    idle_clock_stops(clock, STR("a"));
    idle_clock_runs(clock, STR("a"), 2, 2000, START + 9000);
    expect(clock, OVER(11000) - 1, "");
    expect(clock, OVER(11000), "a ");
}

static void test_another_idle_time_counts_at_once(void **state)
{
    idle_clock_t *clock = *state;
    idle_clock_runs(clock, STR("a"), 1, 2000, START);
    idle_clock_runs(clock, STR("a"), 1, 60000, START + 10);
    expect(clock, OVER(60000) - 1, "");
    expect(clock, OVER(60000), "a ");
    idle_clock_stops(clock, STR("a"));
    idle_clock_runs(clock, STR("b"), 1, UINT32_MAX, START);
    expect(clock, OVER(UINT32_MAX) - 1, "");
    expect(clock, OVER(UINT32_MAX), "b ");
}

static void test_stopped_boxes_are_left_alone(void **state)
{
    idle_clock_t *clock = *state;
    idle_clock_runs(clock, STR("a"), 1, 2000, START);
    idle_clock_stops(clock, STR("a"));
    idle_clock_stops(clock, STR("a"));
    assert_int_equal(idle_clock_count(clock), 0);
    expect(clock, START + 100000, "");
}

/* Boxes may leave the clock from within. */
static void test_all_of_many(void **state)
{
    enum { COUNT = 20 };
    idle_clock_t *clock = *state;
    for (int i = 0; i < COUNT; i++) {
        char id[8];
        int n = snprintf(id, sizeof(id), "b%02d", i);
        idle_clock_runs(clock, str_make(id, (size_t)n), 1, i % 2 == 0 ? 1000 : 2000, START);
    }
    pauses_t pauses = {.clock = clock, .stops = true};
    idle_clock_tick(clock, OVER(1000), on_pause, &pauses);
    assert_string_equal(pauses.ids, "b00 b02 b04 b06 b08 b10 b12 b14 b16 b18 ");
    assert_int_equal(idle_clock_count(clock), COUNT / 2);
    idle_clock_tick(clock, OVER(2000), on_pause, &pauses);
    assert_int_equal(idle_clock_count(clock), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_paused_when_its_time_is_over),
        TEST(test_activity_starts_it_anew),
        TEST(test_asked_again_where_it_still_runs),
        TEST(test_a_new_generation_is_active),
        TEST(test_another_idle_time_counts_at_once),
        TEST(test_stopped_boxes_are_left_alone),
        TEST(test_all_of_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
