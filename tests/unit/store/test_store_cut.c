/* Store files that are shorter than their pages. */
#include <fcntl.h>
#include <stdlib.h>

#include "env_meta.h"
#include "env_pages.h"
#include "store_check.h"
#include "store_copy.h"
#include "store_fixture.h"

static void put(fixture_t *f, const char *id)
{
    store_preview_t preview = fixture_preview(id, 80);
    assert_int_equal(store_put_preview(f->store, &preview), STORE_OK);
}

/* Fills the store until each of its files has more than its first pages. */
static void fill(fixture_t *f)
{
    for (int i = 0; i < 200; i++) {
        char id[16];
        snprintf(id, sizeof(id), "box-%d", i);
        put(f, id);
    }
}

static off_t file_size(const char *path)
{
    struct stat file;
    assert_int_equal(stat(path, &file), 0);
    return file.st_size;
}

/* The last page that the commit uses: a copy without it cannot be walked. */
static off_t last_used(const char *path)
{
    off_t page = file_size(path) / 4096;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    env_meta_t meta;
    char error[256];
    static const env_pages_calls_t none = {.entry = NULL};
    assert_true(env_meta_read(fd, false, 0, &meta, error, sizeof(error)));
    close(fd);
    char copy[] = "/dev/shm/boxedge-test-XXXXXX", bytes[4096];
    int from = open(path, O_RDONLY | O_CLOEXEC), to = mkstemp(copy);
    assert_true(from >= 0 && to >= 0);
    for (off_t at = 0; at < page; at++) {
        assert_int_equal(pread(from, bytes, sizeof(bytes), at * 4096), sizeof(bytes));
        assert_int_equal(pwrite(to, bytes, sizeof(bytes), at * 4096), sizeof(bytes));
    }
    do {
        assert_true(page > 2);
        assert_int_equal(ftruncate(to, --page * 4096), 0);
    } while (env_pages_walk(to, &meta, STR("records"), &none, error, sizeof(error)) == ENV_PAGES_GOOD);
    close(from);
    close(to);
    assert_int_equal(unlink(copy), 0);
    return page;
}

/* For a writer and a reader, at every length to which it may have been cut. */
static void expect_cut(fixture_t *f, const char *dir, const char *advice)
{
    char path[192], name[192], error[512];
    snprintf(path, sizeof(path), "%s/data.mdb", dir);
    snprintf(name, sizeof(name), "%s: data.mdb is ", dir);
    off_t whole = file_size(path);
    const off_t cuts[] = {0, 1, 4096, 8192, whole / 2, last_used(path) * 4096, last_used(path) * 4096 + 1};
    for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
        assert_int_equal(truncate(path, cuts[i]), 0);
        for (int writer = 0; writer < 2; writer++) {
            store_t *store =
                store_open(f->durable, f->scratch, FIXTURE_MAP_BYTES, writer, error, sizeof(error));
            assert_null(store);
            assert_memory_equal(error, name, strlen(name));
            assert_non_null(strstr(error, advice));
            /* A salvage finds the store unchanged. */
            assert_int_equal(file_size(path), cuts[i]);
        }
    }
}

static void test_a_file_cut_short(void **state)
{
    fixture_t *f = *state;
    fill(f);
    store_cookie_keys_t keys = {.rotated_at = 1};
    assert_int_equal(store_put_cookie_keys(f->store, &keys), STORE_OK);
    store_close(&f->store);
    expect_cut(f, f->durable, "move it away");
}

static size_t findings;

static void count_finding(store_check_kind_t kind, const char *sentence, void *arg)
{
    (void)kind;
    (void)sentence;
    (void)arg;
    findings++;
}

/* A power cut can undo the extension of a file to its last page: the disk has all pages in use, but none
 * behind them. */
static void test_a_file_without_its_free_end(void **state)
{
    static const store_check_calls_t calls = {.finding = count_finding};
    fixture_t *f = *state;
    char path[192], copy[192], error[512] = "";
    fill(f);
    for (int i = 0; i < 200; i++) {
        char id[16];
        snprintf(id, sizeof(id), "box-%d", i);
        assert_int_equal(store_delete_preview(f->store, str_from(id), 80), STORE_OK);
    }
    snprintf(path, sizeof(path), "%s/data.mdb", f->durable);
    snprintf(copy, sizeof(copy), "%s/copy", f->root);
    for (int i = 0; i == 0 || (last_used(path) + 1) * 4096 == file_size(path); i++) {
        char id[16];
        assert_true(i < 100); /* the pages that a change touches move to the lowest free ones */
        snprintf(id, sizeof(id), "more-%d", i);
        put(f, id);
        assert_int_equal(store_delete_preview(f->store, str_from(id), 80), STORE_OK);
        put(f, "a");
    }
    off_t whole = file_size(path), used = last_used(path) + 1;
    store_close(&f->store);
    for (off_t pages = used; pages * 4096 < whole; pages++) {
        store_check_sum_t sum;
        assert_int_equal(truncate(path, pages * 4096), 0);
        assert_true(store_look(f->durable, f->scratch, FIXTURE_MAP_BYTES, error, sizeof(error)));
        store_check(f->durable, f->scratch, false, &calls, &sum);
        assert_int_equal(findings, 0);
        assert_true(store_copy(f->durable, false, copy, error, sizeof(error)));
        store_check(copy, NULL, false, &calls, &sum);
        assert_int_equal(findings, 0);
        store_copy_remove(copy);
        store_t *reader = store_open(f->durable, f->scratch, FIXTURE_MAP_BYTES, false, error, sizeof(error));
        assert_non_null(reader);
        store_close(&reader);
        assert_int_equal(file_size(path), pages * 4096);
        /* The writer repairs it. */
        fixture_open(f, FIXTURE_MAP_BYTES);
        assert_true(store_whole(f->store));
        assert_int_equal(file_size(path), whole);
        assert_int_equal(fixture_listed(f->store), 1);
        store_close(&f->store);
    }
    fixture_open(f, FIXTURE_MAP_BYTES);
    for (int i = 0; i < 200; i++)
        put(f, i % 2 != 0 ? "b" : "c");
    assert_int_equal(fixture_listed(f->store), 3);
}

static void test_another_file_cut_short(void **state)
{
    fixture_t *f = *state;
    char dir[128];
    fill(f);
    store_close(&f->store);
    snprintf(dir, sizeof(dir), "%s/keys", f->durable);
    expect_cut(f, dir, "move it away");
}

static void test_the_volatile_file_cut_short(void **state)
{
    fixture_t *f = *state;
    store_close(&f->store);
    expect_cut(f, f->scratch, "remove it");
}

/* Within a test: cmocka has replaced the handlers of the guard since the setup. */
static void reopen(fixture_t *f)
{
    store_close(&f->store);
    fixture_open(f, FIXTURE_MAP_BYTES);
}

static void test_cut_short_while_it_is_open(void **state)
{
    fixture_t *f = *state;
    char path[128];
    fill(f);
    reopen(f);
    assert_true(store_whole(f->store));
    snprintf(path, sizeof(path), "%s/data.mdb", f->durable);
    off_t whole = file_size(path);
    const off_t cuts[] = {whole / 2, 8192, 4096, 1, 0}; /* the last three have cut the meta pages off */
    char metas[8192];
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(pread(fd, metas, sizeof(metas), 0), sizeof(metas));
    for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
        assert_int_equal(ftruncate(fd, cuts[i]), 0);
        assert_false(store_whole(f->store));
        assert_int_equal(ftruncate(fd, whole), 0);
        assert_int_equal(pwrite(fd, metas, sizeof(metas), 0), sizeof(metas));
        assert_true(store_whole(f->store));
    }
    close(fd);
}

static bool list_fails(fixture_t *f)
{
    size_t count = 0;
    store_result_t result = store_each_preview(f->store, fixture_count, &count);
    assert_true(result == STORE_FAILED || count == 200);
    return result == STORE_FAILED;
}

/* A list has all records, or fails: callers treat missing records as deleted. */
static void test_a_list_is_whole_or_fails(void **state)
{
    fixture_t *f = *state;
    char path[128], zeros[4096] = "";
    size_t failed = 0, faulted = 0;
    fill(f);
    reopen(f);
    snprintf(path, sizeof(path), "%s/data.mdb", f->durable);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    off_t whole = file_size(path);
    char *kept = malloc((size_t)whole);
    assert_non_null(kept);
    assert_int_equal(pread(fd, kept, (size_t)whole, 0), whole);
    for (off_t at = 8192; at < whole; at += 4096) {
        assert_int_equal(pwrite(fd, zeros, sizeof(zeros), at), sizeof(zeros));
        failed += list_fails(f);
        assert_int_equal(ftruncate(fd, at), 0); /* a fault for this page and all behind it */
        faulted += list_fails(f);
        assert_int_equal(pwrite(fd, kept, (size_t)whole, 0), whole);
    }
    assert_true(failed > 3 && faulted > 3);
    close(fd);
    free(kept);
    assert_int_equal(fixture_listed(f->store), 200);
}

/* The owner of an unreadable alias is not another box. */
static void test_an_alias_that_cannot_be_read(void **state)
{
    fixture_t *f = *state;
    char path[128], zeros[4096] = "";
    for (int i = 0; i < 100; i++) {
        char alias[24];
        snprintf(alias, sizeof(alias), "alias-%d", i);
        assert_int_equal(store_claim_alias(f->store, str_from(alias), STR("box-1")), STORE_OK);
    }
    reopen(f);
    store_preview_t preview = fixture_preview("box-1", 80);
    snprintf(preview.alias, sizeof(preview.alias), "alias-7");
    assert_int_equal(store_put_preview(f->store, &preview), STORE_OK);
    snprintf(path, sizeof(path), "%s/aliases/data.mdb", f->durable);
    off_t whole = file_size(path);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    char *kept = malloc((size_t)whole);
    assert_true(fd >= 0 && kept != NULL);
    assert_int_equal(pread(fd, kept, (size_t)whole, 0), whole);
    for (off_t at = 8192; at < whole; at += 4096)
        assert_int_equal(pwrite(fd, zeros, sizeof(zeros), at), sizeof(zeros));
    assert_int_equal(store_put_preview(f->store, &preview), STORE_FAILED);
    assert_int_equal(pwrite(fd, kept, (size_t)whole, 0), whole);
    assert_int_equal(store_put_preview(f->store, &preview), STORE_OK);
    close(fd);
    free(kept);
}

/* Each would have ended the process: by SIGBUS, or by an assertion of LMDB. */
static void test_reads_of_damaged_pages(void **state)
{
    fixture_t *f = *state;
    char path[128], zeros[4096] = "";
    store_preview_t preview;
    fill(f);
    snprintf(path, sizeof(path), "%s/data.mdb", f->durable);
    off_t whole = file_size(path);
    for (int kind = 0; kind < 2; kind++) {
        fixture_t other = *f;
        store_close(&f->store);
        fixture_open(&other, FIXTURE_MAP_BYTES);
        assert_int_equal(store_get_preview(other.store, STR("box-7"), 80, &preview), STORE_OK);
        assert_false(store_damaged(other.store));
        int fd = open(path, O_RDWR | O_CLOEXEC);
        char *kept = malloc((size_t)whole);
        assert_non_null(kept);
        assert_int_equal(pread(fd, kept, (size_t)whole, 0), whole);
        if (kind == 0)
            assert_int_equal(ftruncate(fd, 8192), 0);
        for (off_t at = 8192; kind == 1 && at < whole; at += 4096)
            assert_int_equal(pwrite(fd, zeros, sizeof(zeros), at), sizeof(zeros));
        for (int i = 0; i < 3; i++)
            assert_int_equal(store_get_preview(other.store, STR("box-7"), 80, &preview), STORE_FAILED);
        assert_int_equal(store_each_preview(other.store, fixture_count, &(size_t){0}), STORE_FAILED);
        if (!store_damaged(other.store))
            fail_msg("%d: %s", kind, store_error(other.store));
        assert_int_equal(store_get_preview(other.store, STR("box-7"), 80, &preview), STORE_FAILED);
        assert_false(store_bad_record(other.store));
        assert_int_equal(store_each_block(other.store, NULL, NULL), STORE_OK);
        assert_int_equal(pwrite(fd, kept, (size_t)whole, 0), whole);
        close(fd);
        free(kept);
        assert_int_equal(store_get_preview(other.store, STR("box-7"), 80, &preview), STORE_OK);
        store_close(&other.store);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_file_cut_short, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_a_file_without_its_free_end, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_another_file_cut_short, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_the_volatile_file_cut_short, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_cut_short_while_it_is_open, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_a_list_is_whole_or_fails, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_an_alias_that_cannot_be_read, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_reads_of_damaged_pages, fixture_setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
