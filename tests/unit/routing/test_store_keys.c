/* API keys in the store: by name and by hash, bounded, and nobody's twice. */
#include "store_fixture.h"

static store_key_t key_of(const char *name, uint8_t hash, const char *plan)
{
    store_key_t key = {.created_at = 7};
    (void)snprintf(key.name, sizeof(key.name), "%s", name);
    (void)snprintf(key.plan, sizeof(key.plan), "%s", plan);
    memset(key.sha256, hash, sizeof(key.sha256));
    return key;
}

static void assert_found(store_t *store, uint8_t hash, const char *name)
{
    store_key_t key;
    uint8_t sha256[32];
    memset(sha256, hash, sizeof(sha256));
    store_result_t result = store_find_key(store, sha256, &key);
    assert_int_equal(result, name != NULL ? STORE_OK : STORE_NOT_FOUND);
    if (name != NULL)
        assert_string_equal(key.name, name);
}

static bool collect(const store_key_t *key, void *arg)
{
    char *text = arg;
    size_t n = strlen(text);
    (void)snprintf(text + n, 256 - n, "%s:%s:%d ", key->name, key->plan, (int)key->revoked_at);
    return true;
}

static void test_put_find_delete(void **state)
{
    fixture_t *f = *state;
    store_key_t key = key_of("ci", 0x11, "free"), found;
    uint64_t before = store_keys_version(f->store);
    assert_int_equal(store_put_key(f->store, &key), STORE_OK);
    assert_true(store_keys_version(f->store) != before);
    assert_int_equal(store_get_key(f->store, STR("ci"), &found), STORE_OK);
    assert_memory_equal(&found, &key, sizeof(key));
    assert_found(f->store, 0x11, "ci");
    assert_found(f->store, 0x12, NULL);
    /* The same name with another key: the old one is nobody's. */
    store_key_t other = key_of("ci", 0xfe, "pro");
    other.revoked_at = 9;
    assert_int_equal(store_put_key(f->store, &other), STORE_OK);
    assert_found(f->store, 0x11, NULL);
    assert_found(f->store, 0xfe, "ci");
    key = key_of("B.x_1-y", 0x11, "free");
    assert_int_equal(store_put_key(f->store, &key), STORE_OK);
    char text[256] = "";
    assert_int_equal(store_each_key(f->store, collect, text), STORE_OK);
    assert_string_equal(text, "B.x_1-y:free:0 ci:pro:9 ");
    /* It is there after a restart. */
    store_close(&f->store);
    fixture_open(f, FIXTURE_MAP_BYTES);
    assert_found(f->store, 0xfe, "ci");
    assert_int_equal(store_delete_key(f->store, STR("ci")), STORE_OK);
    assert_int_equal(store_delete_key(f->store, STR("ci")), STORE_NOT_FOUND);
    assert_found(f->store, 0xfe, NULL);
    assert_int_equal(store_get_key(f->store, STR("ci"), &found), STORE_NOT_FOUND);
}

static void test_what_is_no_key_is_refused(void **state)
{
    fixture_t *f = *state;
    static const char *const names[] = {"",   "a b", "a/b",
                                        "=a", "a@",  "0123456789012345678901234567890123456789012345678"};
    store_key_t key, found;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        key = key_of("", 1, "free");
        memcpy(key.name, names[i], strnlen(names[i], sizeof(key.name)));
        if (strlen(names[i]) > STORE_KEY_NAME_MAX)
            key.name[STORE_KEY_NAME_MAX] = 'x';
        assert_int_equal(store_put_key(f->store, &key), STORE_FAILED);
        assert_int_equal(store_get_key(f->store, str_from(names[i]), &found), STORE_NOT_FOUND);
    }
    key = key_of("012345678901234567890123456789012345678901234567", 1, "free");
    assert_int_equal(store_put_key(f->store, &key), STORE_OK);
    /* One key has one name. */
    key = key_of("other", 1, "free");
    assert_int_equal(store_put_key(f->store, &key), STORE_FAILED);
    assert_non_null(strstr(store_error(f->store), "another name has the same key"));
}

static int setup(void **state)
{
    fixture_t *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    fixture_make(f);
    fixture_open(f, FIXTURE_MAP_BYTES);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture_remove(*state);
    free(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_put_find_delete, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_no_key_is_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
