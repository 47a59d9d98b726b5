/* The store's promises: stored records are found, listings are in order, versions are never used twice. */
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

/* ---- listings ---- */

typedef struct listing {
    char text[1024]; /* "id:port " of each */
    size_t len;
    size_t stop_after;
} listing_t;

static bool list_preview(const store_preview_t *preview, void *arg)
{
    listing_t *list = arg;
    int n = snprintf(list->text + list->len, sizeof(list->text) - list->len, "%s:%u ", preview->id,
                     (unsigned)preview->port);
    assert_true(n > 0 && list->len + (size_t)n < sizeof(list->text));
    list->len += (size_t)n;
    return --list->stop_after != 0;
}

static bool list_box(const store_box_t *box, void *arg)
{
    return list_preview(&(store_preview_t){.port = (uint16_t)box->state, .id = {box->id[0]}}, arg);
}

static void put_some(store_t *store)
{
    static const struct {
        const char *id;
        uint16_t port;
    } some[] = {{"b", 80}, {"a-b", 1}, {"a", 65535}, {"a", 80}, {"a", 443}, {"aa", 1}, {"a_b", 1}};
    for (size_t i = 0; i < sizeof(some) / sizeof(some[0]); i++) {
        store_preview_t preview = fixture_preview(some[i].id, some[i].port);
        assert_int_equal(store_put_preview(store, &preview), STORE_OK);
    }
}

static void expect_from(store_t *store, str_t id, uint16_t port, bool box_only, const char *wanted)
{
    listing_t list = {0};
    assert_int_equal(store_each_preview_from(store, id, port, box_only, list_preview, &list), STORE_OK);
    assert_string_equal(list.text, wanted);
}

static void test_listing_is_in_order(void **state)
{
    fixture_t *f = *state;
    listing_t list = {0};
    assert_int_equal(store_each_preview(f->store, list_preview, &list), STORE_OK);
    assert_string_equal(list.text, "");
    put_some(f->store);
    put_some(f->store); /* replaced, not doubled */
    assert_int_equal(store_each_preview(f->store, list_preview, &list), STORE_OK);
    assert_string_equal(list.text, "a:80 a:443 a:65535 a-b:1 a_b:1 aa:1 b:80 ");
    assert_int_equal(store_delete_preview(f->store, STR("a-b"), 1), STORE_OK);
    list = (listing_t){.stop_after = 4};
    assert_int_equal(store_each_preview(f->store, list_preview, &list), STORE_OK);
    assert_string_equal(list.text, "a:80 a:443 a:65535 a_b:1 ");
    list = (listing_t){.stop_after = 1};
    assert_int_equal(store_each_preview(f->store, list_preview, &list), STORE_OK);
    assert_string_equal(list.text, "a:80 ");
}

static void test_listing_from(void **state)
{
    fixture_t *f = *state;
    put_some(f->store);
    expect_from(f->store, STR(""), 0, false, "a:80 a:443 a:65535 a-b:1 a_b:1 aa:1 b:80 ");
    expect_from(f->store, STR("a"), 443, false, "a:443 a:65535 a-b:1 a_b:1 aa:1 b:80 ");
    expect_from(f->store, STR("a"), 444, false, "a:65535 a-b:1 a_b:1 aa:1 b:80 ");
    expect_from(f->store, STR("a1"), 0, false, "a_b:1 aa:1 b:80 ");
    expect_from(f->store, STR("b"), 81, false, "");
    expect_from(f->store, STR("a"), 0, true, "a:80 a:443 a:65535 ");
    expect_from(f->store, STR("a"), 81, true, "a:443 a:65535 ");
    expect_from(f->store, STR("b"), 0, true, "b:80 ");
    expect_from(f->store, STR("c"), 0, true, "");
    expect_from(f->store, STR("a-"), 0, true, "");
    expect_from(f->store, STR(""), 0, true, "");
    char over[BOX_ID_MAX + 1];
    memset(over, 'a', sizeof(over));
    expect_from(f->store, str_make(over, sizeof(over)), 0, true, "");
    expect_from(f->store, str_make(over, sizeof(over)), 0, false, "b:80 ");
}

static void test_listing_boxes(void **state)
{
    fixture_t *f = *state;
    static const char *const ids[] = {"c", "a", "b"};
    for (size_t i = 0; i < 3; i++) {
        store_box_t box = fixture_box(ids[i], (box_state_t)(i + 1));
        assert_int_equal(store_put_box(f->store, &box), STORE_OK);
    }
    listing_t list = {0};
    assert_int_equal(store_each_box(f->store, list_box, &list), STORE_OK);
    assert_string_equal(list.text, "a:2 b:3 c:1 ");
}

static void test_stats(void **state)
{
    fixture_t *f = *state;
    store_stats_t empty, stats;
    assert_int_equal(store_get_stats(f->store, &empty), STORE_OK);
    assert_int_equal(empty.previews, 0);
    assert_int_equal(empty.boxes, 0);
    assert_int_equal(empty.map_bytes, FIXTURE_MAP_BYTES);
    assert_int_equal(empty.readers, 2);
    put_some(f->store);
    store_box_t box = fixture_box("a", BOX_RUNNING);
    assert_int_equal(store_put_box(f->store, &box), STORE_OK);
    assert_int_equal(store_get_stats(f->store, &stats), STORE_OK);
    assert_int_equal(stats.previews, 7);
    assert_int_equal(stats.boxes, 1);
    assert_true(stats.durable_bytes >= empty.durable_bytes && stats.durable_bytes < FIXTURE_MAP_BYTES);
    assert_true(stats.volatile_bytes != 0 && stats.volatile_bytes % 4096 == 0);
}

/* ---- refusals ---- */

static void test_bad_names(void **state)
{
    fixture_t *f = *state;
    store_preview_t got, bad = fixture_preview("a", 0);
    assert_int_equal(store_put_preview(f->store, &bad), STORE_FAILED);
    static const char *const ids[] = {"", "-a", "A", "a.b"};
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        bad = fixture_preview(ids[i], 80);
        assert_int_equal(store_put_preview(f->store, &bad), STORE_FAILED);
        store_box_t box = fixture_box(ids[i], BOX_RUNNING);
        assert_int_equal(store_put_box(f->store, &box), STORE_FAILED);
        assert_int_equal(store_get_preview(f->store, str_from(ids[i]), 80, &got), STORE_NOT_FOUND);
        assert_int_equal(store_delete_preview(f->store, str_from(ids[i]), 80), STORE_NOT_FOUND);
        assert_int_equal(store_delete_box(f->store, str_from(ids[i])), STORE_NOT_FOUND);
    }
    bad = fixture_preview("a", 80);
    bad.host_header = (host_header_t)(HOST_HEADER_LAST + 1);
    assert_int_equal(store_put_preview(f->store, &bad), STORE_FAILED);
    bad = fixture_preview("a", 80);
    bad.protocol = (preview_protocol_t)2;
    assert_int_equal(store_put_preview(f->store, &bad), STORE_FAILED);
    store_box_t box = fixture_box("a", BOX_UNKNOWN);
    assert_int_equal(store_put_box(f->store, &box), STORE_FAILED);
    box.state = (box_state_t)(BOX_GONE + 1);
    assert_int_equal(store_put_box(f->store, &box), STORE_FAILED);

    /* Ids at their longest, and without a NUL. */
    memset(bad.id, 'x', sizeof(bad.id));
    bad.host_header = HOST_HEADER_PUBLIC;
    bad.protocol = PREVIEW_HTTP1;
    assert_int_equal(store_put_preview(f->store, &bad), STORE_FAILED);
    assert_int_equal(store_get_preview(f->store, str_make(bad.id, sizeof(bad.id)), 80, &got),
                     STORE_NOT_FOUND);
    assert_int_equal(store_delete_preview(f->store, str_make(bad.id, sizeof(bad.id)), 80), STORE_NOT_FOUND);
    memset(box.id, 'x', sizeof(box.id));
    box.state = BOX_RUNNING;
    assert_int_equal(store_put_box(f->store, &box), STORE_FAILED);
    bad.id[BOX_ID_MAX] = '\0';
    bad.port = 65535;
    assert_int_equal(store_put_preview(f->store, &bad), STORE_OK);
    expect_preview(f->store, &bad);
}

/* ---- several changes in one commit ---- */

static void test_apply(void **state)
{
    fixture_t *f = *state;
    store_preview_t gone = fixture_preview("gone", 1), got;
    assert_int_equal(store_put_preview(f->store, &gone), STORE_OK);
    store_change_t changes[] = {
        {.preview = fixture_preview("a", 1)},
        {.remove = true, .preview = gone},
        {.preview = fixture_preview("A", 1)},
        {.remove = true, .preview = fixture_preview("none", 1)},
        {.preview = fixture_preview("a", 1)},
        {.preview = fixture_preview("b", 1)},
        {.remove = true, .preview = fixture_preview("b", 1)},
    };
    static const store_result_t wanted[] = {STORE_OK, STORE_OK, STORE_FAILED, STORE_NOT_FOUND,
                                            STORE_OK, STORE_OK, STORE_OK};
    assert_int_equal(store_apply(f->store, changes, 7), STORE_OK);
    for (size_t i = 0; i < 7; i++)
        assert_int_equal(changes[i].result, wanted[i]);
    assert_true(changes[0].preview.version < changes[4].preview.version);
    expect_preview(f->store, &changes[4].preview);
    assert_int_equal(store_get_preview(f->store, STR("gone"), 1, &got), STORE_NOT_FOUND);
    assert_int_equal(store_get_preview(f->store, STR("b"), 1, &got), STORE_NOT_FOUND);
    assert_int_equal(store_apply(f->store, changes, 0), STORE_OK);
    /* Only missing records. */
    assert_int_equal(store_apply(f->store, &changes[3], 1), STORE_OK);
    assert_int_equal(changes[3].result, STORE_NOT_FOUND);
}

static void test_a_change_that_must_stay_private(void **state)
{
    fixture_t *f = *state;
    store_preview_t asks = fixture_preview("a", 1), got;
    asks.bearer = true;
    asks.expires_at = 1000;
    assert_int_equal(store_put_preview(f->store, &asks), STORE_OK);
    store_change_t opens = {.preview = fixture_preview("a", 1), .stay_private = true};
    opens.preview.created_at = 999;
    store_change_t others[] = {opens, {.preview = fixture_preview("b", 1), .stay_private = true}};
    /* It stops no other change. */
    assert_int_equal(store_apply(f->store, others, 2), STORE_OK);
    assert_int_equal(others[0].result, STORE_CONFLICT);
    assert_int_equal(others[1].result, STORE_OK);
    expect_preview(f->store, &asks);
    /* Other credentials are no credentials, and an expired preview asks nobody. */
    store_change_t basic = opens;
    basic.preview.basic = true;
    assert_int_equal(store_apply(f->store, &basic, 1), STORE_OK);
    assert_int_equal(basic.result, STORE_OK);
    assert_int_equal(store_put_preview(f->store, &asks), STORE_OK);
    opens.preview.created_at = 1000;
    assert_int_equal(store_apply(f->store, &opens, 1), STORE_OK);
    assert_int_equal(opens.result, STORE_OK);
    assert_int_equal(store_get_preview(f->store, STR("a"), 1, &got), STORE_OK);
    assert_false(got.bearer || got.basic);
    /* Of two changes in one commit the second sees the first. */
    store_change_t both[] = {{.preview = asks}, opens};
    both[1].preview.created_at = 1;
    assert_int_equal(store_apply(f->store, both, 2), STORE_OK);
    assert_int_equal(both[1].result, STORE_CONFLICT);
}

static void test_a_change_in_place_keeps_the_version(void **state)
{
    fixture_t *f = *state;
    store_preview_t first = fixture_preview("a", 1);
    assert_int_equal(store_put_preview(f->store, &first), STORE_OK);
    store_change_t change = {.preview = first, .keep_version = true};
    change.preview.protocol = PREVIEW_H2C;
    assert_int_equal(store_apply(f->store, &change, 1), STORE_OK);
    assert_int_equal(change.preview.version, first.version);
    expect_preview(f->store, &change.preview);
}

static void test_apply_at_its_bound(void **state)
{
    fixture_t *f = *state;
    static store_change_t changes[STORE_APPLY_MAX];
    for (size_t i = 0; i < STORE_APPLY_MAX; i++)
        changes[i].preview = fixture_preview("a", (uint16_t)(i + 1));
    assert_int_equal(store_apply(f->store, changes, STORE_APPLY_MAX), STORE_OK);
    store_stats_t stats;
    assert_int_equal(store_get_stats(f->store, &stats), STORE_OK);
    assert_int_equal(stats.previews, STORE_APPLY_MAX);
    expect_preview(f->store, &changes[STORE_APPLY_MAX - 1].preview);
}

/* ---- opening again ---- */

static void test_reopened(void **state)
{
    fixture_t *f = *state;
    store_preview_t a = fixture_preview("a", 1), b = fixture_preview("b", 1), c = fixture_preview("c", 1);
    assert_int_equal(store_put_preview(f->store, &a), STORE_OK);
    assert_int_equal(store_put_preview(f->store, &b), STORE_OK);
    store_box_t box = fixture_box("a", BOX_PAUSED), got;
    assert_int_equal(store_put_box(f->store, &box), STORE_OK);
    /* The record with the highest version is deleted: that version is not used again. */
    assert_int_equal(store_delete_preview(f->store, STR("b"), 1), STORE_OK);
    store_close(&f->store);
    assert_null(f->store);
    fixture_open(f, FIXTURE_MAP_BYTES / 2);
    expect_preview(f->store, &a);
    assert_int_equal(store_get_box(f->store, STR("a"), &got), STORE_OK);
    assert_int_equal(got.state, BOX_PAUSED);
    assert_int_equal(store_put_preview(f->store, &c), STORE_OK);
    assert_true(c.version > b.version);
}

static void test_cannot_open(void **state)
{
    (void)state;
    fixture_t f;
    fixture_make(&f);
    char error[256] = "";
    /* A reader does not create a store. */
    assert_null(store_open(f.durable, f.scratch, FIXTURE_MAP_BYTES, false, error, sizeof(error)));
    assert_non_null(strstr(error, "there is no store yet"));
    assert_non_null(strstr(error, f.durable));
    assert_null(store_open(f.durable, "/nowhere/at/all", FIXTURE_MAP_BYTES, true, error, sizeof(error)));
    assert_non_null(strstr(error, "/nowhere/at/all"));
    char small[8];
    assert_null(store_open("/nowhere", f.scratch, FIXTURE_MAP_BYTES, true, small, sizeof(small)));
    assert_int_equal(strlen(small), sizeof(small) - 1);
    fixture_remove(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_previews, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_boxes, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_listing_is_in_order, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_listing_from, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_listing_boxes, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_stats, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_bad_names, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_apply, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_a_change_that_must_stay_private, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(test_a_change_in_place_keeps_the_version, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(test_apply_at_its_bound, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_reopened, fixture_setup, fixture_teardown),
        cmocka_unit_test(test_cannot_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
