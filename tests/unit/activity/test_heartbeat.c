/* Detection of messages that a timer sends. */
#include "heartbeat.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void by_length_and_period(void **state)
{
    heartbeats_t beats = {.lengths = {{.length = 0}}};
    uint64_t now = 1000;
    (void)state;
    assert_int_equal(heartbeat_note(&beats, 18, now), HEARTBEAT_NEW);
    assert_int_equal(heartbeat_note(&beats, 18, now += 30000), HEARTBEAT_NEW);
    assert_int_equal(heartbeat_note(&beats, 18, now += 30000), HEARTBEAT_REGULAR);
    assert_int_equal(heartbeat_note(&beats, 19, now + 15000), HEARTBEAT_NEW); /* another length */
    assert_int_equal(heartbeat_note(&beats, 18, now += 31000), HEARTBEAT_REGULAR);
    assert_int_equal(heartbeat_note(&beats, 18, now += 28000), HEARTBEAT_REGULAR);
    assert_int_equal(heartbeat_note(&beats, 18, now += 90000), HEARTBEAT_REGULAR); /* two were left out */
    assert_int_equal(heartbeat_note(&beats, 18, now += 12000), HEARTBEAT_OTHER);
    /* Regular again, with the new period of 12 s. */
    assert_int_equal(heartbeat_note(&beats, 18, now += 12000), HEARTBEAT_REGULAR);
    assert_int_equal(heartbeat_note(&beats, 18, now += 12000 * (HEARTBEAT_PERIODS_MAX + 1)), HEARTBEAT_OTHER);
}

static void keys_that_are_held_down(void **state)
{
    heartbeats_t beats = {.lengths = {{.length = 0}}};
    uint64_t now = 1000;
    (void)state;
    (void)heartbeat_note(&beats, 2, now);
    (void)heartbeat_note(&beats, 2, now += 30);
    for (int i = 0; i < 10; i++)
        assert_int_equal(heartbeat_note(&beats, 2, now += 30), HEARTBEAT_OTHER);
    (void)heartbeat_note(&beats, 3, now); /* twice in one ms */
    (void)heartbeat_note(&beats, 3, now);
    assert_int_equal(heartbeat_note(&beats, 3, now), HEARTBEAT_OTHER);
}

static void lengths_are_bounded(void **state)
{
    heartbeats_t beats = {.lengths = {{.length = 0}}};
    uint64_t now = 1000;
    (void)state;
    for (int round = 0; round < 3; round++)
        for (uint64_t length = 0; length < HEARTBEAT_LENGTHS; length++)
            assert_int_equal(heartbeat_note(&beats, length, now += 1000),
                             round < 2 ? HEARTBEAT_NEW : HEARTBEAT_REGULAR);
    assert_int_equal(heartbeat_note(&beats, 100, now += 1000), HEARTBEAT_NEW); /* in place of 0 */
    assert_int_equal(heartbeat_note(&beats, 1, now += 1000), HEARTBEAT_REGULAR);
    assert_int_equal(heartbeat_note(&beats, 0, now += 1000), HEARTBEAT_NEW);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_length_and_period),
        cmocka_unit_test(keys_that_are_held_down),
        cmocka_unit_test(lengths_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
