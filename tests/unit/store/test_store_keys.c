/* API keys in the store. */
#include "record.h"
#include "store_fixture.h"
#include "table.h"

static store_key_t key_of(const char *name, uint8_t first, const char *plan)
{
    store_key_t key = {.sha256 = {first}, .created_at = 7};
    (void)snprintf(key.name, sizeof(key.name), "%s", name);
    (void)snprintf(key.plan, sizeof(key.plan), "%s", plan);
    return key;
}

static store_result_t put(fixture_t *f, const char *name, uint8_t first)
{
    store_key_t key = key_of(name, first, "free");
    return store_put_key(f->store, &key);
}

static bool collect(const store_key_t *key, void *arg)
{
    char *text = arg;
    size_t n = strlen(text);
    (void)snprintf(text + n, 512 - n, "%s:%u:%s:%u ", key->name, key->sha256[0], key->plan,
                   (unsigned)key->revoked_at);
    return true;
}

static void assert_keys(store_t *store, const char *from, const char *expected)
{
    char text[512] = "";
    assert_int_equal(store_each_key(store, str_from(from), collect, text), STORE_OK);
    assert_string_equal(text, expected);
}

static void keys_are_found_by_hash_and_by_name(void **state)
{
    fixture_t *f = *state;
    store_key_t got, key = key_of("ci", 1, "free");
    assert_int_equal(store_find_key(f->store, key.sha256, &got), STORE_NOT_FOUND);
    assert_int_equal(store_get_key(f->store, STR("ci"), &got), STORE_NOT_FOUND);
    assert_int_equal(store_put_key(f->store, &key), STORE_OK);
    assert_int_equal(put(f, "Zoo", 2), STORE_OK);
    assert_int_equal(put(f, "9-.x_", 3), STORE_OK);
    assert_int_equal(store_find_key(f->store, key.sha256, &got), STORE_OK);
    assert_string_equal(got.name, "ci");
    assert_string_equal(got.plan, "free");
    assert_true(got.created_at == 7 && got.revoked_at == 0);
    assert_memory_equal(got.sha256, key.sha256, 32);
    assert_int_equal(store_get_key(f->store, STR("Zoo"), &got), STORE_OK);
    assert_int_equal(got.sha256[0], 2);
    assert_int_equal(store_get_key(f->store, STR("zoo"), &got), STORE_NOT_FOUND);
    assert_keys(f->store, "", "9-.x_:3:free:0 Zoo:2:free:0 ci:1:free:0 ");
    assert_keys(f->store, "Zoo", "Zoo:2:free:0 ci:1:free:0 ");
    assert_keys(f->store, "Zop", "ci:1:free:0 ");
    assert_keys(f->store, "d", "");
}

static void a_key_is_replaced_and_forgotten(void **state)
{
    fixture_t *f = *state;
    assert_int_equal(put(f, "ci", 1), STORE_OK);
    store_key_t got, key = key_of("ci", 1, "pro");
    key.revoked_at = 9;
    assert_int_equal(store_put_key(f->store, &key), STORE_OK);
    assert_keys(f->store, "", "ci:1:pro:9 ");
    assert_int_equal(store_delete_key(f->store, STR("ci")), STORE_OK);
    assert_int_equal(store_delete_key(f->store, STR("ci")), STORE_NOT_FOUND);
    assert_int_equal(store_find_key(f->store, key.sha256, &got), STORE_NOT_FOUND);
    assert_keys(f->store, "", "");
    assert_int_equal(put(f, "other", 1), STORE_OK); /* both are free again */
    assert_int_equal(put(f, "ci", 2), STORE_OK);
}

static void names_and_hashes_belong_to_one_key(void **state)
{
    fixture_t *f = *state;
    assert_int_equal(put(f, "a", 1), STORE_OK);
    assert_int_equal(put(f, "a", 2), STORE_FAILED);
    assert_non_null(strstr(store_error(f->store), "name is another key's"));
    assert_int_equal(put(f, "b", 1), STORE_FAILED);
    assert_non_null(strstr(store_error(f->store), "another name: a"));
    assert_keys(f->store, "", "a:1:free:0 ");
}

static void what_is_no_name_is_refused(void **state)
{
    fixture_t *f = *state;
    static const char *const bad[] = {"", "~", "a b", "a/b", "\xc3\xa4", "~0123", "a%20"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        store_key_t got, key = key_of("a", 1, bad[i]);
        assert_int_equal(put(f, bad[i], 1), STORE_FAILED);
        assert_int_equal(store_put_key(f->store, &key), STORE_FAILED);
        assert_int_equal(store_get_key(f->store, str_from(bad[i]), &got), STORE_NOT_FOUND);
        assert_int_equal(store_delete_key(f->store, str_from(bad[i])), STORE_NOT_FOUND);
    }
    /* Names of the maximum length; a name without an end is refused. */
    store_key_t got, key = key_of("", 1, "");
    memset(key.name, 'x', sizeof(key.name));
    memset(key.plan, 'y', STORE_KEY_NAME_MAX);
    assert_int_equal(store_put_key(f->store, &key), STORE_FAILED);
    assert_int_equal(store_get_key(f->store, str_make(key.name, STORE_KEY_NAME_MAX + 1), &got),
                     STORE_NOT_FOUND);
    key.name[STORE_KEY_NAME_MAX] = '\0';
    assert_int_equal(store_put_key(f->store, &key), STORE_OK);
    assert_int_equal(store_get_key(f->store, str_from(key.name), &got), STORE_OK);
    assert_memory_equal(&got, &key, sizeof(key));
}

/* ---- damage ---- */

/* The record of a name, and that of a key. */
#define NAME_OF_CI STR("\2ci\1")
#define KEY_OF_CI  STR("cifree")

static void a_key_with_a_damaged_name_is_found_and_replaced(void **state)
{
    fixture_t *f = *state;
    store_key_t got, key = key_of("ci", 1, "free");
    assert_int_equal(store_put_key(f->store, &key), STORE_OK);
    assert_int_equal(put(f, "other", 2), STORE_OK);
    fixture_flip(f, "keys", NAME_OF_CI);
    assert_int_equal(store_get_key(f->store, STR("ci"), &got), STORE_OK);
    assert_int_equal(got.sha256[0], 1);
    assert_keys(f->store, "", "ci:1:free:0 other:2:free:0 ");
    assert_int_equal(put(f, "ci", 3), STORE_FAILED);
    got.revoked_at = 9;
    assert_int_equal(store_put_key(f->store, &got), STORE_OK);
    assert_keys(f->store, "", "ci:1:free:9 other:2:free:0 ");
    fixture_flip(f, "keys", NAME_OF_CI);
    assert_int_equal(store_delete_key(f->store, STR("ci")), STORE_OK);
    assert_int_equal(store_find_key(f->store, key.sha256, &got), STORE_NOT_FOUND);
    assert_keys(f->store, "", "other:2:free:0 ");
}

static void a_damaged_key_is_replaced(void **state)
{
    fixture_t *f = *state;
    uint8_t sha256[32];
    store_key_t got, key = key_of("ci", 1, "free");
    assert_int_equal(store_put_key(f->store, &key), STORE_OK);
    fixture_flip(f, "keys", KEY_OF_CI);
    assert_int_equal(store_find_key(f->store, key.sha256, &got), STORE_FAILED);
    assert_int_equal(store_get_key(f->store, STR("ci"), &got), STORE_FAILED);
    assert_true(store_bad_record(f->store));
    assert_int_equal(store_get_key_hash(f->store, STR("ci"), sha256), STORE_OK);
    assert_memory_equal(sha256, key.sha256, sizeof(sha256));
    key.revoked_at = 9;
    assert_int_equal(store_put_key(f->store, &key), STORE_OK);
    assert_keys(f->store, "", "ci:1:free:9 ");
}

/* A name that may belong to the damaged key is not given away. */
static void both_records_damaged(void **state)
{
    fixture_t *f = *state;
    store_key_t got;
    assert_int_equal(put(f, "ci", 1), STORE_OK);
    fixture_flip(f, "keys", NAME_OF_CI);
    fixture_flip(f, "keys", KEY_OF_CI);
    assert_int_equal(store_get_key(f->store, STR("ci"), &got), STORE_FAILED);
    assert_int_equal(put(f, "ci", 2), STORE_FAILED);
    assert_int_equal(put(f, "other", 2), STORE_OK);
}

static void keys_outlive_the_process(void **state)
{
    fixture_t *f = *state;
    assert_int_equal(put(f, "a", 1), STORE_OK);
    store_close(&f->store);
    fixture_open(f, FIXTURE_MAP_BYTES);
    assert_keys(f->store, "", "a:1:free:0 ");
}

static void the_version_changes_with_keys_only(void **state)
{
    fixture_t *f = *state;
    uint64_t first = store_keys_version(f->store);
    store_preview_t preview = fixture_preview("a", 1);
    store_box_t box = fixture_box("a", BOX_RUNNING);
    assert_int_equal(store_put_preview(f->store, &preview), STORE_OK);
    assert_int_equal(store_put_box(f->store, &box), STORE_OK);
    assert_int_equal(store_delete_key(f->store, STR("a")), STORE_NOT_FOUND);
    assert_true(store_keys_version(f->store) == first);
    assert_int_equal(put(f, "a", 1), STORE_OK);
    uint64_t second = store_keys_version(f->store);
    assert_true(second != first);
    assert_int_equal(store_delete_key(f->store, STR("a")), STORE_OK);
    assert_true(store_keys_version(f->store) != second);
}

/* ---- at the bound ---- */

/* The key number i, with the longest name and plan. */
static store_key_t nth(uint32_t i)
{
    store_key_t key = {.created_at = 7};
    (void)snprintf(key.name, sizeof(key.name), "%063u", i);
    (void)snprintf(key.plan, sizeof(key.plan), "%063u", 1);
    for (size_t b = 0; b < sizeof(key.sha256); b++)
        key.sha256[b] = (uint8_t)(i * 2654435761u >> b % 24);
    memcpy(key.sha256, &i, sizeof(i));
    return key;
}

/* Fills a closed store with `count` keys as store_put_key writes them, in a few transactions. */
static void fill(const fixture_t *f, uint32_t count)
{
    char dir[128], error[TABLE_ERROR_MAX];
    (void)snprintf(dir, sizeof(dir), "%s/keys", f->durable);
    table_options_t options = {.dir = dir, .map_bytes = 256u << 20, .writer = true, .synced = true};
    table_t *table = table_open(&options, error);
    assert_non_null(table);
    for (uint32_t i = 0; i < count; i++) {
        char id[66] = "~", record[RECORD_KEY_MAX], name[RECORD_NAME_BYTES];
        store_key_t key = nth(i);
        for (size_t b = 0; b < 32; b++)
            (void)snprintf(id + 1 + 2 * b, 3, "%02x", key.sha256[b]);
        if (i % 10000 == 0)
            assert_int_equal(table_write_begin(table), STORE_OK);
        size_t n = record_encode_key(&key, record);
        record_encode_name(key.sha256, name);
        assert_int_equal(table_put(table, str_from(id), 0, str_make(record, n)), STORE_OK);
        assert_int_equal(table_put(table, str_from(key.name), 0, str_make(name, sizeof(name))), STORE_OK);
        if (i % 10000 == 9999 || i + 1 == count)
            assert_int_equal(table_write_commit(table), STORE_OK);
    }
    table_close(&table);
}

static bool count_key(const store_key_t *key, void *arg)
{
    (void)key;
    ++*(uint32_t *)arg;
    return true;
}

static void keys_are_bounded(void **state)
{
    fixture_t *f = *state;
    store_close(&f->store);
    fill(f, STORE_KEYS_MAX - 1);
    fixture_open(f, FIXTURE_MAP_BYTES);
    store_key_t got, last = nth(STORE_KEYS_MAX - 1), over = nth(STORE_KEYS_MAX);
    assert_int_equal(store_put_key(f->store, &last), STORE_OK);
    assert_int_equal(store_put_key(f->store, &over), STORE_TOO_MANY);
    assert_int_equal(store_find_key(f->store, over.sha256, &got), STORE_NOT_FOUND);
    uint32_t count = 0;
    assert_int_equal(store_each_key(f->store, STR(""), count_key, &count), STORE_OK);
    assert_int_equal(count, STORE_KEYS_MAX);
    /* Present keys can be revoked, and forgotten. */
    last.revoked_at = 9;
    assert_int_equal(store_put_key(f->store, &last), STORE_OK);
    assert_int_equal(store_find_key(f->store, last.sha256, &got), STORE_OK);
    assert_true(got.revoked_at == 9);
    assert_int_equal(store_delete_key(f->store, str_from(nth(5).name)), STORE_OK);
    assert_int_equal(store_put_key(f->store, &over), STORE_OK);
    over = nth(STORE_KEYS_MAX + 1);
    assert_int_equal(store_put_key(f->store, &over), STORE_TOO_MANY);
}

/* ---- records of another edge ---- */

static void unknown_records_are_refused(void **state)
{
    fixture_t *f = *state;
    char record[RECORD_KEY_MAX], name[RECORD_NAME_BYTES];
    uint8_t sha256[32];
    store_key_t got, key = key_of("ci", 1, "free");
    size_t n = record_encode_key(&key, record);
    assert_true(record_decode_key(str_make(record, n), key.sha256, &got));
    assert_memory_equal(&got, &key, sizeof(key));
    for (size_t short_by = 1; short_by <= n; short_by++)
        assert_false(record_decode_key(str_make(record, n - short_by), key.sha256, &got));
    for (int at = 17; at <= 18; at++) { /* lengths */
        record[at]++;
        assert_false(record_decode_key(str_make(record, n), key.sha256, &got));
        record[at]--;
    }
    record[19] = '\0';
    assert_false(record_decode_key(str_make(record, n), key.sha256, &got));
    record[19] = 'c';
    record[0]++;
    assert_false(record_decode_key(str_make(record, n), key.sha256, &got));
    record_encode_name(key.sha256, name);
    assert_true(record_decode_name(str_make(name, sizeof(name)), sha256));
    assert_memory_equal(sha256, key.sha256, 32);
    assert_false(record_decode_name(str_make(name, sizeof(name) - 1), sha256));
    name[0]++;
    assert_false(record_decode_name(str_make(name, sizeof(name)), sha256));
    (void)f;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(keys_are_found_by_hash_and_by_name, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_key_is_replaced_and_forgotten, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(names_and_hashes_belong_to_one_key, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(what_is_no_name_is_refused, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(keys_outlive_the_process, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_key_with_a_damaged_name_is_found_and_replaced, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(a_damaged_key_is_replaced, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(both_records_damaged, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(the_version_changes_with_keys_only, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(keys_are_bounded, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(unknown_records_are_refused, fixture_setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
