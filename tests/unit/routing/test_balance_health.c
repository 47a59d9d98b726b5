/* Ejection and recovery, slow start, panic, latency, and the retry budget: each rule at its bounds. */
#include "balance_fixture.h"

static void fail_times(world_t *world, unsigned n, unsigned times)
{
    for (unsigned i = 0; i < times; i++)
        exchange_at(world, n, BALANCE_FAILED, 0);
}

/* The part of `picks` that server n gets. */
static double part_of(world_t *world, unsigned n, unsigned picks)
{
    unsigned got = 0;
    for (unsigned i = 0; i < picks; i++) {
        balance_pick_t pick = pick_one(world);
        got += pick.index == n;
        end_pick(world, &pick, BALANCE_SUCCEEDED);
    }
    return (double)got / picks;
}

static bool is_picked(world_t *world, unsigned n)
{
    return part_of(world, n, 200) > 0;
}

/* ---- ejection ---- */

static void test_ejected_at_the_last(void **state)
{
    (void)state;
    world_t world = balance_world_new(CONF_BALANCE_P2C);
    set_servers(&world, 1, 2, 1);
    fail_times(&world, 1, 2);
    assert_int_equal(view_of(&world, 1).ejected_ms, 0);
    exchange_at(&world, 1, BALANCE_LEFT, 0); /* neither ends the row nor lengthens it */
    assert_int_equal(view_of(&world, 1).ejected_ms, 0);
    fail_times(&world, 1, 1);
    assert_int_equal(view_of(&world, 1).ejected_ms, 1000);
    assert_int_equal(view_of(&world, 1).ejections, 1);
    assert_int_equal(view_of(&world, 1).failures, 3);
    assert_false(is_picked(&world, 1));
    world.now_ms += 999;
    assert_int_equal(view_of(&world, 1).ejected_ms, 1);
    assert_false(is_picked(&world, 1));
    world.now_ms += 1;
    assert_int_equal(view_of(&world, 1).ejected_ms, 0);
    assert_true(is_picked(&world, 1));
    balance_world_free(&world);
}

static void test_success_ends_the_row(void **state)
{
    (void)state;
    world_t world = balance_world_new(CONF_BALANCE_P2C);
    set_servers(&world, 1, 2, 1);
    for (unsigned i = 0; i < 5; i++) {
        fail_times(&world, 1, 2);
        exchange_at(&world, 1, BALANCE_SUCCEEDED, 10);
    }
    assert_int_equal(view_of(&world, 1).ejections, 0);
    world.conf.eject_failures = 0; /* never */
    fail_times(&world, 1, 100);
    assert_int_equal(view_of(&world, 1).ejections, 0);
    balance_world_free(&world);
}

/* Exchanges under way when the server was ejected count, and change nothing. */
static void test_failures_while_ejected(void **state)
{
    (void)state;
    world_t world = balance_world_new(CONF_BALANCE_P2C);
    set_servers(&world, 1, 1, 1);
    balance_pick_t picks[10];
    for (unsigned i = 0; i < 10; i++)
        picks[i] = pick_one(&world);
    for (unsigned i = 0; i < 10; i++)
        end_pick(&world, &picks[i], BALANCE_FAILED);
    assert_int_equal(view_of(&world, 1).ejected_ms, 1000);
    assert_int_equal(view_of(&world, 1).ejections, 1);
    assert_int_equal(view_of(&world, 1).failures, 10);
    assert_int_equal(pick_for(&world, 0, 0, 0, &picks[0]), BALANCE_NONE);
    balance_world_free(&world);
}

/* Twice as long each time, up to ten times; from the beginning after a success. */
static void test_back_off(void **state)
{
    (void)state;
    static const uint64_t times[] = {1000, 2000, 4000, 8000, 10000, 10000, 10000};
    world_t world = balance_world_new(CONF_BALANCE_P2C);
    set_servers(&world, 1, 2, 1);
    fail_times(&world, 1, 2);
    for (size_t i = 0; i < 7; i++) {
        fail_times(&world, 1, 1); /* on its return the first failure is enough: it is still the same row */
        assert_int_equal(view_of(&world, 1).ejected_ms, times[i]);
        world.now_ms += times[i];
    }
    exchange_at(&world, 1, BALANCE_SUCCEEDED, 10);
    fail_times(&world, 1, 2);
    assert_int_equal(view_of(&world, 1).ejected_ms, 0);
    fail_times(&world, 1, 1);
    assert_int_equal(view_of(&world, 1).ejected_ms, 1000);
    /* Enough ejections for the level to reach its maximum. */
    for (size_t i = 0; i < 300; i++) {
        world.now_ms += 10000;
        fail_times(&world, 1, 1);
    }
    assert_int_equal(view_of(&world, 1).ejected_ms, 10000);
    balance_world_free(&world);
}

/* ---- panic ---- */

static void test_panic(void **state)
{
    (void)state;
    world_t world = balance_world_new(CONF_BALANCE_P2C);
    set_servers(&world, 1, 4, 1);
    world.conf.panic_percent = 50;
    world.conf.eject_time = 5000;
    fail_times(&world, 1, 3);
    world.now_ms += 1000; /* its last failure no longer counts */
    balance_view_t two = view_of(&world, 2), three = view_of(&world, 3);
    balance_set_up(world.balance, 3, two.slot, two.generation, false, T);
    /* Half of them are usable: those are used. */
    assert_false(is_picked(&world, 1) || is_picked(&world, 2));
    assert_true(is_picked(&world, 3) && is_picked(&world, 4));
    /* Fewer: all are. */
    balance_set_up(world.balance, 3, three.slot, three.generation, false, T);
    for (unsigned n = 1; n <= 4; n++)
        assert_true(is_picked(&world, n));
    /* A drained one does not count, and is not used. */
    balance_drain(world.balance, 3, STR("s2:80"), true, T);
    assert_false(is_picked(&world, 2));
    assert_true(is_picked(&world, 1) && is_picked(&world, 3) && is_picked(&world, 4));
    /* Two of three are down, and this is never a panic. */
    world.conf.panic_percent = 0;
    for (unsigned n = 1; n <= 3; n++)
        assert_false(is_picked(&world, n));
    balance_world_free(&world);
}

/* ---- slow start ---- */

/* The part of a server of `age` out of ten seconds, among four. */
static double slow_part(conf_balance_t policy, uint64_t age)
{
    world_t world = balance_world_new(policy);
    set_servers(&world, 1, 3, 2);
    world.now_ms += 3600000;
    set_servers(&world, 1, 4, 2);
    world.conf.slow_start = 10000;
    world.now_ms += age;
    double part = part_of(&world, 4, 8000);
    balance_world_free(&world);
    return part;
}

static void test_slow_start(void **state)
{
    (void)state;
    for (conf_balance_t policy = CONF_BALANCE_P2C; policy <= CONF_BALANCE_HASH; policy++) {
        double first = slow_part(policy, 0), half = slow_part(policy, 5000), full = slow_part(policy, 10000);
        assert_true(first > 0.1 / 3.1 * 0.7 && first < 0.1 / 3.1 * 1.4);
        assert_true(half > 0.55 / 3.55 * 0.8 && half < 0.55 / 3.55 * 1.2);
        assert_true(full > 0.25 * 0.9 && full < 0.25 * 1.1);
    }
}

/* Slow start begins again with each return: up, after an ejection, after a drain. */
static void test_slow_start_of_who_is_back(void **state)
{
    (void)state;
    world_t world = balance_world_new(CONF_BALANCE_ROUND_ROBIN);
    set_servers(&world, 1, 2, 1);
    balance_view_t one = view_of(&world, 1);
    world.conf.slow_start = 10000;
    world.now_ms += 10000;
    assert_true(part_of(&world, 1, 1000) > 0.45);
    balance_set_up(world.balance, 3, one.slot, one.generation, true, world.now_ms); /* it was */
    assert_true(part_of(&world, 1, 1000) > 0.45);
    balance_set_up(world.balance, 3, one.slot, one.generation, false, world.now_ms);
    balance_set_up(world.balance, 3, one.slot, one.generation, true, world.now_ms);
    assert_true(part_of(&world, 1, 1000) < 0.12);
    world.now_ms += 10000;
    assert_true(part_of(&world, 1, 1000) > 0.45);
    balance_drain(world.balance, 3, STR("s1:80"), true, world.now_ms);
    balance_drain(world.balance, 3, STR("s1:80"), false, world.now_ms);
    assert_true(part_of(&world, 1, 1000) < 0.12);
    world.now_ms += 10000;
    assert_true(part_of(&world, 1, 1000) > 0.45);
    fail_times(&world, 1, 3);
    world.now_ms += 1000; /* slow from now on, not from its ejection */
    assert_true(part_of(&world, 1, 1000) < 0.12);
    world.now_ms += 9999;
    assert_true(part_of(&world, 1, 1000) > 0.4);
    balance_world_free(&world);
}

/* ---- latency ---- */

static void test_latency_is_smoothed(void **state)
{
    (void)state;
    world_t world = balance_world_new(CONF_BALANCE_P2C);
    set_servers(&world, 1, 1, 1);
    exchange_at(&world, 1, BALANCE_SUCCEEDED, 800);
    assert_int_equal(view_of(&world, 1).latency_us, 800);
    exchange_at(&world, 1, BALANCE_SUCCEEDED, 1600);
    assert_int_equal(view_of(&world, 1).latency_us, 900);
    /* No latency is learnt from these exchanges. */
    exchange_at(&world, 1, BALANCE_SUCCEEDED, 0);
    exchange_at(&world, 1, BALANCE_FAILED, 5);
    exchange_at(&world, 1, BALANCE_LEFT, 5);
    assert_int_equal(view_of(&world, 1).latency_us, 900);
    world.now_ms += 999;
    assert_int_equal(view_of(&world, 1).latency_us, 900);
    world.now_ms += 1; /* no sample for that time: another chance comes nearer */
    assert_int_equal(view_of(&world, 1).latency_us, 450);
    exchange_at(&world, 1, BALANCE_SUCCEEDED, 90000000); /* a long call: as four times the usual */
    assert_int_equal(view_of(&world, 1).latency_us, 844);
    world.now_ms += 1000000;
    assert_int_equal(view_of(&world, 1).latency_us, 0);
    exchange_at(&world, 1, BALANCE_SUCCEEDED, UINT32_MAX);
    exchange_at(&world, 1, BALANCE_SUCCEEDED, UINT32_MAX);
    assert_int_equal(view_of(&world, 1).latency_us, UINT32_MAX);
    world.now_ms -= 500000; /* another process's clock */
    assert_int_equal(view_of(&world, 1).latency_us, UINT32_MAX);
    balance_world_free(&world);
}

/* ---- retries ---- */

static unsigned take_all(world_t *world)
{
    unsigned got = 0;
    while (balance_take_retry(world->balance, world->upstream))
        got++;
    return got;
}

static void earn(world_t *world, unsigned times)
{
    for (unsigned i = 0; i < times; i++)
        balance_earn_retry(world->balance, world->upstream, &world->conf);
}

static void test_retry_budget(void **state)
{
    (void)state;
    world_t world = balance_world_new(CONF_BALANCE_P2C);
    assert_int_equal(take_all(&world), 0);
    set_servers(&world, 1, 0, 1);
    assert_int_equal(take_all(&world), 0);
    set_servers(&world, 1, 3, 1);
    assert_int_equal(take_all(&world), 3);
    set_servers(&world, 1, 9, 1); /* at the beginning only */
    assert_int_equal(take_all(&world), 0);
    earn(&world, 4);
    assert_int_equal(take_all(&world), 0);
    earn(&world, 1); /* five times 20 */
    assert_int_equal(take_all(&world), 1);
    earn(&world, 499);
    assert_int_equal(take_all(&world), 99);
    earn(&world, 100000);
    assert_int_equal(take_all(&world), 100);
    world.conf.retry_percent = 0;
    earn(&world, 1000);
    assert_int_equal(take_all(&world), 0);
    balance_world_free(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ejected_at_the_last),
        cmocka_unit_test(test_success_ends_the_row),
        cmocka_unit_test(test_failures_while_ejected),
        cmocka_unit_test(test_back_off),
        cmocka_unit_test(test_panic),
        cmocka_unit_test(test_slow_start),
        cmocka_unit_test(test_slow_start_of_who_is_back),
        cmocka_unit_test(test_latency_is_smoothed),
        cmocka_unit_test(test_retry_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
