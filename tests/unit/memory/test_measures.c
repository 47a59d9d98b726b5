/* Histograms, status codes, and the counters of names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "measures.h"

/* The bucket by a search. */
static unsigned bucket_of(uint64_t us)
{
    unsigned i = 0;
    while (i < HISTOGRAM_BOUNDS && us > histogram_bounds_us[i])
        i++;
    return i;
}

static void test_bounds(void **state)
{
    (void)state;
    assert_int_equal(histogram_bounds_us[HISTOGRAM_BOUNDS], UINT32_MAX);
    for (unsigned i = 0; i < HISTOGRAM_BOUNDS; i++) {
        uint64_t bound = histogram_bounds_us[i];
        assert_true(i == 0 || bound >= 2 * (uint64_t)histogram_bounds_us[i - 1]);
        assert_int_equal(histogram_bucket(bound - 1), bucket_of(bound - 1));
        assert_int_equal(histogram_bucket(bound), i);
        assert_int_equal(histogram_bucket(bound + 1), i + 1);
    }
    for (unsigned bit = 0; bit < 64; bit++)
        for (int off = -1; off <= 1; off++) {
            uint64_t us = ((uint64_t)1 << bit) + (uint64_t)off;
            assert_int_equal(histogram_bucket(us), bucket_of(us));
        }
    for (unsigned i = 0; i < 100000; i++) {
        uint64_t us = (uint64_t)random() << (unsigned)random() % 8;
        assert_int_equal(histogram_bucket(us), bucket_of(us));
    }
}

static void test_each_duration_counts_once(void **state)
{
    (void)state;
    histogram_t histogram = {0};
    histogram_add(&histogram, 0);
    histogram_add(&histogram, 100);
    histogram_add(&histogram, 101);
    histogram_add(&histogram, UINT64_C(1) << 40);
    assert_int_equal(histogram.counts[0], 2);
    assert_int_equal(histogram.counts[1], 1);
    assert_int_equal(histogram.counts[HISTOGRAM_BUCKETS - 1], 1);
    assert_int_equal(histogram.sum_us, 201 + (UINT64_C(1) << 40));
}

static void test_statuses(void **state)
{
    (void)state;
    char text[8], wanted[8];
    static const int known[] = {101, 200, 204, 226, 304, 418, 421, 431, 451, 500, 511};
    static const int others[] = {-1,  1,   99,  100, 102, 199, 227, 299,  306,
                                 419, 427, 499, 509, 512, 599, 600, 65536};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        snprintf(wanted, sizeof(wanted), "%d", known[i]);
        assert_string_equal(measure_status_text(measure_status(known[i]), text), wanted);
    }
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_string_equal(measure_status_text(measure_status(others[i]), text), "other");
    assert_string_equal(measure_status_text(measure_status(0), text), "none");
    for (int status = 100; status < 600; status++) {
        unsigned cell = measure_status(status);
        assert_true(cell < MEASURE_STATUS_COUNT && cell != MEASURE_STATUS_NONE);
        assert_true(cell == MEASURE_STATUS_OTHER ||
                    strtol(measure_status_text(cell, text), NULL, 10) == status);
    }
}

#define SIZE 4
static void test_names_keep_their_cells(void **state)
{
    (void)state;
    measure_cell_t cells[SIZE] = {0};
    const uint64_t first[] = {11, 12, 13}, second[] = {13, 14, 11}, third[] = {21, 22, 23, 14};
    measure_assign(cells, SIZE, first, 3);
    for (unsigned i = 0; i < 3; i++)
        cells[measure_find(cells, SIZE, first[i])].counts[1] = first[i];
    measure_assign(cells, SIZE, second, 3);
    assert_int_equal(cells[measure_find(cells, SIZE, 11)].counts[1], 11);
    assert_int_equal(cells[measure_find(cells, SIZE, 13)].counts[1], 13);
    assert_int_equal(cells[measure_find(cells, SIZE, 12)].counts[1], 12); /* there was room */
    cells[measure_find(cells, SIZE, 14)].counts[1] = 14;
    measure_assign(cells, SIZE, third, 4); /* all places are needed */
    assert_int_equal(cells[measure_find(cells, SIZE, 14)].counts[1], 14);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(measure_find(cells, SIZE, first[i]), SIZE);
        assert_int_equal(cells[measure_find(cells, SIZE, third[i])].counts[1], 0);
    }
    measure_assign(cells, SIZE, NULL, 0);
    assert_int_not_equal(measure_find(cells, SIZE, 21), SIZE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_each_duration_counts_once),
        cmocka_unit_test(test_statuses),
        cmocka_unit_test(test_names_keep_their_cells),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
