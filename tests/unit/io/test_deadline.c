/* Timers for any point in time: not early, once, and with few durations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "deadline.h"

#include "list.h"

typedef struct probe {
    deadline_t deadline;
    loop_t *loop;
    unsigned passed;
    uint64_t at;
    bool again;
} probe_t;

static void on_passed(deadline_t *deadline)
{
    probe_t *probe = CONTAINER_OF(probe_t, deadline, deadline);
    probe->passed++;
    probe->at = loop_now(probe->loop);
    assert_false(deadline_is_set(deadline));
    if (probe->again)
        deadline_set(probe->loop, deadline, probe->at + 3, on_passed);
    probe->again = false;
}

static void turn_until(loop_t *loop, const probe_t *probe, unsigned passed)
{
    uint64_t end = loop_precise_us() + 30000000;
    while (probe->passed < passed && loop_precise_us() < end)
        loop_turn(loop, 1000);
    assert_int_equal(probe->passed, passed);
}

static void test_passes_once(void **state)
{
    (void)state;
    loop_t *loop = loop_new();
    probe_t probe = {.loop = loop};
    uint64_t began = loop_now(loop);
    deadline_set(loop, &probe.deadline, began + 37, on_passed);
    assert_true(deadline_is_set(&probe.deadline));
    turn_until(loop, &probe, 1);
    assert_true(probe.at >= began + 37);
    probe.again = true; /* set again from its own function */
    deadline_set(loop, &probe.deadline, 0, on_passed);
    assert_int_equal(probe.passed, 1); /* never from within */
    turn_until(loop, &probe, 3);
    deadline_set(loop, &probe.deadline, loop_now(loop), on_passed);
    deadline_clear(&probe.deadline);
    assert_false(deadline_is_set(&probe.deadline));
    deadline_clear(&probe.deadline);
    loop_turn(loop, 0);
    loop_turn(loop, 0);
    assert_int_equal(probe.passed, 3);
    loop_free(&loop);
}

/* The loop takes 64 durations: a thousand different deadlines are no problem, however far away. */
static void test_few_durations(void **state)
{
    (void)state;
    enum { COUNT = 1000 };
    static probe_t probes[COUNT];
    loop_t *loop = loop_new();
    uint64_t now = loop_now(loop);
    for (unsigned i = 0; i < COUNT; i++) {
        probes[i] = (probe_t){.loop = loop};
        deadline_set(loop, &probes[i].deadline, now + 1 + (uint64_t)i * i * i, on_passed);
    }
    uint64_t end = now + 60;
    while (loop_now(loop) < end)
        loop_turn(loop, 1);
    for (unsigned i = 0; i < COUNT; i++) {
        if (probes[i].passed > 0)
            assert_true(probes[i].at >= now + 1 + (uint64_t)i * i * i);
        assert_true(probes[i].passed == 1 || probes[i].deadline.at + 1 > end);
        deadline_clear(&probes[i].deadline);
    }
    loop_free(&loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_passes_once),
        cmocka_unit_test(test_few_durations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
