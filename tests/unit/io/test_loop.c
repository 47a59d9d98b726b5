/* The loop's timers and tasks, above all the changes that callbacks may make to them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <unistd.h>

#include "list.h"
#include "loop.h"
#include "str.h"

/* For turns that must end by themselves. A turn that waits in vain hangs; the alarm ends the program. */
#define LONG_MS 3600000
#define ALARM_S 120

/* A timer that notes its expiry in `order` and then acts. */
typedef struct probe {
    loop_timer_t timer;
    loop_task_t task;
    loop_t *loop;
    char name;
    unsigned runs;
    struct probe *other;
    uint32_t again_ms;
    bool start_other, stop_other, free_self, restart, free_other;
} probe_t;

static char order[64];
static size_t order_len;

static void note(char c)
{
    assert_true(order_len < sizeof(order) - 1);
    order[order_len++] = c;
    order[order_len] = '\0';
}

static void on_expired(loop_timer_t *timer)
{
    probe_t *probe = CONTAINER_OF(probe_t, timer, timer);
    note(probe->name);
    probe->runs++;
    assert_false(loop_timer_running(&probe->timer));
    if (probe->start_other)
        loop_timer_start(probe->loop, &probe->other->timer, 0, on_expired);
    if (probe->stop_other)
        loop_timer_stop(&probe->other->timer);
    if (probe->free_other) {
        loop_timer_stop(&probe->other->timer);
        free(probe->other);
        probe->other = NULL;
    }
    if (probe->restart)
        loop_timer_start(probe->loop, &probe->timer, probe->again_ms, on_expired);
    if (probe->free_self)
        free(probe);
}

static int setup(void **state)
{
    order_len = 0;
    order[0] = '\0';
    *state = loop_new();
    return 0;
}

static int teardown(void **state)
{
    loop_t *loop = *state;
    loop_free(&loop);
    assert_null(loop);
    return 0;
}

/* Turns until `n` expiries were noted. */
static void turn_until(loop_t *loop, size_t n)
{
    while (order_len < n)
        loop_turn(loop, LONG_MS);
}

static void test_expires_after_its_time(void **state)
{
    loop_t *loop = *state;
    probe_t probe = {.loop = loop, .name = 'a'};
    uint64_t start = loop_now(loop);
    loop_timer_start(loop, &probe.timer, 30, on_expired);
    assert_true(loop_timer_running(&probe.timer));
    while (order_len == 0) {
        loop_turn(loop, LONG_MS);
        if (order_len == 0)
            assert_true(loop_now(loop) < start + 30);
    }
    assert_true(loop_now(loop) >= start + 30);
    loop_turn(loop, 0);
    assert_int_equal(probe.runs, 1);
}

static void test_order_within_and_across_durations(void **state)
{
    loop_t *loop = *state;
    probe_t a = {.loop = loop, .name = 'a'}, b = {.loop = loop, .name = 'b'}, c = {.loop = loop, .name = 'c'};
    loop_hold(loop);
    loop_timer_start(loop, &c.timer, 60, on_expired);
    loop_timer_start(loop, &a.timer, 10, on_expired);
    loop_timer_start(loop, &b.timer, 10, on_expired);
    loop_skip(loop, 10);
    loop_turn(loop, 0);
    assert_string_equal(order, "ab");
    loop_skip(loop, 50);
    loop_turn(loop, 0);
    assert_string_equal(order, "abc");
}

/* A late turn finds several durations due: their timers run by due time, not list by list. */
static void test_order_in_a_late_turn(void **state)
{
    loop_t *loop = *state;
    static const struct {
        uint32_t after, ms;
        char name;
    } starts[] = {{0, 60, 'd'}, {0, 10, 'a'}, {0, 30, 'b'}, {25, 10, 'c'},
                  {0, 60, 'g'}, {0, 55, 'f'}, {0, 50, 'e'}};
    probe_t probes[sizeof(starts) / sizeof(starts[0])];
    memset(probes, 0, sizeof(probes));
    loop_hold(loop);
    for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
        loop_skip(loop, starts[i].after);
        probes[i] = (probe_t){.loop = loop, .name = starts[i].name};
        loop_timer_start(loop, &probes[i].timer, starts[i].ms, on_expired);
    }
    loop_skip(loop, 1000);
    loop_turn(loop, 0);
    assert_string_equal(order, "abcdefg");
}

/* The same when some of them have no list: 64 durations are in use already. */
static void test_order_in_a_late_turn_with_many_durations(void **state)
{
    loop_t *loop = *state;
    static probe_t even[64], odd[5];
    loop_hold(loop);
    for (uint32_t i = 0; i < 64; i++) {
        even[i] = (probe_t){.loop = loop, .name = (char)('a' + 2 * i)};
        loop_timer_start(loop, &even[i].timer, i < 5 ? 1000 * (2 * i + 1) : 100000 + i, on_expired);
    }
    for (uint32_t i = 5; i-- > 0;) {
        odd[i] = (probe_t){.loop = loop, .name = (char)('b' + 2 * i)};
        loop_timer_start(loop, &odd[i].timer, 1000 * (2 * i + 2), on_expired);
    }
    loop_skip(loop, 20000);
    loop_turn(loop, 0);
    assert_string_equal(order, "abcdefghij");
    for (uint32_t i = 5; i < 64; i++)
        loop_timer_stop(&even[i].timer);
}

static void test_restart_moves_to_the_end(void **state)
{
    loop_t *loop = *state;
    probe_t a = {.loop = loop, .name = 'a'}, b = {.loop = loop, .name = 'b'};
    loop_timer_start(loop, &a.timer, 10, on_expired);
    loop_timer_start(loop, &b.timer, 10, on_expired);
    loop_timer_start(loop, &a.timer, 10, on_expired);
    turn_until(loop, 2);
    assert_string_equal(order, "ba");
}

static void test_stopped_does_not_expire(void **state)
{
    loop_t *loop = *state;
    probe_t a = {.loop = loop, .name = 'a'}, b = {.loop = loop, .name = 'b'};
    loop_timer_start(loop, &a.timer, 5, on_expired);
    loop_timer_start(loop, &b.timer, 20, on_expired);
    loop_timer_stop(&a.timer);
    loop_timer_stop(&a.timer); /* twice is allowed */
    turn_until(loop, 1);
    assert_string_equal(order, "b");
    assert_false(loop_timer_running(&a.timer));
}

/* `a` and `b` are due in one turn: a's action on b must take effect. */
static void test_a_callback_stops_another_that_is_due(void **state)
{
    loop_t *loop = *state;
    probe_t a = {.loop = loop, .name = 'a', .stop_other = true}, b = {.loop = loop, .name = 'b'};
    probe_t c = {.loop = loop, .name = 'c'};
    a.other = &b;
    loop_timer_start(loop, &a.timer, 5, on_expired);
    loop_timer_start(loop, &b.timer, 5, on_expired);
    loop_timer_start(loop, &c.timer, 5, on_expired);
    turn_until(loop, 2);
    assert_string_equal(order, "ac");
    assert_int_equal(b.runs, 0);
}

static void test_a_callback_frees_another_that_is_due(void **state)
{
    loop_t *loop = *state;
    probe_t a = {.loop = loop, .name = 'a', .free_other = true};
    probe_t *b = calloc(1, sizeof(*b));
    probe_t c = {.loop = loop, .name = 'c'};
    b->loop = loop;
    b->name = 'b';
    a.other = b;
    loop_timer_start(loop, &a.timer, 5, on_expired);
    loop_timer_start(loop, &b->timer, 5, on_expired);
    loop_timer_start(loop, &c.timer, 5, on_expired);
    turn_until(loop, 2);
    assert_string_equal(order, "ac");
}

static void test_a_callback_frees_itself(void **state)
{
    loop_t *loop = *state;
    probe_t *a = calloc(1, sizeof(*a));
    probe_t b = {.loop = loop, .name = 'b'};
    a->loop = loop;
    a->name = 'a';
    a->free_self = true;
    loop_timer_start(loop, &a->timer, 5, on_expired);
    loop_timer_start(loop, &b.timer, 5, on_expired);
    turn_until(loop, 2);
    assert_string_equal(order, "ab");
}

/* A timer of 0 ms that restarts itself runs once a turn and does not hold the turn. */
static void test_restart_from_its_own_callback(void **state)
{
    loop_t *loop = *state;
    probe_t a = {.loop = loop, .name = 'a', .restart = true, .again_ms = 0};
    loop_timer_start(loop, &a.timer, 0, on_expired);
    for (unsigned i = 1; i <= 5; i++) {
        loop_turn(loop, LONG_MS);
        assert_int_equal(a.runs, i);
    }
    loop_timer_stop(&a.timer);
}

static void test_a_callback_starts_another(void **state)
{
    loop_t *loop = *state;
    probe_t a = {.loop = loop, .name = 'a', .start_other = true}, b = {.loop = loop, .name = 'b'};
    a.other = &b;
    loop_timer_start(loop, &a.timer, 1, on_expired);
    turn_until(loop, 2);
    assert_string_equal(order, "ab");
}

/* 64 durations have lists; an unused duration makes room. */
static void test_durations_at_the_bound(void **state)
{
    loop_t *loop = *state;
    probe_t probes[64];
    memset(probes, 0, sizeof(probes));
    for (uint32_t i = 0; i < 64; i++)
        loop_timer_start(loop, &probes[i].timer, 100000 + i, on_expired);
    loop_timer_stop(&probes[17].timer);
    probe_t late = {.loop = loop, .name = 'x'};
    loop_timer_start(loop, &late.timer, 3, on_expired);
    turn_until(loop, 1);
    assert_string_equal(order, "x");
    for (uint32_t i = 0; i < 64; i++)
        loop_timer_stop(&probes[i].timer);
}

/* Further timers behave like all others: exact, in order, and stopped and restarted at will. */
static void test_many_durations(void **state)
{
    enum { COUNT = 300 };
    loop_t *loop = *state;
    static probe_t probes[COUNT];
    memset(probes, 0, sizeof(probes));
    loop_hold(loop);
    for (uint32_t i = 0; i < COUNT; i++) {
        probes[i].loop = loop;
        probes[i].name = 'a';
        loop_timer_start(loop, &probes[i].timer, (i + 1) * 1000, on_expired);
    }
    loop_timer_stop(&probes[200].timer);
    loop_timer_start(loop, &probes[201].timer, 77, on_expired);
    loop_skip(loop, 76);
    loop_turn(loop, 0);
    assert_int_equal(probes[201].runs, 0);
    loop_skip(loop, 1);
    loop_turn(loop, 0);
    assert_int_equal(probes[201].runs, 1);
    loop_skip(loop, 922);
    for (uint32_t i = 0; i < COUNT; i++) {
        loop_turn(loop, 0);
        assert_int_equal(probes[i].runs, i == 201);
        loop_skip(loop, 1);
        order_len = 0;
        loop_turn(loop, 0);
        assert_int_equal(probes[i].runs, i != 200);
        assert_int_equal(order_len, i != 200 && i != 201);
        loop_skip(loop, 999);
    }
    for (uint32_t i = 0; i < COUNT; i++)
        assert_false(loop_timer_running(&probes[i].timer));
}

/* The loop sleeps until the soonest of them, and no longer. */
static void test_a_sleep_with_many_durations(void **state)
{
    enum { COUNT = 100 };
    loop_t *loop = *state;
    static probe_t probes[COUNT];
    memset(probes, 0, sizeof(probes));
    for (uint32_t i = 0; i < COUNT; i++)
        loop_timer_start(loop, &probes[i].timer, 100000 + i, on_expired);
    probe_t soon = {.loop = loop, .name = 'x'}, now = {.loop = loop, .name = 'y'};
    loop_timer_start(loop, &soon.timer, 30, on_expired);
    loop_timer_start(loop, &now.timer, 0, on_expired);
    loop_turn(loop, LONG_MS);
    assert_int_equal(order[0], 'y');
    turn_until(loop, 2);
    assert_string_equal(order, "yx");
    for (uint32_t i = 0; i < COUNT; i++)
        loop_timer_stop(&probes[i].timer);
}

static void on_task(loop_task_t *task)
{
    probe_t *probe = CONTAINER_OF(probe_t, task, task);
    note(probe->name);
    probe->runs++;
    if (probe->start_other)
        loop_defer(probe->loop, &probe->other->task, on_task);
    if (probe->stop_other)
        loop_undefer(&probe->other->task);
    if (probe->restart)
        loop_defer_next(probe->loop, &probe->task, on_task);
    if (probe->free_self)
        free(probe);
}

static void test_tasks_run_once_in_order_at_the_end_of_the_turn(void **state)
{
    loop_t *loop = *state;
    probe_t a = {.loop = loop, .name = 'a', .start_other = true}, b = {.loop = loop, .name = 'b'};
    probe_t c = {.loop = loop, .name = 'c'}, t = {.loop = loop, .name = 't'};
    a.other = &c;
    loop_timer_start(loop, &t.timer, 0, on_expired);
    loop_defer(loop, &a.task, on_task);
    loop_defer(loop, &b.task, on_task);
    loop_defer(loop, &a.task, on_task); /* queued twice is queued once */
    assert_true(loop_deferred(&a.task));
    loop_turn(loop, LONG_MS); /* does not wait */
    assert_string_equal(order, "tabc");
    assert_false(loop_deferred(&a.task));
    loop_turn(loop, 0);
    assert_string_equal(order, "tabc");
}

static void test_a_task_takes_another_back_or_frees_itself(void **state)
{
    loop_t *loop = *state;
    probe_t *a = calloc(1, sizeof(*a));
    probe_t b = {.loop = loop, .name = 'b'}, c = {.loop = loop, .name = 'c'};
    *a = (probe_t){.loop = loop, .name = 'a', .stop_other = true, .free_self = true, .other = &b};
    loop_defer(loop, &a->task, on_task);
    loop_defer(loop, &b.task, on_task);
    loop_defer(loop, &c.task, on_task);
    loop_turn(loop, 0);
    assert_string_equal(order, "ac");
}

static void test_next_turn_does_not_wait_and_is_not_this_turn(void **state)
{
    loop_t *loop = *state;
    probe_t a = {.loop = loop, .name = 'a', .restart = true};
    loop_defer_next(loop, &a.task, on_task);
    for (unsigned i = 1; i <= 4; i++) {
        loop_turn(loop, LONG_MS);
        assert_int_equal(a.runs, i);
    }
    loop_undefer(&a.task);
    loop_turn(loop, 0);
    assert_int_equal(a.runs, 4);
}

static void test_clocks(void **state)
{
    loop_t *loop = *state;
    uint64_t first = loop_now(loop);
    assert_int_equal(loop_now(loop), first); /* one reading a turn */
    uint64_t wall = loop_wall_us(loop);
    assert_true(wall > UINT64_C(1600000000) * 1000000); /* microseconds since 1970 */
    loop_turn(loop, 5);
    assert_true(loop_now(loop) >= first + 4);
    assert_true(loop_wall_us(loop) != wall);
    assert_true(loop_precise_us() / 1000 >= loop_now(loop));
}

static void test_time_that_tests_make(void **state)
{
    loop_t *loop = *state;
    probe_t a = {.loop = loop, .name = 'a'};
    uint64_t first = loop_now(loop), wall = loop_wall_us(loop);
    loop_skip(loop, 1000); /* seen immediately, and not taken back by the next turn */
    assert_int_equal(loop_now(loop), first + 1000);
    assert_int_equal(loop_wall_us(loop), wall + 1000000);
    loop_turn(loop, 0);
    assert_true(loop_now(loop) >= first + 1000);
    loop_hold(loop);
    first = loop_now(loop);
    wall = loop_wall_us(loop);
    loop_timer_start(loop, &a.timer, 2, on_expired);
    loop_turn(loop, 5);
    assert_int_equal(loop_now(loop), first);
    assert_int_equal(loop_wall_us(loop), wall);
    loop_skip(loop, 1);
    loop_turn(loop, 5);
    assert_string_equal(order, "");
    loop_skip(loop, 1);
    loop_turn(loop, 0);
    assert_string_equal(order, "a");
    assert_int_equal(loop_now(loop), first + 2);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_expires_after_its_time),
        TEST(test_order_within_and_across_durations),
        TEST(test_order_in_a_late_turn),
        TEST(test_order_in_a_late_turn_with_many_durations),
        TEST(test_restart_moves_to_the_end),
        TEST(test_stopped_does_not_expire),
        TEST(test_a_callback_stops_another_that_is_due),
        TEST(test_a_callback_frees_another_that_is_due),
        TEST(test_a_callback_frees_itself),
        TEST(test_restart_from_its_own_callback),
        TEST(test_a_callback_starts_another),
        TEST(test_durations_at_the_bound),
        TEST(test_many_durations),
        TEST(test_a_sleep_with_many_durations),
        TEST(test_tasks_run_once_in_order_at_the_end_of_the_turn),
        TEST(test_a_task_takes_another_back_or_frees_itself),
        TEST(test_next_turn_does_not_wait_and_is_not_this_turn),
        TEST(test_clocks),
        TEST(test_time_that_tests_make),
    };
    alarm(ALARM_S);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
