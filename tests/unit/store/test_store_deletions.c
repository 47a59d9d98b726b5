/* Deletions of boxes: recorded all or none, found by the box, closed, ended one by one, bounded, and present
 * after a restart. */
#include "store_fixture.h"

static store_deletion_t deletion_of(const char *id, uint64_t call)
{
    store_deletion_t deletion = {
        .call = call, .requested_at_ms = 10 * call, .pid = INT32_MAX, .birth = UINT32_MAX};
    (void)snprintf(deletion.id, sizeof(deletion.id), "%s", id);
    memset(deletion.key_sha256, (int)call, sizeof(deletion.key_sha256));
    return deletion;
}

static void put(fixture_t *f, const char *id, uint64_t call)
{
    store_deletion_t deletion = deletion_of(id, call);
    assert_int_equal(store_put_deletions(f->store, &deletion, 1), STORE_OK);
}

static bool sum(const store_deletion_t *deletion, void *arg)
{
    uint64_t *total = arg;
    *total = *total * 10 + deletion->call;
    assert_int_equal(deletion->requested_at_ms, 10 * deletion->call);
    assert_int_equal(deletion->pid, INT32_MAX);
    assert_int_equal(deletion->birth, UINT32_MAX);
    assert_int_equal(deletion->key_sha256[31], deletion->call);
    return true;
}

/* The calls of a box as digits, in the order of their slots. */
static uint64_t calls_of(fixture_t *f, const char *id)
{
    uint64_t total = 0;
    assert_int_equal(store_each_deletion(f->store, str_from(id), sum, &total), STORE_OK);
    return total;
}

static bool is_call(const store_deletion_t *deletion, void *call)
{
    return deletion->call == *(uint64_t *)call;
}

static store_result_t end(fixture_t *f, const char *id, uint64_t call)
{
    return store_end_deletions(f->store, str_from(id), is_call, &call);
}

static bool take(const store_deletion_t *deletion, void *arg)
{
    store_deletion_t **at = arg;
    *(*at)++ = *deletion;
    return true;
}

/* A damaged record hides the previews of its box until it is closed and ended, like any other. */
static void damaged_records(void **state)
{
    fixture_t *f = *state;
    store_deletion_t all[4], *end_of_all = all;
    put(f, "box", 7);
    put(f, "box-2", 8);
    fixture_flip(f, "deletions", STR("\3box\1"));
    assert_int_equal(store_is_being_deleted(f->store, STR("box")), STORE_FAILED);
    put(f, "box", 9);
    assert_int_equal(store_each_deletion(f->store, STR("box"), take, &end_of_all), STORE_OK);
    assert_int_equal(end_of_all - all, 2);
    assert_true(all[0].slot == 1 && all[0].requested_at_ms == 0 && all[1].slot == 2 && all[1].call == 9);
    assert_int_equal(end(f, "box", 9), STORE_OK);
    assert_int_equal(store_is_being_deleted(f->store, STR("box")), STORE_OK);
    assert_int_equal(store_close_deletion(f->store, &all[0], 555), STORE_OK);
    end_of_all = all;
    assert_int_equal(store_each_deletion(f->store, STR("box"), take, &end_of_all), STORE_OK);
    assert_int_equal(end_of_all - all, 1);
    assert_true(all[0].closed_at_ms == 555 && all[0].requested_at_ms == 555);
    assert_int_equal(store_end_deletions(f->store, STR("box"), NULL, NULL), STORE_OK);
    assert_int_equal(store_is_being_deleted(f->store, STR("box")), STORE_NOT_FOUND);
    assert_int_equal(calls_of(f, ""), 8);
}

/* A later one does not take the place of a sound one. */
static void a_slot_beside_a_damaged_record(void **state)
{
    fixture_t *f = *state;
    store_deletion_t all[4], *end_of_all = all;
    put(f, "box", 7);
    fixture_flip(f, "deletions", STR("\3box\1"));
    put(f, "box", 8);
    put(f, "box", 9);
    assert_int_equal(store_each_deletion(f->store, STR("box"), take, &end_of_all), STORE_OK);
    assert_int_equal(end_of_all - all, 3);
    assert_true(all[1].call == 8 && all[2].call == 9);
}

static void noted_and_ended(void **state)
{
    fixture_t *f = *state;
    assert_int_equal(store_is_being_deleted(f->store, STR("box")), STORE_NOT_FOUND);
    put(f, "box", 1);
    put(f, "box", 2);
    put(f, "box", 3);
    put(f, "box-2", 4);
    assert_int_equal(store_is_being_deleted(f->store, STR("box")), STORE_OK);
    assert_int_equal(calls_of(f, "box"), 123);
    assert_int_equal(calls_of(f, ""), 1234);
    assert_int_equal(end(f, "box", 1), STORE_OK); /* the first slot is taken by another one */
    assert_int_equal(end(f, "box", 1), STORE_NOT_FOUND);
    assert_int_equal(calls_of(f, "box"), 23);
    store_close(&f->store);
    fixture_open(f, FIXTURE_MAP_BYTES);
    assert_int_equal(store_is_being_deleted(f->store, STR("box")), STORE_OK);
    assert_int_equal(store_end_deletions(f->store, STR("box"), NULL, NULL), STORE_OK);
    assert_int_equal(store_is_being_deleted(f->store, STR("box")), STORE_NOT_FOUND);
    assert_int_equal(calls_of(f, ""), 4);
}

static bool closed_at(const store_deletion_t *deletion, void *arg)
{
    *(uint64_t *)arg = deletion->closed_at_ms;
    return true;
}

static void closed(void **state)
{
    fixture_t *f = *state;
    uint64_t at = 1;
    put(f, "box", 1);
    store_deletion_t deletion = deletion_of("box", 1), other = deletion_of("box", 2);
    assert_int_equal(store_close_deletion(f->store, &deletion, 99), STORE_OK);
    assert_int_equal(store_close_deletion(f->store, &other, 99), STORE_NOT_FOUND);
    assert_int_equal(store_each_deletion(f->store, STR("box"), closed_at, &at), STORE_OK);
    assert_int_equal(at, 99);
}

static void all_or_none(void **state)
{
    fixture_t *f = *state;
    store_deletion_t some[3] = {deletion_of("a", 1), deletion_of("a", 2), deletion_of("-", 3)};
    assert_int_equal(store_put_deletions(f->store, some, 3), STORE_FAILED);
    assert_int_equal(calls_of(f, ""), 0);
    assert_int_equal(store_put_deletions(f->store, some, 2), STORE_OK); /* one box twice */
    assert_int_equal(calls_of(f, "a"), 12);
}

static void bounded(void **state)
{
    fixture_t *f = *state;
    store_deletion_t many[STORE_DELETIONS_AT_ONCE];
    for (uint64_t i = 0; i < STORE_DELETIONS_PER_BOX; i++)
        put(f, "box", 1);
    store_deletion_t deletion = deletion_of("box", 1);
    assert_int_equal(store_put_deletions(f->store, &deletion, 1), STORE_FULL);
    size_t count = STORE_DELETIONS_PER_BOX;
    for (unsigned id = 0; count < STORE_DELETIONS_MAX;) {
        size_t n = 0;
        for (; n < STORE_DELETIONS_AT_ONCE && count < STORE_DELETIONS_MAX; n++, count++, id++) {
            char text[16];
            (void)snprintf(text, sizeof(text), "b%u", id);
            many[n] = deletion_of(text, 1);
        }
        assert_int_equal(store_put_deletions(f->store, many, n), STORE_OK);
    }
    deletion = deletion_of("last", 1);
    assert_int_equal(store_put_deletions(f->store, &deletion, 1), STORE_FULL);
    assert_int_equal(store_end_deletions(f->store, STR("b0"), NULL, NULL), STORE_OK);
    assert_int_equal(store_put_deletions(f->store, &deletion, 1), STORE_OK);
}

/* An answer read before a deletion ended is older than its end; a writer's start and a full ring err that
 * way. */
static void ended_since(void **state)
{
    fixture_t *f = *state;
    uint64_t before = store_deletions_version(f->store);
    put(f, "box", 1);
    put(f, "box", 2);
    uint64_t pending = store_deletions_version(f->store);
    assert_false(store_deletion_ended_since(f->store, STR("box"), before)); /* it is pending */
    assert_int_equal(end(f, "box", 1), STORE_OK);
    assert_true(store_deletion_ended_since(f->store, STR("box"), before));
    assert_true(store_deletion_ended_since(f->store, STR("box"), pending));
    assert_false(store_deletion_ended_since(f->store, STR("other"), before));
    uint64_t between = store_deletions_version(f->store);
    assert_false(store_deletion_ended_since(f->store, STR("box"), between));
    assert_int_equal(end(f, "box", 2), STORE_OK);
    assert_true(store_deletion_ended_since(f->store, STR("box"), between));
    uint64_t after = store_deletions_version(f->store);
    store_close(&f->store);
    fixture_open(f, FIXTURE_MAP_BYTES);
    assert_true(store_deletion_ended_since(f->store, STR("other"), between));
    assert_false(store_deletion_ended_since(f->store, STR("box"), after));
}

static void many_ended(void **state)
{
    fixture_t *f = *state;
    put(f, "box", 1);
    uint64_t before = store_deletions_version(f->store);
    assert_int_equal(end(f, "box", 1), STORE_OK);
    for (size_t i = 0; i < STORE_ENDED_MAX - 1; i++) {
        put(f, "another", 2);
        assert_int_equal(end(f, "another", 2), STORE_OK);
    }
    assert_true(store_deletion_ended_since(f->store, STR("box"), before));
    assert_false(store_deletion_ended_since(f->store, STR("third"), before));
    put(f, "another", 2);
    assert_int_equal(end(f, "another", 2), STORE_OK);
    assert_true(store_deletion_ended_since(f->store, STR("box"), before));
    assert_true(store_deletion_ended_since(f->store, STR("third"), before)); /* nobody knows any more */
    assert_false(store_deletion_ended_since(f->store, STR("another"), store_deletions_version(f->store)));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(noted_and_ended), TEST(damaged_records), TEST(a_slot_beside_a_damaged_record),
        TEST(closed),          TEST(all_or_none),     TEST(bounded),
        TEST(ended_since),     TEST(many_ended)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
