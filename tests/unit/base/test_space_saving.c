/* The promises of the summary, against exact counts. */
#include "space_saving.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define NAMES 2000

static const uint64_t seed[2] = {1, 2};

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static str_t name_text(unsigned number, char out[16])
{
    (void)snprintf(out, 16, "name-%u", number);
    return str_from(out);
}

static unsigned number_of(str_t name)
{
    char text[SPACE_SAVING_NAME_MAX + 1] = "";
    memcpy(text, name.p, name.n);
    return (unsigned)strtoul(text + 5, NULL, 10);
}

/* Of N additions with the true counts `truth`. */
static void check(const space_saving_t *summary, unsigned entries, const uint64_t *truth, uint64_t n)
{
    bool listed[NAMES] = {false};
    uint64_t sum = 0;
    assert_true(space_saving_used(summary) <= entries);
    for (unsigned i = 0; i < space_saving_used(summary); i++) {
        unsigned name = number_of(space_saving_name(summary, i));
        uint64_t count = space_saving_count(summary, i), error = space_saving_error(summary, i);
        assert_false(listed[name]);
        listed[name] = true;
        assert_true(count >= truth[name]);
        assert_true(count - truth[name] <= error);
        assert_true(error <= n / entries);
        sum += count;
    }
    assert_true(sum == n);
    for (unsigned name = 0; name < NAMES; name++)
        assert_true(listed[name] || truth[name] <= n / entries);
}

/* Skewed, uniform and adversarial streams, with tables of several sizes. */
static void never_under_and_bounded_over(void **state)
{
    (void)state;
    static const unsigned sizes[] = {1, 2, 16, 256};
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++)
        for (int kind = 0; kind < 3; kind++) {
            uint64_t truth[NAMES] = {0}, random = 88172645463325252u;
            space_saving_t *summary = space_saving_new(sizes[s], seed);
            for (unsigned n = 1; n <= 50000; n++) {
                uint64_t r = next_random(&random);
                unsigned name = kind == 0   ? (unsigned)(r % NAMES)
                                : kind == 1 ? (unsigned)(NAMES >> (r % 11)) % NAMES
                                            : n % NAMES; /* each in turn: every addition takes an entry */
                char text[16];
                bool fresh;
                unsigned entry = space_saving_add(summary, name_text(name, text), &fresh);
                truth[name]++;
                assert_true(str_eq(space_saving_name(summary, entry), str_from(text)));
                if (n % 5000 == 0 || n < 300)
                    check(summary, sizes[s], truth, n);
            }
            space_saving_free(&summary);
            assert_null(summary);
        }
}

static void heavy_hitters_are_found(void **state)
{
    (void)state;
    uint64_t random = 1;
    space_saving_t *summary = space_saving_new(256, seed);
    for (unsigned n = 0; n < 200000; n++) {
        char text[16];
        bool fresh;
        bool heavy = n % 10 == 0; /* ten names with 1 % each, of 1,990 others */
        unsigned name = heavy ? n / 10 % 10 : 10 + (unsigned)(next_random(&random) % (NAMES - 10));
        space_saving_add(summary, name_text(name, text), &fresh);
    }
    unsigned found = 0;
    for (unsigned i = 0; i < space_saving_used(summary); i++)
        found += number_of(space_saving_name(summary, i)) < 10;
    assert_int_equal(found, 10);
    space_saving_free(&summary);
}

static void fresh_entries(void **state)
{
    (void)state;
    bool fresh;
    space_saving_t *summary = space_saving_new(2, seed);
    assert_int_equal(space_saving_add(summary, STR("a"), &fresh), 0);
    assert_true(fresh);
    assert_int_equal(space_saving_add(summary, STR("a"), &fresh), 0);
    assert_false(fresh);
    assert_int_equal(space_saving_touch(summary, STR("b"), &fresh), 1);
    assert_true(fresh && space_saving_is_full(summary));
    assert_int_equal(space_saving_count(summary, 1), 0);
    assert_int_equal(space_saving_touch(summary, STR("c"), &fresh), SPACE_SAVING_NONE);
    assert_false(fresh);
    assert_int_equal(space_saving_touch(summary, STR("a"), &fresh), 0);
    assert_false(fresh);
    assert_int_equal(space_saving_add(summary, STR("c"), &fresh), 1); /* in the place of b */
    assert_true(fresh);
    assert_int_equal(space_saving_count(summary, 1), 1);
    assert_int_equal(space_saving_error(summary, 1), 0);
    assert_int_equal(space_saving_add(summary, STR("d"), &fresh), 1);
    assert_int_equal(space_saving_error(summary, 1), 1);
    assert_int_equal(space_saving_count(summary, 1), 2);
    space_saving_free(&summary);
    space_saving_free(&summary);
}

/* Counts stay in order, and no entry or bucket is lost. */
static void halved(void **state)
{
    (void)state;
    uint64_t halves[NAMES] = {0}, random = 7;
    space_saving_t *summary = space_saving_new(64, seed);
    for (int round = 0; round < 50; round++) {
        for (unsigned n = 0; n < 500; n++) {
            char text[16];
            bool fresh;
            unsigned name = (unsigned)(next_random(&random) % (n % 2 == 0 ? 20 : NAMES));
            space_saving_add(summary, name_text(name, text), &fresh);
            halves[name] += 1;
        }
        space_saving_halve(summary);
        for (unsigned name = 0; name < NAMES; name++)
            halves[name] /= 2;
        for (unsigned i = 0; i < space_saving_used(summary); i++) {
            uint64_t count = space_saving_count(summary, i);
            assert_true(count >= halves[number_of(space_saving_name(summary, i))]);
            assert_true(count >= space_saving_error(summary, i));
        }
    }
    assert_int_equal(space_saving_used(summary), 64);
    space_saving_free(&summary);
}

static void the_longest_name(void **state)
{
    (void)state;
    char name[SPACE_SAVING_NAME_MAX];
    bool fresh;
    memset(name, 'x', sizeof(name));
    space_saving_t *summary = space_saving_new(1, seed);
    for (size_t n = 0; n <= sizeof(name); n++) {
        space_saving_add(summary, str_make(name, n), &fresh);
        assert_true(fresh);
        assert_int_equal(space_saving_name(summary, 0).n, n);
    }
    assert_int_equal(space_saving_count(summary, 0), SPACE_SAVING_NAME_MAX + 1);
    space_saving_free(&summary);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(never_under_and_bounded_over),
        cmocka_unit_test(heavy_hitters_are_found),
        cmocka_unit_test(fresh_entries),
        cmocka_unit_test(halved),
        cmocka_unit_test(the_longest_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
