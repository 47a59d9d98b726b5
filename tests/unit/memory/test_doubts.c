/* Boxes that an API has told a worker to be deleted, until the controller has heard of it. */
#include "doubts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static int setup(void **state)
{
    *state = calloc(1, sizeof(doubts_t));
    assert_non_null(*state);
    return 0;
}

static int teardown(void **state)
{
    free(*state);
    return 0;
}

/* `adopts`: cells that the look brought the worker. */
static bool found(doubts_t *doubts, unsigned worker, const char *id, uint32_t adopts)
{
    doubt_claim_t claim = {0};
    bool is = doubts_find(doubts, worker, str_from(id), &claim);
    assert_int_equal(claim.count, adopts);
    return is;
}

static void a_life(void **state)
{
    doubts_t *doubts = *state;
    doubt_claim_t claim = {0};
    assert_true(doubts_reserve(doubts, 3, &claim, STR("box")));
    assert_true(doubts_reserve(doubts, 3, &claim, STR("two")));
    assert_false(found(doubts, 1, "box", 0));
    doubts_state(doubts, 3, &claim);
    assert_true(found(doubts, 1, "box", 0) && found(doubts, 1, "two", 0));
    assert_false(found(doubts, 1, "bo", 0) || found(doubts, 1, "box2", 0) || found(doubts, 1, "", 0));
    doubts_release(doubts, &claim);
    assert_int_equal(claim.count, 0);
    assert_false(found(doubts, 1, "box", 0));
    assert_int_equal(doubts->stated, 0);
    doubts_release(doubts, &claim);
}

/* What was reserved goes; what was stated waits for a worker that is asked for the box. */
static void a_worker_that_dies(void **state)
{
    doubts_t *doubts = *state;
    doubt_claim_t reserved = {0}, stated = {0}, others = {0}, adopted = {0};
    assert_true(doubts_reserve(doubts, 3, &reserved, STR("reserved")));
    assert_true(doubts_reserve(doubts, 3, &stated, STR("stated")));
    assert_true(doubts_reserve(doubts, 2, &others, STR("other")));
    doubts_state(doubts, 3, &stated);
    doubts_state(doubts, 2, &others);
    doubts_wipe(doubts, 3);
    assert_true(found(doubts, 1, "other", 0));
    assert_false(found(doubts, 1, "reserved", 0));
    assert_true(doubts_find(doubts, 1, STR("stated"), &adopted));
    assert_int_equal(adopted.count, 1);
    assert_true(found(doubts, 3, "stated", 0)); /* its next one */
    doubts_wipe(doubts, 3);
    doubts_release(doubts, &adopted);
    assert_false(found(doubts, 1, "stated", 0));
    doubts_orphan(doubts, &others);
    assert_true(found(doubts, 1, "other", 1));
}

static void bounds(void **state)
{
    doubts_t *doubts = *state;
    static doubt_claim_t claims[DOUBTS_MAX / DOUBT_CLAIM_MAX + 1];
    char id[DOUBT_ID_MAX + 1];
    size_t at = 0;
    for (int i = 0; i < DOUBTS_MAX; i++) {
        snprintf(id, sizeof(id), "%063d", i);
        if (claims[at].count == DOUBT_CLAIM_MAX) {
            assert_false(doubts_reserve(doubts, 0, &claims[at], str_from(id)));
            at++;
        }
        assert_true(doubts_reserve(doubts, 255, &claims[at], str_from(id)));
    }
    assert_false(doubts_reserve(doubts, 0, &claims[at], STR("more")));
    for (size_t i = 0; i <= at; i++)
        doubts_state(doubts, 255, &claims[i]);
    assert_true(found(doubts, 0, id, 0));
    doubts_release(doubts, &claims[0]);
    assert_true(doubts_reserve(doubts, 0, &claims[0], STR("more")));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {TEST(a_life), TEST(a_worker_that_dies), TEST(bounds)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
