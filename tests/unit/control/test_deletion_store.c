/* Deletions whose worker died: the sweep closes them, also when another process has the worker's id. */
#include "store_fixture.h"

#include <unistd.h>

#include "deletion_store.h"
#include "process_birth.h"

#define NOW_MS 1700000000000u

static bool sum_closed(const store_deletion_t *deletion, void *sum)
{
    *(uint64_t *)sum += deletion->closed_at_ms;
    return true;
}

/* The time at which the sweep closed the deletion that this process, of that birth, requested; 0: it did
 * not. */
static uint64_t closed_at(fixture_t *f, uint32_t birth)
{
    store_preview_t preview = fixture_preview("box", 3000);
    store_deletion_t deletion = {
        .id = "box", .call = 1, .requested_at_ms = NOW_MS, .pid = (uint32_t)getpid(), .birth = birth};
    deletion_sweep_t sweep = {.after = ""};
    bool changed = false;
    uint64_t sum = 0;
    assert_int_equal(store_put_preview(f->store, &preview), STORE_OK);
    assert_int_equal(store_put_deletions(f->store, &deletion, 1), STORE_OK);
    deletion_store_sweep(f->store, NOW_MS + 1, &sweep, &changed);
    assert_int_equal(store_each_deletion(f->store, STR("box"), sum_closed, &sum), STORE_OK);
    assert_int_equal(changed, sum != 0);
    assert_int_equal(sweep.count, sum != 0);
    return sum;
}

static void a_living_workers_call_goes_on(void **state)
{
    assert_int_equal(closed_at(*state, process_birth(getpid())), 0);
}

static void a_dead_workers_call_is_closed_at_once(void **state)
{
    assert_int_equal(closed_at(*state, process_birth(getpid()) + 1), NOW_MS + 1);
}

static bool says_there(fixture_t *f, uint64_t now_ms)
{
    deletion_call_t call = {.op = DELETION_SETTLE, .outcome = DELETION_REFUSED, .count = 1, .ids = {"box"}};
    preview_answer_t answer = {0};
    size_t deleted = 0;
    bool changed = false;
    deletion_store_take(f->store, &call, now_ms, &answer, &deleted, &changed);
    assert_int_equal(answer.status, 200);
    return store_is_being_deleted(f->store, STR("box")) == STORE_NOT_FOUND;
}

static void a_box_that_is_there_may_still_be_deleted(void **state)
{
    assert_int_equal(closed_at(*state, process_birth(getpid()) + 1), NOW_MS + 1);
    assert_false(says_there(*state, NOW_MS + DELETION_LIVING_MS));
    assert_true(says_there(*state, NOW_MS + 1 + DELETION_LIVING_MS));
}

/* A damaged record hides the previews until a report that is later than its discovery. */
static void a_damaged_record_is_settled(void **state)
{
    fixture_t *f = *state;
    store_preview_t preview = fixture_preview("box", 3000);
    store_deletion_t deletion = {.id = "box", .call = 77, .requested_at_ms = NOW_MS, .closed_at_ms = NOW_MS};
    deletion_sweep_t sweep = {.after = ""};
    bool changed = false;
    size_t deleted = 0;
    assert_int_equal(store_put_preview(f->store, &preview), STORE_OK);
    assert_int_equal(store_put_deletions(f->store, &deletion, 1), STORE_OK);
    fixture_flip(f, "deletions", STR("\3box\1"));
    deletion_store_report(f->store, STR("box"), NOW_MS + 1000, false, &deleted, &changed);
    assert_int_equal(store_is_being_deleted(f->store, STR("box")), STORE_FAILED);
    deletion_store_sweep(f->store, NOW_MS + 2000, &sweep, &changed);
    assert_true(changed && sweep.count == 1);
    assert_true(sweep.at[0].requested_at_ms == NOW_MS + 2000 && sweep.at[0].closed_at_ms == NOW_MS + 2000);
    assert_int_equal(store_is_being_deleted(f->store, STR("box")), STORE_OK);
    deletion_store_report(f->store, STR("box"), NOW_MS + 2000, false, &deleted, &changed);
    assert_int_equal(store_is_being_deleted(f->store, STR("box")), STORE_OK);
    deletion_store_report(f->store, STR("box"), NOW_MS + 2001, false, &deleted, &changed);
    assert_int_equal(store_is_being_deleted(f->store, STR("box")), STORE_NOT_FOUND);
    assert_int_equal(store_get_preview(f->store, STR("box"), 3000, &preview), STORE_OK);
}

static uint64_t closed(fixture_t *f)
{
    uint64_t sum = 0;
    assert_int_equal(store_each_deletion(f->store, STR("box"), sum_closed, &sum), STORE_OK);
    return sum;
}

/* Ten days ahead: an open call stays open, and a call that ended then does not hide its box for ten days. */
static void a_clock_that_jumps(void **state)
{
    fixture_t *f = *state;
    const uint64_t ahead = NOW_MS + 864000000u;
    deletion_sweep_t sweep = {.after = ""};
    bool changed = false;
    assert_int_equal(closed_at(f, process_birth(getpid())), 0);
    deletion_store_sweep(f->store, ahead, &sweep, &changed);
    assert_false(changed);
    deletion_call_t call = {
        .op = DELETION_END, .call = 1, .outcome = DELETION_UNKNOWN, .count = 1, .ids = {"box"}};
    preview_answer_t answer = {0};
    size_t deleted = 0;
    deletion_store_take(f->store, &call, ahead, &answer, &deleted, &changed);
    assert_true(closed(f) == ahead);
    deletion_store_sweep(f->store, NOW_MS + 5000, &sweep, &changed); /* the clock is back */
    assert_true(closed(f) == NOW_MS + 5000);
    assert_true(sweep.count == 1 && sweep.at[0].closed_at_ms == NOW_MS + 5000);
    assert_false(says_there(f, NOW_MS + 5000 + DELETION_LIVING_MS - 1));
    assert_true(says_there(f, NOW_MS + 5000 + DELETION_LIVING_MS));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_living_workers_call_goes_on),
        TEST(a_dead_workers_call_is_closed_at_once),
        TEST(a_box_that_is_there_may_still_be_deleted),
        TEST(a_damaged_record_is_settled),
        TEST(a_clock_that_jumps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
