/* An acknowledged change is on disk: the test counts LMDB's calls of fdatasync. */
#include <sys/syscall.h>

#include "store_fixture.h"

static unsigned syncs;

/* Replaces the C library's for the whole program. */
int fdatasync(int fd)
{
    syncs++;
    return (int)syscall(SYS_fdatasync, fd);
}

static void test_previews_are_synced(void **state)
{
    fixture_t *f = *state;
    store_preview_t preview = fixture_preview("a", 80);
    syncs = 0;
    assert_int_equal(store_put_preview(f->store, &preview), STORE_OK);
    assert_int_equal(syncs, 1);
    assert_int_equal(store_delete_preview(f->store, STR("a"), 80), STORE_OK);
    assert_int_equal(syncs, 2);
    assert_int_equal(store_delete_preview(f->store, STR("a"), 80), STORE_NOT_FOUND);
    assert_int_equal(syncs, 2);
}

static void test_several_changes_share_a_sync(void **state)
{
    fixture_t *f = *state;
    store_change_t changes[100] = {0};
    for (size_t i = 0; i < 100; i++)
        changes[i].preview = fixture_preview("a", (uint16_t)(i + 1));
    syncs = 0;
    assert_int_equal(store_apply(f->store, changes, 100), STORE_OK);
    assert_int_equal(syncs, 1);
}

static void test_boxes_are_not_synced(void **state)
{
    fixture_t *f = *state;
    store_box_t box = fixture_box("a", BOX_RUNNING);
    syncs = 0;
    assert_int_equal(store_put_box(f->store, &box), STORE_OK);
    assert_int_equal(store_delete_box(f->store, STR("a")), STORE_OK);
    assert_int_equal(syncs, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_previews_are_synced, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_several_changes_share_a_sync, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_boxes_are_not_synced, fixture_setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
