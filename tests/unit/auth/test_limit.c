/* The rule of limits in one process: rates, bursts, requests in flight, clocks that jump, floods. */
#include "limit_fields.h"
#include "limit_fixture.h"

#define CELLS 64

static void test_burst_then_rate(void **state)
{
    (void)state;
    limit_t *limit = limit_fixture_table_new(CELLS);
    limit_plan_t plan = {.interval_ns = 100 * MS, .burst = 5};
    limit_state_t left;
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(take(limit, 1, &plan, 1, T, &left), LIMIT_ADMITTED);
        assert_int_equal(left.remaining, 4 - i);
        assert_int_equal(left.reset_ms, (i + 1) * 100);
    }
    assert_int_equal(take(limit, 1, &plan, 1, T, &left), LIMIT_RATE);
    assert_int_equal(left.remaining, 0);
    assert_int_equal(left.retry_ms, 100);
    assert_int_equal(take(limit, 1, &plan, 1, T + 99 * MS, &left), LIMIT_RATE);
    assert_int_equal(left.retry_ms, 1);
    assert_int_equal(take(limit, 1, &plan, 1, T + 100 * MS, &left), LIMIT_ADMITTED);
    assert_int_equal(take(limit, 2, &plan, 1, T, &left), LIMIT_ADMITTED); /* another identity */
    assert_int_equal(left.remaining, 4);
    limit_fixture_table_free(limit, CELLS);
}

static void test_costs(void **state)
{
    (void)state;
    limit_t *limit = limit_fixture_table_new(CELLS);
    limit_plan_t plan = {.interval_ns = 100 * MS, .burst = 5};
    limit_state_t left;
    assert_int_equal(take(limit, 1, &plan, 6, T, &left), LIMIT_COST);
    assert_int_equal(take(limit, 1, &plan, 5, T, &left), LIMIT_ADMITTED);
    assert_int_equal(take(limit, 1, &plan, 0, T, &left), LIMIT_ADMITTED);
    assert_int_equal(take(limit, 1, &plan, 2, T, &left), LIMIT_RATE);
    assert_int_equal(left.retry_ms, 200);
    assert_int_equal(take(limit, 1, &plan, 2, T + left.retry_ms * MS, &left), LIMIT_ADMITTED);
    limit_fixture_table_free(limit, CELLS);
}

static void test_in_flight(void **state)
{
    (void)state;
    limit_t *limit = limit_fixture_table_new(CELLS);
    limit_plan_t plan = {.interval_ns = 100 * MS, .burst = 5, .in_flight = 2};
    limit_id_t id = id_of(1);
    limit_ticket_t tickets[3];
    limit_state_t left;
    assert_int_equal(limit_take(limit, 0, &id, &plan, 1, T, &left, &tickets[0]), LIMIT_ADMITTED);
    assert_int_equal(limit_take(limit, 7, &id, &plan, 1, T, &left, &tickets[1]), LIMIT_ADMITTED);
    assert_int_equal(limit_take(limit, 0, &id, &plan, 1, T, &left, &tickets[2]), LIMIT_IN_FLIGHT);
    assert_int_equal(left.remaining, 3); /* refused by one identity's limit, it took nothing from the other */
    limit_release(limit, 0, &tickets[2]); /* an empty one */
    limit_worker_wipe(limit, 7);
    assert_int_equal(limit_take(limit, 0, &id, &plan, 1, T, &left, &tickets[1]), LIMIT_ADMITTED);
    limit_release(limit, 0, &tickets[0]);
    limit_release(limit, 0, &tickets[1]);
    limit_release(limit, 0, &tickets[1]); /* nothing is held any more */
    assert_int_equal(take(limit, 1, &plan, 1, T, &left), LIMIT_ADMITTED);
    assert_int_equal(left.remaining, 1);
    /* Refused by the rate, it is not in flight. */
    plan.in_flight = 1;
    assert_int_equal(take(limit, 1, &plan, 1, T, &left), LIMIT_ADMITTED);
    assert_int_equal(take(limit, 1, &plan, 1, T, &left), LIMIT_RATE);
    assert_int_equal(take(limit, 1, &plan, 1, T + S, &left), LIMIT_ADMITTED);
    limit_fixture_table_free(limit, CELLS);
}

static void test_without_a_rate(void **state)
{
    (void)state;
    limit_t *limit = limit_fixture_table_new(CELLS);
    limit_plan_t plan = {.burst = 1, .in_flight = 1};
    limit_state_t left;
    limit_fields_t fields;
    for (int i = 0; i < 1000; i++)
        assert_int_equal(take(limit, 1, &plan, 100, T, &left), LIMIT_ADMITTED);
    assert_true(left.remaining == UINT64_MAX);
    assert_false(limit_fields_write(&fields, STR("p"), &plan, &left));
    limit_fixture_table_free(limit, CELLS);
}

static void test_clock_jumps(void **state)
{
    (void)state;
    limit_t *limit = limit_fixture_table_new(CELLS);
    limit_plan_t plan = {.interval_ns = 100 * MS, .burst = 5};
    limit_state_t left;
    for (int i = 0; i < 5; i++)
        assert_int_equal(take(limit, 1, &plan, 1, T, &left), LIMIT_ADMITTED);
    /* Clock back: shut for no longer than the burst takes to refill. */
    uint64_t before = T - 500 * S;
    assert_int_equal(take(limit, 1, &plan, 1, before, &left), LIMIT_RATE);
    assert_int_equal(left.retry_ms, 100);
    assert_int_equal(take(limit, 1, &plan, 1, before + 99 * MS, &left), LIMIT_RATE);
    assert_int_equal(left.retry_ms, 1);
    for (int i = 0; i < 5; i++)
        assert_int_equal(take(limit, 1, &plan, 1, before + 600 * MS, &left), LIMIT_ADMITTED);
    assert_int_equal(take(limit, 1, &plan, 1, before + 600 * MS, &left), LIMIT_RATE);
    /* Clock ahead: one burst, and no more. */
    for (int i = 0; i < 5; i++)
        assert_int_equal(take(limit, 1, &plan, 1, T + 500 * S, &left), LIMIT_ADMITTED);
    assert_int_equal(take(limit, 1, &plan, 1, T + 500 * S, &left), LIMIT_RATE);
    limit_fixture_table_free(limit, CELLS);
}

static void test_another_plan(void **state)
{
    (void)state;
    limit_t *limit = limit_fixture_table_new(CELLS);
    limit_plan_t slow = {.interval_ns = 3600 * S, .burst = 10}, fast = {.interval_ns = MS, .burst = 10};
    limit_state_t left;
    assert_int_equal(take(limit, 1, &slow, 10, T, &left), LIMIT_ADMITTED);
    assert_int_equal(take(limit, 1, &fast, 1, T, &left), LIMIT_RATE);
    assert_int_equal(left.retry_ms, 1);
    assert_int_equal(take(limit, 1, &fast, 1, T + MS, &left), LIMIT_ADMITTED);
    assert_int_equal(take(limit, 1, &fast, 1, T + MS, &left), LIMIT_RATE);
    /* Clock back: at most one burst at a time. */
    unsigned passed = 0;
    while (take(limit, 1, &slow, 1, T + MS, &left) == LIMIT_ADMITTED)
        passed++;
    assert_int_equal(passed, 9);
    limit_fixture_table_free(limit, CELLS);
}

/* Numbers whose products exceed 64 bits: never admits more than was asked for, and never opens the limit. */
static void test_extremes(void **state)
{
    (void)state;
    limit_t *limit = limit_fixture_table_new(CELLS);
    limit_plan_t plans[] = {
        {.interval_ns = UINT64_MAX, .burst = UINT32_MAX},
        {.interval_ns = 86400 * S, .burst = 1000000},
        {.interval_ns = 1, .burst = UINT32_MAX},
    };
    limit_state_t left;
    assert_int_equal(take(limit, 1, &plans[0], 1, T, &left), LIMIT_ADMITTED);
    assert_int_equal(left.remaining, 0);
    assert_int_equal(take(limit, 1, &plans[0], 1, T + 86400 * S, &left), LIMIT_RATE);
    assert_int_equal(take(limit, 1, &plans[0], 2, T, &left), LIMIT_COST);
    assert_int_equal(take(limit, 1, &plans[0], UINT32_MAX, T, &left), LIMIT_COST);
    for (unsigned i = 0; i < 800; i++) /* two years and three months, in days */
        assert_int_equal(take(limit, 2, &plans[1], 1, T, &left), LIMIT_ADMITTED);
    assert_in_range(left.remaining, 30, 40);
    assert_int_equal(take(limit, 2, &plans[1], 100, T, &left), LIMIT_RATE);
    assert_int_equal(take(limit, 2, &plans[1], 1000000, T, &left), LIMIT_COST);
    assert_in_range(left.remaining, 30, 40);
    assert_int_equal(take(limit, 3, &plans[2], UINT32_MAX, T, &left), LIMIT_ADMITTED);
    assert_int_equal(take(limit, 3, &plans[2], 1, T, &left), LIMIT_RATE);
    assert_int_equal(take(limit, 4, &plans[1], 1, 0, &left), LIMIT_ADMITTED);
    assert_int_equal(take(limit, 4, &plans[1], 1, UINT64_C(1) << 58, &left), LIMIT_ADMITTED);
    limit_fixture_table_free(limit, CELLS);
}

static void test_known_keys(void **state)
{
    (void)state;
    limit_t *limit = limit_fixture_table_new(CELLS);
    limit_id_t id = id_of(9), other = id_of(10);
    assert_false(limit_has(limit, &id));
    limit_accept(limit, &id, T);
    limit_accept(limit, &id, T);
    assert_true(limit_has(limit, &id));
    assert_false(limit_has(limit, &other));
    limit_refuse(limit, &other, T, 5000);
    assert_true(limit_is_refused(limit, &other, T));
    assert_true(limit_is_refused(limit, &other, T + 5 * S - 1));
    assert_false(limit_is_refused(limit, &other, T + 5 * S));
    assert_false(limit_is_refused(limit, &other, T + 86400 * 30 * S));
    assert_false(limit_is_refused(limit, &id, T));
    limit_fixture_table_free(limit, CELLS);
}

/* Eight cells: an identity in debt or with a request in flight keeps its cell; others share one bucket. */
static void test_crowd(void **state)
{
    (void)state;
    limit_t *limit = limit_fixture_table_new(8);
    limit_plan_t plan = {.interval_ns = 1000 * MS, .burst = 3, .in_flight = 10};
    limit_state_t left;
    for (uint64_t n = 0; n < 8; n++)
        assert_int_equal(take(limit, n, &plan, 3, T, &left), LIMIT_ADMITTED);
    unsigned passed = 0;
    for (uint64_t n = 100; n < 100000; n++)
        passed += take(limit, n, &plan, 1, T, &left) == LIMIT_ADMITTED;
    assert_int_equal(passed, 3);
    for (uint64_t n = 0; n < 8; n++)
        assert_int_equal(take(limit, n, &plan, 1, T, &left), LIMIT_RATE);
    /* Three seconds later all are whole again; one with a request in flight still keeps its cell. */
    limit_id_t held = id_of(3);
    limit_ticket_t ticket;
    assert_int_equal(limit_take(limit, 0, &held, &plan, 0, T + 3 * S, &left, &ticket), LIMIT_ADMITTED);
    for (uint64_t n = 100; n < 200; n++)
        (void)take(limit, n, &plan, 3, T + 100 * S, &left);
    assert_true(limit_has(limit, &held));
    limit_release(limit, 0, &ticket);
    limit_fixture_table_free(limit, 8);
}

/* Of the cells that are whole again, the one that has been whole longest is reused. */
static void test_the_oldest_goes(void **state)
{
    (void)state;
    static const uint64_t ages[] = {3, 7, 1, 5, 8, 2, 6, 4}; /* each identity's, in seconds */
    static const uint64_t oldest_first[] = {4, 1, 6, 3, 7, 0, 5, 2};
    limit_t *limit = limit_fixture_table_new(8);
    limit_plan_t plan = {.interval_ns = S, .burst = 3};
    limit_state_t left;
    for (uint64_t n = 0; n < 8; n++)
        assert_int_equal(take(limit, n, &plan, 1, T - ages[n] * S, &left), LIMIT_ADMITTED);
    for (uint64_t gone = 0; gone < 8; gone++) {
        assert_true(has(limit, oldest_first[gone]));
        assert_int_equal(take(limit, 100 + gone, &plan, 3, T + 10 * S, &left), LIMIT_ADMITTED);
        for (uint64_t i = 0; i < 8; i++)
            assert_int_equal(has(limit, oldest_first[i]), i > gone);
    }
    limit_fixture_table_free(limit, 8);
}

static void test_fields(void **state)
{
    (void)state;
    limit_plan_t plan = {.interval_ns = 100 * MS, .burst = 25};
    limit_state_t left = {.remaining = 7, .reset_ms = 1001, .retry_ms = 1};
    limit_fields_t fields;
    assert_true(limit_fields_write(&fields, STR("free"), &plan, &left));
    assert_string_equal(fields.policy, "\"free\";q=25;w=3");
    assert_string_equal(fields.limit, "\"free\";r=7;t=2");
    assert_string_equal(fields.x_limit, "25");
    assert_string_equal(fields.x_remaining, "7");
    assert_string_equal(fields.x_reset, "2");
    assert_int_equal(limit_retry_after(&left), 1);
    left.retry_ms = 1001;
    assert_int_equal(limit_retry_after(&left), 2);
    left.retry_ms = 0;
    assert_int_equal(limit_retry_after(&left), 1);
    left.retry_ms = 2000;
    assert_int_equal(limit_retry_after(&left), 2);
    left.retry_ms = UINT64_MAX;
    assert_int_equal(limit_retry_after(&left), 366 * 86400);
    /* Numbers of structured fields have 15 digits; and a name of the maximum length. */
    plan = (limit_plan_t){.interval_ns = UINT64_MAX, .burst = UINT32_MAX};
    left = (limit_state_t){.remaining = UINT64_MAX, .reset_ms = UINT64_MAX};
    char name[64];
    memset(name, 'n', 63);
    assert_true(limit_fields_write(&fields, str_make(name, 63), &plan, &left));
    assert_string_equal(fields.policy + 65, ";q=4294967295;w=999999999999999");
    assert_string_equal(fields.limit + 65, ";r=4294967295;t=999999999999999");
}

/* ---- floods ---- */

#define MANY     65536
#define GOOD     1000
#define STRANGER (UINT64_C(1) << 40)

/* A million identities, each seen once, in less than a second. An identity with a debt or a request in flight
 * keeps its cell. Strangers get the rest of the table, and one burst for all others. */
static void test_flood(void **state)
{
    (void)state;
    limit_t *limit = limit_fixture_table_new(MANY);
    limit_plan_t plan = {.interval_ns = S, .burst = 10, .in_flight = 1};
    limit_ticket_t ticket;
    limit_state_t left;
    unsigned cells = 0, passed = 0;
    for (uint64_t n = 0; n < GOOD; n++) {
        assert_int_equal(hold(limit, 0, n, &plan, 0, T, &ticket), LIMIT_ADMITTED);
        if (n % 2 == 0) {
            limit_release(limit, 0, &ticket);
            assert_int_equal(drain(limit, n, &plan, T), 10);
        }
    }
    for (uint64_t n = 0; n < 1000000; n++) {
        uint64_t stranger = STRANGER + n, now = T + n * 900;
        passed += take(limit, stranger, &plan, 1, now, &left) == LIMIT_ADMITTED;
        cells += has(limit, stranger);
    }
    assert_in_range(cells, MANY * 9 / 10, MANY - GOOD);
    assert_in_range(passed, cells, cells + 10 + 1);
    for (uint64_t n = 0; n < GOOD; n++) {
        assert_true(has(limit, n));
        assert_int_equal(take(limit, n, &plan, 1, T + 900 * MS, &left),
                         n % 2 == 0 ? LIMIT_RATE : LIMIT_IN_FLIGHT);
        assert_int_equal(left.remaining, n % 2 == 0 ? 0 : 10);
    }
    limit_fixture_table_free(limit, MANY);
}

/* A million random keys: none of them is mistaken for a key that the upstream accepted or refused. */
static void test_flood_of_keys(void **state)
{
    (void)state;
    limit_t *limit = limit_fixture_table_new(MANY);
    for (uint64_t n = 0; n < GOOD; n++) {
        limit_id_t id = id_of(n);
        limit_accept(limit, &id, T);
    }
    for (uint64_t n = 0; n < 1000000; n++) {
        limit_id_t id = id_of(STRANGER + n);
        assert_false(limit_has(limit, &id));
        assert_false(limit_is_refused(limit, &id, T));
        limit_refuse(limit, &id, T, 5000);
        assert_true(limit_is_refused(limit, &id, T));
    }
    for (uint64_t n = 0; n < GOOD; n++) {
        limit_id_t id = id_of(n);
        assert_true(limit_has(limit, &id));
        assert_false(limit_is_refused(limit, &id, T));
    }
    limit_fixture_table_free(limit, MANY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_burst_then_rate), cmocka_unit_test(test_costs),
        cmocka_unit_test(test_in_flight),       cmocka_unit_test(test_without_a_rate),
        cmocka_unit_test(test_clock_jumps),     cmocka_unit_test(test_another_plan),
        cmocka_unit_test(test_extremes),        cmocka_unit_test(test_known_keys),
        cmocka_unit_test(test_crowd),           cmocka_unit_test(test_the_oldest_goes),
        cmocka_unit_test(test_fields),          cmocka_unit_test(test_flood),
        cmocka_unit_test(test_flood_of_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
