/* The store's promises: what was put is found, listings are in order, versions are never used twice. */
#include "store.h"

#include "store_fixture.h"

static void expect_preview(store_t *store, const store_preview_t *wanted)
{
    store_preview_t got;
    assert_int_equal(store_get_preview(store, str_from(wanted->id), wanted->port, &got), STORE_OK);
    assert_string_equal(got.id, wanted->id);
    assert_int_equal(got.port, wanted->port);
    assert_int_equal(got.version, wanted->version);
    assert_int_equal(got.created_at, wanted->created_at);
    assert_int_equal(got.host_header, wanted->host_header);
}

static void test_previews(void **state)
{
    fixture_t *f = *state;
    store_preview_t a = fixture_preview("sweet-shark", 3000), b = fixture_preview("sweet-shark", 3001);
    b.host_header = HOST_HEADER_LOCALHOST;
    store_preview_t got;
    assert_int_equal(store_get_preview(f->store, STR("sweet-shark"), 3000, &got), STORE_NOT_FOUND);
    assert_int_equal(store_put_preview(f->store, &a), STORE_OK);
    assert_int_equal(store_put_preview(f->store, &b), STORE_OK);
    assert_true(b.version > a.version && a.version > 0);
    expect_preview(f->store, &a);
    expect_preview(f->store, &b);
    a.created_at = UINT64_MAX;
    assert_int_equal(store_put_preview(f->store, &a), STORE_OK);
    assert_true(a.version > b.version);
    expect_preview(f->store, &a);
    assert_int_equal(store_delete_preview(f->store, STR("sweet-shark"), 3000), STORE_OK);
    assert_int_equal(store_get_preview(f->store, STR("sweet-shark"), 3000, &got), STORE_NOT_FOUND);
    assert_int_equal(store_delete_preview(f->store, STR("sweet-shark"), 3000), STORE_NOT_FOUND);
    expect_preview(f->store, &b);
}

static void test_boxes(void **state)
{
    fixture_t *f = *state;
    store_box_t got, box = fixture_box("sweet-shark", BOX_RUNNING);
    assert_int_equal(store_get_box(f->store, STR("sweet-shark"), &got), STORE_NOT_FOUND);
    assert_int_equal(store_put_box(f->store, &box), STORE_OK);
    box.state = BOX_PAUSED;
    box.generation = UINT64_MAX - 1;
    box.fixed_port = 65535;
    assert_int_equal(store_put_box(f->store, &box), STORE_OK);
    assert_int_equal(store_get_box(f->store, STR("sweet-shark"), &got), STORE_OK);
    assert_string_equal(got.id, "sweet-shark");
    assert_int_equal(got.state, BOX_PAUSED);
    assert_int_equal(got.generation, UINT64_MAX - 1);
    assert_int_equal(got.fixed_port, 65535);
    assert_memory_equal(&got.address, &in6addr_loopback, 16);
    assert_int_equal(store_delete_box(f->store, STR("sweet-shark")), STORE_OK);
    assert_int_equal(store_delete_box(f->store, STR("sweet-shark")), STORE_NOT_FOUND);
    assert_int_equal(store_get_box(f->store, STR("sweet-shark"), &got), STORE_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_previews, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_boxes, fixture_setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
