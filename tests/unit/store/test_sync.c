#include "sync.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "store_fixture.h"

/* A directory of "at" in the working directory; its name ends the path in each spelling. */
static void test_the_parent_of_each_spelling(void **state)
{
    fixture_t *f = *state;
    assert_int_equal(chdir(f->root), 0);
    static const char *const here[] = {"at", "at/", "at//", "./at", "/", "//"};
    for (size_t i = 0; i < sizeof(here) / sizeof(here[0]); i++)
        assert_true(sync_parent(here[i])); /* the parent exists, whether "at" does or not */
    char path[128];
    snprintf(path, sizeof(path), "%s/nowhere/at", f->root);
    assert_false(sync_parent(path));
    assert_int_equal(errno, ENOENT);
    assert_false(sync_path("at"));
    assert_int_equal(errno, ENOENT);
}

static void test_the_bound_of_a_path(void **state)
{
    (void)state;
    char path[4096 + 8];
    memset(path, 'a', sizeof(path));
    path[4096] = '/';
    path[4097] = '\0';
    assert_true(sync_parent(path)); /* a long name in the working directory */
    path[4095] = '/';
    path[4096] = 'b';
    assert_false(sync_parent(path));
    assert_int_equal(errno, ENAMETOOLONG);
}

/* /proc rejects fsync of files and of directories: EINVAL. */
static void test_a_directory_that_cannot_be_synced(void **state)
{
    (void)state;
    assert_true(sync_path("/proc/self"));
    assert_true(sync_parent("/proc/self/status"));
    assert_false(sync_path("/proc/self/status"));
    assert_int_equal(errno, EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_parent_of_each_spelling, fixture_setup, fixture_teardown),
        cmocka_unit_test(test_the_bound_of_a_path),
        cmocka_unit_test(test_a_directory_that_cannot_be_synced),
    };
    return cmocka_run_group_tests_name("sync", tests, NULL, NULL);
}
