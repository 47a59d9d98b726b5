/* The note that a store was created, and the store's behaviour with it. */
#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>

#include <lmdb.h>

#include "store_check.h"
#include "store_fixture.h"
#include "store_made.h"

static void path_of_note(const fixture_t *f, char path[128])
{
    snprintf(path, 128, "%s.made", f->durable);
}

static void write_note(const fixture_t *f, const char *text)
{
    char path[128];
    path_of_note(f, path);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static bool opens(fixture_t *f, bool writer, char error[512])
{
    store_t *store = store_open(f->durable, f->scratch, FIXTURE_MAP_BYTES, writer, error, 512);
    bool ok = store != NULL;
    store_close(&store);
    return ok;
}

static void move(const fixture_t *f, const char *name, bool away)
{
    char here[192], there[224];
    snprintf(here, sizeof(here), "%s/%s/data.mdb", f->durable, name);
    snprintf(there, sizeof(there), "%s.away", here);
    assert_int_equal(rename(away ? here : there, away ? there : here), 0);
}

static void test_a_missing_environment_is_refused(void **state)
{
    fixture_t *f = *state;
    char error[512] = "", dir[128];
    store_close(&f->store);
    assert_true(store_made_note(f->durable));
    assert_true(store_made_check(f->durable, error, sizeof(error)));
    for (size_t i = 0; i < STORE_DURABLE_COUNT; i++) {
        move(f, store_durable_names[i], true);
        assert_true(store_durable_dir(f->durable, store_durable_names[i], dir, sizeof(dir)));
        for (int writer = 0; writer < 2; writer++) {
            assert_false(opens(f, writer, error));
            assert_memory_equal(error, dir, strlen(dir));
            assert_non_null(strstr(error, ": data.mdb is missing, though the store was made"));
        }
        assert_false(store_look(f->durable, f->scratch, FIXTURE_MAP_BYTES, error, sizeof(error)));
        assert_non_null(strstr(error, ": data.mdb is missing, though the store was made"));
        move(f, store_durable_names[i], false);
        assert_true(opens(f, true, error));
    }
}

/* A later edge adds environments: this one must find them too, so that it creates none of them empty. */
static void test_lines_of_the_note(void **state)
{
    fixture_t *f = *state;
    char error[512];
    store_close(&f->store);
    write_note(f, ".\nrules\nlater\n");
    assert_false(opens(f, true, error));
    assert_non_null(strstr(error, "/later: data.mdb is missing"));
    write_note(f, "later");
    assert_false(opens(f, true, error));
    static const char *const harmless[] = {
        "",
        "\n\n",
        ".\nrules",
        "../../x\n/etc\n",
        "rules\n\1\2\3\n",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n"};
    for (size_t i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++) {
        write_note(f, harmless[i]);
        assert_true(opens(f, true, error));
    }
}

static void test_a_note_is_completed(void **state)
{
    fixture_t *f = *state;
    char path[128];
    struct stat first, again;
    store_close(&f->store);
    write_note(f, ".\n");
    assert_true(store_made_note(f->durable));
    path_of_note(f, path);
    assert_int_equal(stat(path, &first), 0);
    assert_int_equal(first.st_size, strlen(".\nrules\nkeys\ndeletions\naliases\nlinks\n"));
    assert_true(store_made_note(f->durable)); /* changes nothing */
    assert_int_equal(stat(path, &again), 0);
    assert_true(first.st_ino == again.st_ino);
}

static void test_where_it_cannot_be_written(void **state)
{
    fixture_t *f = *state;
    char durable[128];
    snprintf(durable, sizeof(durable), "%s/nowhere/store", f->root);
    errno = 0;
    assert_false(store_made_note(durable));
    assert_int_equal(errno, ENOENT);
}

/* ---- a first start that did not become ready ---- */

typedef enum rest { REST_EMPTY, REST_PART, REST_ZEROS, REST_META, REST_MISSING, REST_COUNT } rest_t;

/* Leaves the file as a crash or a power cut would before the first commit. */
static void leave(const fixture_t *f, const char *name, rest_t rest)
{
    char dir[160], path[192], zeros[16384] = "";
    MDB_env *env;
    assert_true(store_durable_dir(f->durable, name, dir, sizeof(dir)));
    snprintf(path, sizeof(path), "%s/data.mdb", dir);
    if (rest == REST_MISSING || rest == REST_META)
        assert_int_equal(unlink(path), 0);
    if (rest == REST_META) {
        assert_int_equal(mdb_env_create(&env), 0);
        assert_int_equal(mdb_env_open(env, dir, 0, 0600), 0);
        mdb_env_close(env);
    }
    if (rest == REST_META || rest == REST_MISSING)
        return;
    int fd = open(path, O_WRONLY | O_CLOEXEC | (rest == REST_PART ? 0 : O_TRUNC));
    assert_true(fd >= 0);
    if (rest == REST_PART)
        assert_int_equal(ftruncate(fd, 4096), 0);
    if (rest == REST_ZEROS)
        assert_int_equal(write(fd, zeros, sizeof(zeros)), sizeof(zeros));
    close(fd);
}

static void print_finding(store_check_kind_t kind, const char *sentence, void *arg)
{
    (void)kind;
    print_error("%s\n", sentence);
    ++*(size_t *)arg;
}

static void test_a_first_start_goes_on(void **state)
{
    fixture_t *f = *state;
    char error[512] = "";
    store_close(&f->store);
    for (size_t i = 0; i < STORE_DURABLE_COUNT; i++)
        for (rest_t rest = 0; rest < REST_COUNT; rest++) {
            size_t findings = 0;
            const store_check_calls_t calls = {.finding = print_finding, .arg = &findings};
            store_check_sum_t sum;
            leave(f, store_durable_names[i], rest);
            if (!store_look(f->durable, f->scratch, FIXTURE_MAP_BYTES, error, sizeof(error)))
                fail_msg("%s, %d: %s", store_durable_names[i], (int)rest, error);
            store_check(f->durable, f->scratch, false, &calls, &sum);
            assert_int_equal(findings, 0);
            assert_false(opens(f, false, error));
            assert_non_null(strstr(error, "there is no store yet"));
            if (!opens(f, true, error))
                fail_msg("%s, %d: %s", store_durable_names[i], (int)rest, error);
            assert_true(opens(f, false, error));
        }
}

/* A store that was in use has lost records, with or without the note of a ready one. */
static void test_an_empty_part_of_a_store_in_use(void **state)
{
    fixture_t *f = *state;
    char error[512] = "";
    store_close(&f->store);
    assert_true(store_made_note(f->durable));
    for (size_t i = 0; i < STORE_DURABLE_COUNT; i++)
        for (rest_t rest = 0; rest < REST_COUNT; rest++) {
            char path[192], kept[224];
            move(f, store_durable_names[i], true);
            snprintf(path, sizeof(path), "%s/%s/data.mdb", f->durable, store_durable_names[i]);
            snprintf(kept, sizeof(kept), "%s.away", path);
            assert_int_equal(close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)), 0);
            leave(f, store_durable_names[i], rest);
            assert_false(store_look(f->durable, f->scratch, FIXTURE_MAP_BYTES, error, sizeof(error)));
            assert_non_null(strstr(error, ": data.mdb "));
            assert_false(opens(f, true, error));
            move(f, store_durable_names[i], false);
        }
    char path[128];
    path_of_note(f, path);
    assert_int_equal(unlink(path), 0);
    fixture_open(f, FIXTURE_MAP_BYTES);
    store_preview_t preview = fixture_preview("a", 80);
    assert_int_equal(store_put_preview(f->store, &preview), STORE_OK);
    store_close(&f->store);
    leave(f, "keys", REST_EMPTY);
    assert_false(opens(f, true, error));
    assert_non_null(strstr(error, "/keys: data.mdb is empty"));
    leave(f, ".", REST_EMPTY);
    leave(f, "keys", REST_MISSING);
    assert_true(opens(f, true, error));
}

/* ---- on disk ---- */

static ino_t synced[64];
static size_t syncs;

/* Replaces the C library's. */
int fsync(int fd)
{
    struct stat st;
    if (fstat(fd, &st) == 0)
        synced[syncs++ % 64] = st.st_ino;
    return (int)syscall(SYS_fsync, fd);
}

static bool is_synced(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    for (size_t i = 0; i < syncs; i++)
        if (synced[i] == st.st_ino)
            return true;
    return false;
}

/* A power cut must not keep the note but lose the names of the files that it lists. */
static void test_names_are_on_disk_before_the_note(void **state)
{
    fixture_t *f = *state;
    char dir[160];
    syncs = 0;
    assert_true(store_made_note(f->durable));
    for (size_t i = 0; i < STORE_DURABLE_COUNT; i++) {
        assert_true(store_durable_dir(f->durable, store_durable_names[i], dir, sizeof(dir)));
        assert_true(is_synced(dir));
    }
    assert_true(is_synced(f->root));
}

static int teardown(void **state)
{
    char path[128];
    path_of_note(*state, path);
    (void)unlink(path);
    return fixture_teardown(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_missing_environment_is_refused, fixture_setup, teardown),
        cmocka_unit_test_setup_teardown(test_lines_of_the_note, fixture_setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_note_is_completed, fixture_setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_first_start_goes_on, fixture_setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_empty_part_of_a_store_in_use, fixture_setup, teardown),
        cmocka_unit_test_setup_teardown(test_names_are_on_disk_before_the_note, fixture_setup, teardown),
        cmocka_unit_test_setup_teardown(test_where_it_cannot_be_written, fixture_setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
