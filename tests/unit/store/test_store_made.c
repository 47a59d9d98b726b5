/* The note that a store was made, and the store's behaviour with it. */
#include <errno.h>
#include <fcntl.h>

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

/* A later edge adds environments: this one must find them too, so that it makes none of them empty. */
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
    assert_int_equal(first.st_size, strlen(".\nrules\nkeys\ndeletions\naliases\n"));
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
        cmocka_unit_test_setup_teardown(test_where_it_cannot_be_written, fixture_setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
