/* Which API keys a worker knows: declared ones, stored ones, and what changes meanwhile. */
#include "keys.h"

#include <stdatomic.h>

#include "../conf/conf_fixture.h"
#include "../routing/store_fixture.h"

#define ONES "1111111111111111111111111111111111111111111111111111111111111111"

typedef struct world {
    fixture_t store;
    _Atomic uint64_t epoch;
    keys_t *keys;
    conf_t *conf;
} world_t;

static conf_t *conf_with(const char *keys)
{
    char text[1024];
    (void)snprintf(text, sizeof(text),
                   BASE "plans: [{name: free, rate: 1/s}, {name: pro, rate: 9/s}]\napi: {keys: [%s]}\n",
                   keys);
    return fixture_good(text);
}

static int setup(void **state)
{
    world_t *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    fixture_make(&w->store);
    fixture_open(&w->store, FIXTURE_MAP_BYTES);
    w->keys = keys_new(w->store.store, &w->epoch);
    w->conf = conf_with("{name: declared, sha256: " ONES ", plan: pro}");
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world_t *w = *state;
    keys_free(&w->keys);
    assert_null(w->keys);
    conf_release(&w->conf);
    fixture_remove(&w->store);
    free(w);
    return 0;
}

static void put(world_t *w, const char *name, uint8_t hash, const char *plan, uint64_t revoked_at)
{
    store_key_t key = {.revoked_at = revoked_at};
    (void)snprintf(key.name, sizeof(key.name), "%s", name);
    (void)snprintf(key.plan, sizeof(key.plan), "%s", plan);
    memset(key.sha256, hash, sizeof(key.sha256));
    assert_int_equal(store_put_key(w->store.store, &key), STORE_OK);
    w->epoch++;
}

static keys_entry_t assert_result(world_t *w, uint8_t hash, keys_result_t expected)
{
    uint8_t sha256[32];
    keys_entry_t entry;
    memset(sha256, hash, sizeof(sha256));
    assert_int_equal(keys_find(w->keys, w->conf, sha256, &entry), expected);
    assert_int_equal(keys_find(w->keys, w->conf, sha256, &entry), expected); /* remembered, the same */
    return entry;
}

static void declared_and_stored(void **state)
{
    world_t *w = *state;
    keys_entry_t entry = assert_result(w, 0x11, KEYS_KNOWN);
    assert_string_equal(entry.name, "declared");
    assert_string_equal(entry.plan->name, "pro");
    assert_result(w, 0x22, KEYS_UNKNOWN);
    put(w, "stored", 0x22, "free", 0);
    entry = assert_result(w, 0x22, KEYS_KNOWN);
    assert_string_equal(entry.name, "stored");
    assert_string_equal(entry.plan->name, "free");
    put(w, "stored", 0x22, "gone", 0);
    assert_null(assert_result(w, 0x22, KEYS_KNOWN).plan);
    put(w, "stored", 0x22, "free", 5);
    assert_result(w, 0x22, KEYS_REVOKED);
    put(w, "also-declared", 0x11, "free", 5); /* revoked counts for declared ones too */
    assert_result(w, 0x11, KEYS_REVOKED);
}

static void another_configuration(void **state)
{
    world_t *w = *state;
    put(w, "stored", 0x22, "free", 0);
    assert_result(w, 0x11, KEYS_KNOWN);
    assert_ptr_equal(assert_result(w, 0x22, KEYS_KNOWN).plan, &w->conf->plans[0]);
    conf_release(&w->conf);
    w->conf = conf_with("");
    assert_result(w, 0x11, KEYS_UNKNOWN);
    assert_ptr_equal(assert_result(w, 0x22, KEYS_KNOWN).plan, &w->conf->plans[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(declared_and_stored, setup, teardown),
        cmocka_unit_test_setup_teardown(another_configuration, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
