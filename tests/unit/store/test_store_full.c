/* A store without room: no record is lost, none is half changed, and it can be emptied again. */
#include <signal.h>
#include <sys/resource.h>

#include "store_fixture.h"

#define SMALL_MAP_BYTES (256u << 10)

static int setup_small(void **state)
{
    fixture_t *f = malloc(sizeof(*f));
    assert_non_null(f);
    fixture_make(f);
    fixture_open(f, SMALL_MAP_BYTES);
    *state = f;
    return 0;
}

static store_preview_t numbered(size_t i)
{
    char id[32];
    snprintf(id, sizeof(id), "box-%zu", i * 7919 % 100000);
    return fixture_preview(id, (uint16_t)(i + 1));
}

/* Puts previews until the store is full; returns the number that it accepted. */
static size_t fill(store_t *store, size_t from)
{
    for (size_t i = from; i < 60000; i++) {
        store_preview_t preview = numbered(i);
        store_result_t result = store_put_preview(store, &preview);
        if (result == STORE_FULL)
            return i;
        assert_int_equal(result, STORE_OK);
    }
    fail_msg("never full");
    return 0;
}

static void expect_exactly(store_t *store, size_t count)
{
    store_preview_t got, wanted;
    store_stats_t stats;
    for (size_t i = 0; i < count; i++) {
        wanted = numbered(i);
        assert_int_equal(store_get_preview(store, str_from(wanted.id), wanted.port, &got), STORE_OK);
        assert_int_equal(got.created_at, wanted.created_at);
    }
    wanted = numbered(count);
    assert_int_equal(store_get_preview(store, str_from(wanted.id), wanted.port, &got), STORE_NOT_FOUND);
    assert_int_equal(store_get_stats(store, &stats), STORE_OK);
    assert_int_equal(stats.previews, count);
}

static void test_full_map(void **state)
{
    fixture_t *f = *state;
    size_t count = fill(f->store, 0);
    assert_true(count > 200);
    assert_non_null(strstr(store_error(f->store), "full"));
    expect_exactly(f->store, count);
    /* It stays full, in this process and the next. */
    store_preview_t another = numbered(count);
    assert_int_equal(store_put_preview(f->store, &another), STORE_FULL);
    store_close(&f->store);
    fixture_open(f, SMALL_MAP_BYTES);
    assert_int_equal(store_put_preview(f->store, &another), STORE_FULL);
    expect_exactly(f->store, count);
}

/* Replacing needs free pages too, and still succeeds any number of times. */
static void test_full_map_replaces(void **state)
{
    fixture_t *f = *state;
    size_t count = fill(f->store, 0);
    uint64_t version = 0;
    for (size_t round = 0; round < 3; round++) {
        for (size_t i = 0; i < count; i += 3) {
            store_preview_t preview = numbered(i);
            assert_int_equal(store_put_preview(f->store, &preview), STORE_OK);
            assert_true(preview.version > version);
            version = preview.version;
        }
    }
    expect_exactly(f->store, count);
}

static void test_full_map_is_emptied(void **state)
{
    fixture_t *f = *state;
    size_t count = fill(f->store, 0);
    for (size_t i = count; i-- > 0;) {
        store_preview_t preview = numbered(i);
        assert_int_equal(store_delete_preview(f->store, str_from(preview.id), preview.port), STORE_OK);
    }
    expect_exactly(f->store, 0);
    /* The room has returned, and no more: new records did not use the reserve, four times the map. */
    size_t again = fill(f->store, 0);
    assert_true(again >= count * 9 / 10 && again < count * 2);
}

/* All of the changes or none. */
static void test_full_map_and_several_changes(void **state)
{
    fixture_t *f = *state;
    size_t count = fill(f->store, 0);
    enum { CHANGES = 1000 };
    static store_change_t changes[CHANGES];
    for (size_t i = 0; i < CHANGES; i++)
        changes[i] = (store_change_t){.preview = numbered(count + i)};
    changes[0] = (store_change_t){.remove = true, .preview = numbered(0)};
    assert_int_equal(store_apply(f->store, changes, CHANGES), STORE_FULL);
    for (size_t i = 0; i < CHANGES; i++)
        assert_int_equal(changes[i].result, STORE_FULL);
    expect_exactly(f->store, count);
    /* The delete alone succeeds. */
    assert_int_equal(store_apply(f->store, changes, 1), STORE_OK);
    assert_int_equal(changes[0].result, STORE_OK);
}

static void test_full_boxes(void **state)
{
    fixture_t *f = *state;
    size_t count = 0;
    store_result_t result = STORE_OK;
    store_box_t box, got;
    char id[32];
    for (; result == STORE_OK; count++) {
        assert_true(count < 60000);
        snprintf(id, sizeof(id), "box-%zu", count);
        box = fixture_box(id, BOX_RUNNING);
        result = store_put_box(f->store, &box);
    }
    assert_int_equal(result, STORE_FULL);
    count--;
    /* A known box still changes its state: a full store must not report a paused box as running. */
    for (size_t i = 0; i < count; i++) {
        snprintf(id, sizeof(id), "box-%zu", i);
        box = fixture_box(id, BOX_PAUSED);
        assert_int_equal(store_put_box(f->store, &box), STORE_OK);
    }
    for (size_t i = 0; i < count; i++) {
        snprintf(id, sizeof(id), "box-%zu", i);
        assert_int_equal(store_get_box(f->store, str_from(id), &got), STORE_OK);
        assert_int_equal(got.state, BOX_PAUSED);
        assert_int_equal(store_delete_box(f->store, str_from(id)), STORE_OK);
    }
    /* If one half is full, the other one still works. */
    store_preview_t preview = numbered(0);
    assert_int_equal(store_put_preview(f->store, &preview), STORE_OK);
}

/* No file may grow beyond `bytes`; 0: any may. */
static void limit_files(rlim_t bytes)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    struct rlimit limit;
    assert_int_equal(sigaction(SIGXFSZ, &ignore, NULL), 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes != 0 ? bytes : limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* The disk is full before the map is, at a size that lets a write of several pages begin or not. */
static void expect_survives_full_disk(rlim_t bytes)
{
    fixture_t f;
    fixture_make(&f);
    fixture_open(&f, FIXTURE_MAP_BYTES);
    limit_files(bytes);
    size_t count = fill(f.store, 0);
    assert_true(count > 50);
    expect_exactly(f.store, count);
    store_change_t change = {.preview = numbered(count)};
    assert_int_equal(store_apply(f.store, &change, 1), STORE_FULL);
    expect_exactly(f.store, count);
    uint64_t refused = change.preview.version;
    assert_true(refused > count);
    /* The disk has room again: the store continues with its records. A version that was seen is not used
     * again. */
    limit_files(0);
    assert_int_equal(store_apply(f.store, &change, 1), STORE_OK);
    assert_true(change.preview.version > refused);
    expect_exactly(f.store, count + 1);
    fixture_remove(&f);
}

static void test_full_disk(void **state)
{
    (void)state;
    for (rlim_t pages = 30; pages < 60; pages++)
        expect_survives_full_disk(pages * 4096);
    expect_survives_full_disk(40 * 4096 + 1);
    expect_survives_full_disk(41 * 4096 - 1);
}

/* Each half of the store keeps the reason of its trouble until it accepts a change. */
static void test_trouble_is_kept(void **state)
{
    fixture_t *f = *state;
    store_box_t box = fixture_box("other", BOX_RUNNING);
    assert_null(store_trouble(f->store, true).why);
    assert_string_equal(store_trouble(f->store, true).dir, f->durable);
    (void)fill(f->store, 0);
    store_trouble_t trouble = store_trouble(f->store, true);
    assert_true(trouble.failed >= 1 && store_in_trouble(f->store));
    assert_non_null(strstr(trouble.why, "store.map_size"));
    assert_int_equal(store_put_box(f->store, &box), STORE_OK);
    assert_non_null(store_trouble(f->store, true).why);
    assert_null(store_trouble(f->store, false).why);
    assert_string_equal(store_trouble(f->store, false).dir, f->scratch);
    store_preview_t first = numbered(0);
    assert_int_equal(store_delete_preview(f->store, str_from(first.id), first.port), STORE_OK);
    assert_null(store_trouble(f->store, true).why);
    assert_false(store_in_trouble(f->store));
    store_stats_t stats;
    assert_int_equal(store_get_stats(f->store, &stats), STORE_OK);
    assert_true(stats.durable_failed >= trouble.failed && stats.volatile_failed == 0);
}

/* Reader slots need no disk space later on: LMDB maps their file. */
static void test_reader_slots_have_room(void **state)
{
    fixture_t *f = *state;
    char path[128];
    struct stat file;
    snprintf(path, sizeof(path), "%s/lock.mdb", f->scratch);
    assert_int_equal(stat(path, &file), 0);
    assert_true(file.st_size >= 1024 * 64);
    assert_true((long long)file.st_blocks * 512 >= file.st_size);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_full_map, setup_small, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_full_map_replaces, setup_small, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_full_map_is_emptied, setup_small, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_full_map_and_several_changes, setup_small, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_full_boxes, setup_small, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_trouble_is_kept, setup_small, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_reader_slots_have_room, setup_small, fixture_teardown),
        cmocka_unit_test(test_full_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
