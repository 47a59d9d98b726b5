/* The timing wheel against a plain list of due times: nothing early, late or lost, across every carry. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "list.h"
#include "loop.h"
#include "timer_wheel.h"

#define TIMERS 400

typedef struct world {
    timer_wheel_t wheel;
    loop_timer_t timers[TIMERS];
    uint64_t now;
    uint64_t seed;
} world_t;

static uint64_t next_random(world_t *w)
{
    w->seed = w->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return w->seed >> 33;
}

static void add(world_t *w, loop_timer_t *timer, uint64_t ms)
{
    timer->due = w->now + ms;
    timer_wheel_add(&w->wheel, timer);
}

/* The soonest due time of those that are linked. */
static uint64_t soonest(const world_t *w)
{
    uint64_t least = UINT64_MAX;
    for (size_t i = 0; i < TIMERS; i++)
        if (w->timers[i].link.next != NULL && w->timers[i].due < least)
            least = w->timers[i].due;
    return least;
}

/* Advances to `now`: exactly the due timers come out, in order. */
static size_t collect(world_t *w, uint64_t now)
{
    list_t due;
    size_t count = 0;
    uint64_t last = 0;
    list_init(&due);
    assert_true(timer_wheel_soonest(&w->wheel) <= soonest(w));
    w->now = now;
    timer_wheel_collect(&w->wheel, now, &due);
    while (!list_is_empty(&due)) {
        loop_timer_t *timer = CONTAINER_OF(loop_timer_t, link, due.next);
        assert_true(timer->due <= now && timer->due >= last);
        last = timer->due;
        list_unlink(&timer->link);
        count++;
    }
    assert_true(soonest(w) > now);
    return count;
}

static uint64_t random_duration(world_t *w)
{
    static const uint64_t most[] = {1, 70, 5000, 300000, UINT64_C(1) << 32};
    return next_random(w) % most[next_random(w) % 5];
}

static void drive(world_t *w, uint64_t start, uint64_t seed)
{
    *w = (world_t){.now = start, .seed = seed};
    timer_wheel_init(&w->wheel, start);
    for (int step = 0; step < 20000; step++) {
        loop_timer_t *timer = &w->timers[next_random(w) % TIMERS];
        bool linked = timer->link.next != NULL;
        if (linked && next_random(w) % 2 == 0)
            list_unlink(&timer->link);
        else if (!linked)
            add(w, timer, random_duration(w));
        if (next_random(w) % 8 == 0)
            (void)collect(w, w->now + random_duration(w) / (1 + next_random(w) % 100));
    }
    (void)collect(w, w->now + (UINT64_C(1) << 33));
    assert_int_equal(timer_wheel_soonest(&w->wheel), UINT64_MAX);
    for (size_t i = 0; i < TIMERS; i++)
        assert_null(w->timers[i].link.next);
}

static void at_random(void **state)
{
    static const uint64_t starts[] = {
        0, 1, 63, 64, 4095, (UINT64_C(1) << 36) - 5000, (UINT64_C(1) << 42) - 1, (UINT64_C(1) << 60) - 1000};
    world_t *w = *state;
    for (size_t i = 0; i < sizeof(starts) / sizeof(*starts); i++)
        drive(w, starts[i], 77 + i);
}

/* Each single millisecond, over the first carries. */
static void each_millisecond(void **state)
{
    world_t *w = *state;
    for (uint64_t start = 0; start < 130; start++) {
        *w = (world_t){.now = start};
        timer_wheel_init(&w->wheel, start);
        for (size_t i = 0; i < TIMERS; i++)
            add(w, &w->timers[i], i);
        for (uint64_t ms = 0; ms < TIMERS; ms++) {
            assert_true(timer_wheel_soonest(&w->wheel) <= start + ms);
            assert_int_equal(collect(w, start + ms), 1);
        }
    }
}

/* Timers of one time come in the order in which they were added, as in a list. */
static void one_time(void **state)
{
    world_t *w = *state;
    list_t due;
    *w = (world_t){.now = 1000};
    timer_wheel_init(&w->wheel, 1000);
    for (size_t i = 0; i < TIMERS; i++)
        add(w, &w->timers[i], 100000);
    list_init(&due);
    timer_wheel_collect(&w->wheel, 101000, &due);
    for (size_t i = 0; i < TIMERS; i++) {
        assert_ptr_equal(due.next, &w->timers[i].link);
        list_unlink(due.next);
    }
}

/* An empty wheel, and one whose timers were all stopped, do not delay the loop forever. */
static void stopped_timers(void **state)
{
    world_t *w = *state;
    *w = (world_t){.now = 5};
    timer_wheel_init(&w->wheel, 5);
    assert_int_equal(timer_wheel_soonest(&w->wheel), UINT64_MAX);
    for (size_t i = 0; i < TIMERS; i++)
        add(w, &w->timers[i], i * 1000);
    for (size_t i = 0; i < TIMERS; i++)
        list_unlink(&w->timers[i].link);
    assert_int_equal(collect(w, 1000000), 0);
    assert_int_equal(timer_wheel_soonest(&w->wheel), UINT64_MAX);
}

static int setup(void **state)
{
    static world_t world;
    *state = &world;
    return 0;
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, setup)
    const struct CMUnitTest tests[] = {TEST(at_random), TEST(each_millisecond), TEST(one_time),
                                       TEST(stopped_timers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
