/* flights.h: the bound, the order of records, and a table that a worker filled with nonsense. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "flights.h"

static flight_table_t *table;
static flights_t flights;

static int set_up(void **state)
{
    (void)state;
    table = aligned_alloc(64, (sizeof(*table) + 63) / 64 * 64);
    if (table == NULL)
        return 1;
    memset(table, 0, sizeof(*table));
    flights_init(&flights, table);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(table);
    return 0;
}

static size_t recorded(void)
{
    flight_t flight;
    size_t count = 0;
    for (size_t i = 0; i < FLIGHTS_MAX; i++)
        count += flight_read(table, i, &flight);
    return count;
}

static uint16_t begin(void)
{
    flight_t *record;
    uint16_t number = flights_take(&flights, &record);
    assert_int_not_equal(number, 0);
    if (record != NULL)
        atomic_store(&record->wall_us, number);
    return number;
}

static void a_record_is_there_until_it_is_given_back(void **state)
{
    (void)state;
    flight_t flight;
    assert_int_equal(recorded(), 0);
    uint16_t first = begin(), second = begin();
    assert_int_not_equal(first, second);
    assert_int_equal(recorded(), 2);
    flights_give(&flights, first);
    assert_int_equal(recorded(), 1);
    assert_true(flight_read(table, second - 1u, &flight));
    assert_int_equal(atomic_load(&flight.wall_us), second);
    assert_int_equal(begin(), first); /* the last one used: its cache lines are warm */
}

static void requests_beyond_the_table_are_counted(void **state)
{
    (void)state;
    uint16_t numbers[FLIGHTS_MAX + 3];
    for (size_t i = 0; i < FLIGHTS_MAX + 3; i++)
        numbers[i] = begin();
    assert_int_equal(recorded(), FLIGHTS_MAX);
    assert_int_equal(flights_unrecorded(table), 3);
    flights_give(&flights, numbers[FLIGHTS_MAX + 1]);
    flights_give(&flights, numbers[7]);
    assert_int_equal(flights_unrecorded(table), 2);
    assert_int_equal(begin(), numbers[7]);
    assert_int_equal(flights_unrecorded(table), 2);
    flights_wipe(table);
    assert_int_equal(recorded() + flights_unrecorded(table), 0);
}

static void lengths_are_within_bounds(void **state)
{
    (void)state;
    flight_t flight;
    memset(table, 0xff, sizeof(*table));
    for (size_t i = 0; i < FLIGHTS_MAX; i++) {
        assert_true(flight_read(table, i, &flight));
        assert_true(flight.method_n <= FLIGHT_METHOD_BYTES && flight.host_n <= FLIGHT_HOST_BYTES);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_record_is_there_until_it_is_given_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(requests_beyond_the_table_are_counted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lengths_are_within_bounds, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
