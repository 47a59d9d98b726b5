/* Aliases: reserved across the store, for as long as a preview carries them. */
#include "store_fixture.h"

#include "record.h"
#include "store_internal.h"

static void put(fixture_t *f, const char *id, uint16_t port, const char *alias)
{
    store_preview_t preview = fixture_preview(id, port);
    (void)snprintf(preview.alias, sizeof(preview.alias), "%s", alias);
    assert_int_equal(store_put_preview(f->store, &preview), STORE_OK);
}

static store_result_t claim(fixture_t *f, const char *alias, const char *id)
{
    return store_claim_alias(f->store, str_from(alias), str_from(id));
}

static const char *found(fixture_t *f, const char *name, uint16_t port)
{
    static store_preview_t preview;
    return store_find_preview(f->store, str_from(name), port, &preview) == STORE_OK ? preview.id : "";
}

static void an_alias_finds_its_preview(void **state)
{
    fixture_t *f = *state;
    char owner[BOX_ID_MAX + 1];
    assert_int_equal(claim(f, "b-1", "b_1"), STORE_OK);
    assert_int_equal(store_get_alias(f->store, STR("b-1"), owner),
                     STORE_NOT_FOUND); /* no preview carries it */
    put(f, "b_1", 80, "b-1");
    put(f, "b_1", 81, "");
    assert_int_equal(store_get_alias(f->store, STR("b-1"), owner), STORE_OK);
    assert_string_equal(owner, "b_1");
    assert_string_equal(found(f, "b-1", 80), "b_1");
    assert_string_equal(found(f, "b_1", 80), "b_1");
    assert_string_equal(found(f, "b-1", 81), ""); /* it does not carry it */
    assert_string_equal(found(f, "b-1", 82), "");
    store_close(&f->store);
    fixture_open(f, FIXTURE_MAP_BYTES);
    assert_string_equal(found(f, "b-1", 80), "b_1");
}

static void it_is_anothers(void **state)
{
    fixture_t *f = *state;
    assert_int_equal(claim(f, "mine", "b_1"), STORE_OK);
    put(f, "b_1", 80, "mine");
    assert_int_equal(claim(f, "mine", "b_1"), STORE_OK);
    assert_int_equal(claim(f, "mine", "b_2"), STORE_CONFLICT);
    put(f, "preview", 80, "");
    assert_int_equal(claim(f, "preview", "b_2"), STORE_CONFLICT);
    store_box_t box = fixture_box("box", BOX_PAUSED);
    assert_int_equal(store_put_box(f->store, &box), STORE_OK);
    assert_int_equal(claim(f, "box", "b_2"), STORE_CONFLICT);
    assert_int_equal(store_delete_preview(f->store, STR("b_1"), 80), STORE_OK);
    assert_int_equal(claim(f, "mine", "b_2"), STORE_OK);
    put(f, "b_2", 80, "mine");
    assert_string_equal(found(f, "mine", 80), "b_2");
}

/* Two boxes claim one alias before either has a preview that carries it: the later claim stands. */
static void claimed_by_two(void **state)
{
    fixture_t *f = *state;
    store_preview_t first = fixture_preview("b_1", 80);
    memcpy(first.alias, "mine", 5);
    assert_int_equal(claim(f, "mine", "b_1"), STORE_OK);
    assert_int_equal(claim(f, "mine", "b_2"), STORE_OK);
    assert_int_equal(store_put_preview(f->store, &first), STORE_TAKEN);
    put(f, "b_2", 80, "mine");
    assert_int_equal(store_put_preview(f->store, &first), STORE_TAKEN);
    assert_string_equal(found(f, "mine", 80), "b_2");
    assert_string_equal(found(f, "b_1", 80), "");
}

static void what_is_none(void **state)
{
    fixture_t *f = *state;
    static const char *const names[] = {"", "a_b", "-a", "a-", "A", "a.b", "a/b"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_int_equal(claim(f, names[i], "b_1"), STORE_FAILED);
        assert_false(store_alias_valid(str_from(names[i])));
    }
    store_preview_t preview = fixture_preview("b_1", 80);
    memcpy(preview.alias, "a_b", 4);
    assert_int_equal(store_put_preview(f->store, &preview), STORE_FAILED);
    memcpy(preview.alias, "a-b", 4);
    assert_int_equal(store_put_preview(f->store, &preview), STORE_TAKEN); /* nobody has claimed it */
}

/* As many as may exist including that of `but`, of boxes that are gone. */
static void fill(fixture_t *f, int but)
{
    char alias[16], record[RECORD_ALIAS_MAX];
    size_t n = record_encode_alias(STR("gone"), record);
    table_t *aliases = f->store->aliases;
    assert_int_equal(table_write_begin(aliases), STORE_OK);
    for (int i = 0; i < STORE_ALIASES_MAX; i++) {
        if (i == but)
            continue;
        (void)snprintf(alias, sizeof(alias), "n%d", i);
        assert_int_equal(table_put(aliases, str_from(alias), 0, str_make(record, n)), STORE_OK);
    }
    assert_int_equal(table_write_commit(aliases), STORE_OK);
}

/* Unused aliases make room, in few commits: other changes of the store wait meanwhile. */
static void the_table_is_full(void **state)
{
    fixture_t *f = *state;
    table_stats_t stats;
    assert_int_equal(claim(f, "n7", "b_1"), STORE_OK);
    put(f, "b_1", 80, "n7");
    fill(f, 7);
    uint64_t before = table_version(f->store->aliases);
    assert_int_equal(claim(f, "one-more", "b_2"), STORE_OK);
    assert_true(table_version(f->store->aliases) - before < STORE_ALIASES_MAX / 100);
    assert_int_equal(table_read_begin(f->store->aliases), STORE_OK);
    assert_int_equal(table_get_stats(f->store->aliases, &stats), STORE_OK);
    table_read_end(f->store->aliases);
    assert_int_equal(stats.records, 2);
    assert_string_equal(found(f, "n7", 80), "b_1");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {TEST(an_alias_finds_its_preview), TEST(it_is_anothers),
                                       TEST(claimed_by_two), TEST(what_is_none), TEST(the_table_is_full)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
