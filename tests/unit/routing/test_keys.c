/* A worker's knowledge of API keys. */
#include "keys.h"

#include <assert.h>
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <lmdb.h>
#include <openssl/sha.h>

#include "table.h"

#include "store_fixture.h"

/* Readings of the store. */
static unsigned readings;

/* Replaces LMDB's function for the whole program. */
int mdb_txn_renew(MDB_txn *txn)
{
    int (*renew)(MDB_txn *);
    void *found = dlsym(RTLD_NEXT, "mdb_txn_renew");
    assert(found != NULL);
    memcpy(&renew, &found, sizeof(renew));
    readings++;
    return renew(txn);
}

typedef struct world {
    fixture_t store;
    _Atomic uint64_t epoch;
    keys_t *keys;
    conf_t *conf;
} world_t;

#define HEAD                                                                                                 \
    "preview_domain: preview.example\n"                                                                      \
    "listeners: [{address: \"127.0.0.1:8443\", kind: tls}]\n"                                                \
    "upstreams: [{name: api, servers: [\"127.0.0.1:1\"]}]\n"

static conf_t *conf_of(const char *rest)
{
    char text[4096];
    snprintf(text, sizeof(text), "%s%s", HEAD, rest);
    conf_errors_t *errors = conf_errors_new();
    conf_t *conf = conf_parse("test", str_from(text), errors);
    if (conf == NULL)
        conf_errors_print(errors, stderr);
    assert_non_null(conf);
    conf_errors_free(&errors);
    return conf;
}

static int setup(void **state)
{
    world_t *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    fixture_make(&w->store);
    fixture_open(&w->store, FIXTURE_MAP_BYTES);
    w->keys = keys_new(w->store.store, &w->epoch);
    w->conf = conf_of("plans: [{name: free, rate: 1/s}, {name: pro, rate: 9/s}]\n");
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world_t *w = *state;
    keys_free(&w->keys);
    assert_null(w->keys);
    keys_free(&w->keys);
    conf_release(&w->conf);
    fixture_remove(&w->store);
    free(w);
    return 0;
}

/* Stores it like the admin API; the caller changes the epoch. */
static void put(world_t *w, const char *key, const char *name, const char *plan, uint64_t revoked_at)
{
    store_key_t one = {.created_at = 1, .revoked_at = revoked_at};
    (void)SHA256((const uint8_t *)key, strlen(key), one.sha256);
    snprintf(one.name, sizeof(one.name), "%s", name);
    snprintf(one.plan, sizeof(one.plan), "%s", plan);
    assert_int_equal(store_put_key(w->store.store, &one), STORE_OK);
}

static keys_result_t find(world_t *w, const char *key, keys_entry_t *entry)
{
    uint8_t hash[32];
    (void)SHA256((const uint8_t *)key, strlen(key), hash);
    return keys_find(w->keys, w->conf, hash, entry);
}

static void expect(world_t *w, const char *key, const char *name, const char *plan)
{
    keys_entry_t entry;
    assert_int_equal(find(w, key, &entry), KEYS_KNOWN);
    assert_string_equal(entry.name, name);
    if (plan == NULL) {
        assert_null(entry.plan);
        return;
    }
    assert_non_null(entry.plan);
    assert_string_equal(entry.plan->name, plan);
    assert_ptr_equal(entry.plan, conf_plan(w->conf, plan));
}

static void expect_result(world_t *w, const char *key, keys_result_t result)
{
    keys_entry_t entry;
    assert_int_equal(find(w, key, &entry), result);
}

static void stored_keys(void **state)
{
    world_t *w = *state;
    expect_result(w, "a-key", KEYS_UNKNOWN);
    put(w, "a-key", "ci", "free", 0);
    expect_result(w, "a-key", KEYS_UNKNOWN); /* nobody reported a change */
    w->epoch++;
    expect(w, "a-key", "ci", "free");
    expect_result(w, "a-kez", KEYS_UNKNOWN);
    put(w, "a-key", "ci", "pro", 0);
    w->epoch++;
    expect(w, "a-key", "ci", "pro");
    put(w, "a-key", "ci", "gone", 0);
    w->epoch++;
    expect(w, "a-key", "ci", NULL);
    assert_int_equal(store_delete_key(w->store.store, STR("ci")), STORE_OK);
    w->epoch++;
    expect_result(w, "a-key", KEYS_UNKNOWN);
}

static void a_revoked_key_is_refused_by_the_next_call(void **state)
{
    world_t *w = *state;
    keys_entry_t entry;
    put(w, "a-key", "ci", "free", 0);
    w->epoch++;
    expect(w, "a-key", "ci", "free");
    put(w, "a-key", "ci", "free", 5);
    w->epoch++;
    assert_int_equal(find(w, "a-key", &entry), KEYS_REVOKED);
    assert_string_equal(entry.name, "ci");
    expect_result(w, "a-key", KEYS_REVOKED); /* from memory, too */
}

static void hex_of(const char *key, char out[65])
{
    uint8_t hash[32];
    (void)SHA256((const uint8_t *)key, strlen(key), hash);
    for (size_t i = 0; i < 32; i++)
        snprintf(out + 2 * i, 3, "%02x", hash[i]);
}

/* A configuration that declares `key` as `name` with the plan free. */
static conf_t *declaring(const char *key, const char *name)
{
    char hex[65], text[1024];
    hex_of(key, hex);
    snprintf(
        text, sizeof(text),
        "plans: [{name: free, rate: 1/s}]\n"
        "api: {upstream: api, hosts: [api.example.com], keys: [{name: %s, sha256: \"%s\", plan: free}]}\n",
        name, hex);
    return conf_of(text);
}

static void declared_keys(void **state)
{
    world_t *w = *state;
    conf_t *old = w->conf;
    expect_result(w, "declared-key", KEYS_UNKNOWN);
    w->conf = declaring("declared-key", "partner");
    expect(w, "declared-key", "partner", "free"); /* with no other epoch */
    expect_result(w, "another", KEYS_UNKNOWN);
    put(w, "another", "ci", "free", 0);
    put(w, "declared-key", "stored", "gone", 0);
    w->epoch++;
    expect(w, "another", "ci", "free");
    expect(w, "declared-key", "partner", "free"); /* as declared */
    put(w, "declared-key", "stored", "gone", 3);
    w->epoch++;
    keys_entry_t entry;
    assert_int_equal(find(w, "declared-key", &entry), KEYS_REVOKED);
    assert_string_equal(entry.name, "stored");
    conf_release(&w->conf);
    w->conf = old;
    expect(w, "another", "ci", "free");
    expect_result(w, "declared-key", KEYS_REVOKED);
}

static void a_repeated_key_is_not_read_again(void **state)
{
    world_t *w = *state;
    put(w, "a-key", "ci", "free", 0);
    put(w, "revoked", "old", "free", 1);
    expect(w, "a-key", "ci", "free");
    expect_result(w, "revoked", KEYS_REVOKED);
    expect_result(w, "nobody's", KEYS_UNKNOWN);
    unsigned before = readings;
    for (int i = 0; i < 10; i++) {
        expect(w, "a-key", "ci", "free");
        expect_result(w, "revoked", KEYS_REVOKED);
        expect_result(w, "nobody's", KEYS_UNKNOWN);
    }
    assert_int_equal(readings, before);
    /* A change of other data costs one look at the version of the keys. */
    w->epoch++;
    for (int i = 0; i < 10; i++)
        expect(w, "a-key", "ci", "free");
    assert_int_equal(readings, before + 1);
}

static void a_store_that_cannot_be_read_fails(void **state)
{
    world_t *w = *state;
    char dir[128], error[TABLE_ERROR_MAX], id[66] = "~";
    expect_result(w, "a-key", KEYS_UNKNOWN);
    keys_free(&w->keys);
    store_close(&w->store.store);
    snprintf(dir, sizeof(dir), "%s/keys", w->store.durable);
    table_options_t options = {.dir = dir, .map_bytes = FIXTURE_MAP_BYTES, .writer = true};
    table_t *table = table_open(&options, error);
    assert_non_null(table);
    hex_of("a-key", id + 1);
    assert_int_equal(table_write_begin(table), STORE_OK);
    assert_int_equal(table_put(table, str_from(id), 0, STR("\377 of another edge")), STORE_OK);
    assert_int_equal(table_write_commit(table), STORE_OK);
    table_close(&table);
    fixture_open(&w->store, FIXTURE_MAP_BYTES);
    w->keys = keys_new(w->store.store, &w->epoch);
    expect_result(w, "a-key", KEYS_FAILED);
    expect_result(w, "a-key", KEYS_FAILED);
    expect_result(w, "another", KEYS_UNKNOWN);
}

static void every_snapshot_has_its_own(void **state)
{
    world_t *w = *state;
    for (int i = 0; i < 50; i++) {
        char name[16];
        snprintf(name, sizeof(name), "n%d", i);
        conf_release(&w->conf); /* the next one may get the same address */
        w->conf = declaring(i % 2 != 0 ? "one-key" : "other-key", name);
        expect(w, i % 2 != 0 ? "one-key" : "other-key", name, "free");
        expect_result(w, i % 2 != 0 ? "other-key" : "one-key", KEYS_UNKNOWN);
    }
}

/* Many more keys than the cache has places, and enough declared ones to crowd the index. */
static void many(void **state)
{
    enum { DECLARED = 300, STORED = 300, ASKED = 20000 };
    world_t *w = *state;
    size_t size = 65536, used;
    char *text = malloc(size), key[32], name[32];
    assert_non_null(text);
    used = (size_t)snprintf(text, size,
                            HEAD "plans: [{name: free, rate: 1/s}]\n"
                                 "api: {upstream: api, hosts: [api.example.com], keys: [");
    for (int i = 0; i < DECLARED; i++) {
        char hex[65];
        snprintf(key, sizeof(key), "declared-%d", i);
        hex_of(key, hex);
        used += (size_t)snprintf(text + used, size - used, "{name: d%d, sha256: \"%s\", plan: free}%s", i,
                                 hex, i + 1 < DECLARED ? ",\n  " : "]}\n");
        assert_true(used < size);
    }
    conf_errors_t *errors = conf_errors_new();
    conf_release(&w->conf);
    w->conf = conf_parse("test", str_make(text, used), errors);
    conf_errors_print(errors, stderr);
    assert_non_null(w->conf);
    conf_errors_free(&errors);
    free(text);
    for (int i = 0; i < STORED; i++) {
        snprintf(key, sizeof(key), "stored-%d", i);
        snprintf(name, sizeof(name), "s%d", i);
        put(w, key, name, "free", i % 2 != 0 ? 1 : 0);
    }
    w->epoch++;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < ASKED; i++) {
            snprintf(key, sizeof(key), "random-%d", i);
            expect_result(w, key, KEYS_UNKNOWN);
        }
        for (int i = 0; i < DECLARED; i++) {
            snprintf(key, sizeof(key), "declared-%d", i);
            snprintf(name, sizeof(name), "d%d", i);
            expect(w, key, name, "free");
            snprintf(key, sizeof(key), "stored-%d", i);
            expect_result(w, key, i % 2 != 0 ? KEYS_REVOKED : KEYS_KNOWN);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(stored_keys, setup, teardown),
        cmocka_unit_test_setup_teardown(a_revoked_key_is_refused_by_the_next_call, setup, teardown),
        cmocka_unit_test_setup_teardown(declared_keys, setup, teardown),
        cmocka_unit_test_setup_teardown(a_repeated_key_is_not_read_again, setup, teardown),
        cmocka_unit_test_setup_teardown(a_store_that_cannot_be_read_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(every_snapshot_has_its_own, setup, teardown),
        cmocka_unit_test_setup_teardown(many, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
