/* Copies of a store in use and of one at rest, and a copy in the place of a store. */
#include "store_copy.h"

#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "store_check.h"
#include "store_fixture.h"
#include "store_made.h"

static void print(store_check_kind_t kind, const char *sentence, void *arg)
{
    (void)kind;
    (void)arg;
    print_error("%s\n", sentence);
}

static void expect_whole(const char *dir)
{
    const store_check_calls_t calls = {.finding = print};
    store_check_sum_t sum;
    store_check(dir, NULL, false, &calls, &sum);
    assert_int_equal(sum.findings, 0);
    assert_int_equal(sum.environments, 6);
}

/* Copies in a separate process, like the command. */
static void copy_beside(const fixture_t *f, bool in_use, const char *to)
{
    char error[512] = "";
    int status;
    pid_t child = fork();
    if (child == 0) {
        bool ok = store_copy(f->durable, in_use, to, error, sizeof(error));
        fputs(error, stderr);
        _exit(ok ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void put(store_t *store, size_t i)
{
    char id[32];
    snprintf(id, sizeof(id), "box-%zu", i);
    store_preview_t preview = fixture_preview(id, 80);
    assert_int_equal(store_put_preview(store, &preview), STORE_OK);
}

static void clear(const char *dir)
{
    char command[256];
    snprintf(command, sizeof(command), "rm -rf '%s'", dir);
    assert_int_equal(system(command), 0);
}

/* After each of the first commits: the meta pages of a copy follow each other, and it can be changed. */
static void test_each_commit(void **state)
{
    fixture_t *f = *state;
    char to[128], scratch[128], error[512] = "";
    snprintf(to, sizeof(to), "%s/copy", f->root);
    snprintf(scratch, sizeof(scratch), "%s/copy-boxes", f->root);
    for (size_t i = 0; i < 6; i++) {
        copy_beside(f, i % 2 == 0, to);
        expect_whole(to);
        assert_int_equal(mkdir(scratch, 0700), 0);
        store_t *store = store_open(to, scratch, FIXTURE_MAP_BYTES, true, error, sizeof(error));
        if (store == NULL)
            fail_msg("%s", error);
        assert_int_equal(fixture_listed(store), i);
        for (size_t k = 0; k < 5; k++)
            put(store, 100 + k);
        assert_int_equal(fixture_listed(store), i + 5);
        store_close(&store);
        expect_whole(to);
        clear(to);
        clear(scratch);
        put(f->store, i);
    }
}

/* Each copy that is made while this process commits is whole, and none is older than the one before. */
static void test_while_it_changes(void **state)
{
    fixture_t *f = *state;
    char to[128], error[512] = "";
    int status;
    pid_t child = fork();
    if (child == 0) {
        for (int i = 0; i < 20; i++) {
            snprintf(to, sizeof(to), "%s/copy%d", f->root, i);
            if (!store_copy(f->durable, true, to, error, sizeof(error))) {
                fputs(error, stderr);
                _exit(1);
            }
        }
        _exit(0);
    }
    size_t puts = 0;
    while (waitpid(child, &status, WNOHANG) == 0) {
        /* A copy keeps the pages that commits replace, and commits without a disk are fast: the map may be
         * full until it ends. */
        store_preview_t preview = fixture_preview("box", (uint16_t)(80 + puts % 500));
        store_result_t result = store_put_preview(f->store, &preview);
        assert_true(result == STORE_OK || result == STORE_FULL);
        puts += result == STORE_OK;
    }
    assert_int_equal(status, 0);
    for (int i = 0; i < 20; i++) {
        snprintf(to, sizeof(to), "%s/copy%d", f->root, i);
        expect_whole(to);
        clear(to);
    }
    print_message("20 copies beside %zu commits\n", puts);
}

static void test_in_the_place_of_a_store(void **state)
{
    fixture_t *f = *state;
    char fresh[128], kept[128], error[512] = "";
    snprintf(fresh, sizeof(fresh), "%s/fresh", f->root);
    snprintf(kept, sizeof(kept), "%s/kept", f->root);
    put(f->store, 1);
    copy_beside(f, true, fresh);
    put(f->store, 2);
    store_preview_t last = fixture_preview("last", 80), next = fixture_preview("next", 80);
    assert_int_equal(store_put_preview(f->store, &last), STORE_OK);
    store_close(&f->store);
    /* No record yields its place to the former store. */
    assert_int_equal(mkdir(kept, 0700), 0);
    assert_false(store_copy_swap(fresh, f->durable, kept, error, sizeof(error)));
    assert_non_null(strstr(error, "File exists"));
    expect_whole(fresh);
    expect_whole(f->durable);
    assert_int_equal(rmdir(kept), 0);
    if (!store_copy_prepare(fresh, (uid_t)-1, (gid_t)-1, error, sizeof(error)) ||
        !store_copy_swap(fresh, f->durable, kept, error, sizeof(error)))
        fail_msg("%s", error);
    expect_whole(f->durable);
    expect_whole(kept);
    fixture_open(f, FIXTURE_MAP_BYTES);
    assert_int_equal(fixture_listed(f->store), 1);
    /* No version from after the copy is used again: sessions are bound to it. */
    assert_int_equal(store_put_preview(f->store, &next), STORE_OK);
    assert_true(next.version > last.version + STORE_COPY_SKIP / 2);
    clear(kept);
}

/* ---- on disk ---- */

/* The synced files and directories, with their link counts at that time: a directory has one for each below
 * it. */
static struct synced {
    ino_t inode;
    nlink_t links;
} synced[64];
static size_t syncs;

/* Replaces the C library's. */
int fsync(int fd)
{
    struct stat st;
    if (fstat(fd, &st) == 0)
        synced[syncs++ % 64] = (struct synced){st.st_ino, st.st_nlink};
    return (int)syscall(SYS_fsync, fd);
}

static void expect_synced(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    for (size_t i = 0; i < syncs; i++)
        if (synced[i].inode == st.st_ino && synced[i].links == st.st_nlink)
            return;
    fail_msg("%s is not on disk", path);
}

static void expect_store_synced(const char *dir)
{
    char place[160], path[192];
    for (size_t i = 0; i < STORE_DURABLE_COUNT; i++) {
        assert_true(store_durable_dir(dir, store_durable_names[i], place, sizeof(place)));
        snprintf(path, sizeof(path), "%s/data.mdb", place);
        expect_synced(place);
        expect_synced(path);
    }
    syncs = 0;
}

static void test_copies_are_on_disk(void **state)
{
    fixture_t *f = *state;
    char fresh[128], to[128], error[512] = "";
    snprintf(fresh, sizeof(fresh), "%s/fresh", f->root);
    snprintf(to, sizeof(to), "%s/copy", f->root);
    put(f->store, 1);
    store_close(&f->store);
    syncs = 0;
    assert_true(store_copy(f->durable, false, fresh, error, sizeof(error)));
    expect_store_synced(fresh);
    assert_true(store_copy_prepare(fresh, getuid(), getgid(), error, sizeof(error)));
    expect_store_synced(fresh);
    assert_int_equal(rename(fresh, to), 0);
    assert_true(store_copy_keep_name(to, error, sizeof(error)));
    expect_synced(f->root);
    store_copy_remove(to);
    assert_false(store_copy_keep_name("/nowhere/at/all", error, sizeof(error)));
    assert_non_null(strstr(error, "/nowhere/at/all is complete, but a power cut may take away its name"));
}

static void test_what_cannot_be_copied(void **state)
{
    fixture_t *f = *state;
    char to[128], path[192], error[512] = "";
    struct stat st;
    snprintf(to, sizeof(to), "%s/copy", f->root);
    store_close(&f->store);
    assert_false(store_copy("/nowhere/at/all", false, to, error, sizeof(error)));
    assert_non_null(strstr(error, "there is no store in /nowhere/at/all"));
    assert_false(store_copy(f->durable, false, "/nowhere/at/all", error, sizeof(error)));
    assert_non_null(strstr(error, "cannot be made: No such file or directory"));
    assert_int_equal(mkdir(to, 0700), 0);
    assert_false(store_copy(f->durable, false, to, error, sizeof(error)));
    assert_non_null(strstr(error, "cannot be made: File exists"));
    assert_int_equal(rmdir(to), 0);
    snprintf(path, sizeof(path), "%s/keys/data.mdb", f->durable);
    assert_int_equal(truncate(path, 8192), 0);
    assert_false(store_copy(f->durable, false, to, error, sizeof(error)));
    assert_non_null(strstr(error, "/keys: data.mdb is cut short"));
    assert_int_equal(stat(to, &st), -1);
    assert_int_equal(unlink(path), 0);
    fixture_open(f, FIXTURE_MAP_BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_each_commit, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_while_it_changes, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_in_the_place_of_a_store, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_copies_are_on_disk, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_what_cannot_be_copied, fixture_setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
