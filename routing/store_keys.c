/*
 * API keys that have a name: an environment of their own, so that neither previews nor rules can take their
 * room. Two records each, written together: "=<name>" holds the key's record, the first 28 bytes of its hash
 * in hexadecimal hold the name (the record has all of the hash, which is compared).
 */
#include <assert.h>
#include <stdio.h>

#include "record.h"
#include "store_impl.h"

#define KEYS_MAP_BYTES (UINT64_C(256) << 20)
#define HASH_BYTES     28

_Static_assert(2 * HASH_BYTES <= BOX_ID_MAX && STORE_KEY_NAME_MAX + 1 <= BOX_ID_MAX, "names of a table");

bool store_open_keys(store_t *store, const char *durable_dir, bool writer)
{
    store->keys = store_open_beside(store, durable_dir, "keys", KEYS_MAP_BYTES, writer);
    return store->keys != NULL;
}

/* ---- names ---- */

typedef struct key_name {
    char text[BOX_ID_MAX + 1];
    size_t n;
} key_name_t;

static str_t text_of(const key_name_t *name)
{
    return str_make(name->text, name->n);
}

/* False where `name` cannot be one. */
static bool name_make(str_t name, key_name_t *out)
{
    if (name.n == 0 || name.n > STORE_KEY_NAME_MAX)
        return false;
    for (size_t i = 0; i < name.n; i++) {
        char c = str_lower(name.p[i]);
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_'))
            return false;
    }
    out->text[0] = '=';
    memcpy(out->text + 1, name.p, name.n);
    out->n = name.n + 1;
    return true;
}

static key_name_t hash_name(const uint8_t sha256[32])
{
    static const char digits[] = "0123456789abcdef";
    key_name_t name = {.n = 2 * HASH_BYTES};
    for (size_t i = 0; i < HASH_BYTES; i++) {
        name.text[2 * i] = digits[sha256[i] >> 4];
        name.text[2 * i + 1] = digits[sha256[i] & 15];
    }
    return name;
}

/* ---- readers: within an open transaction ---- */

static store_result_t read_named(store_t *store, str_t name, store_key_t *out)
{
    key_name_t key;
    str_t record;
    if (!name_make(name, &key))
        return STORE_NOT_FOUND;
    store_result_t result = table_find(store->keys, text_of(&key), 0, &record);
    if (result == STORE_OK && !record_decode_key(record, name, out))
        result = store_refused(store, "this edge cannot read the record of the key", name);
    return result;
}

static store_result_t read_hashed(store_t *store, const uint8_t sha256[32], store_key_t *out)
{
    key_name_t hash = hash_name(sha256);
    str_t name;
    store_result_t result = table_find(store->keys, text_of(&hash), 0, &name);
    if (result != STORE_OK)
        return result;
    result = read_named(store, name, out);
    /* A hash of 256 bits that nobody can choose the preimage of: a comparison that stops early tells nothing.
     */
    if (result == STORE_OK && memcmp(out->sha256, sha256, 32) != 0)
        return STORE_NOT_FOUND;
    return result;
}

store_result_t store_find_key(store_t *store, const uint8_t sha256[32], store_key_t *out)
{
    store_result_t result = table_read_begin(store->keys);
    if (result != STORE_OK)
        return result;
    result = read_hashed(store, sha256, out);
    table_read_end(store->keys);
    return result;
}

store_result_t store_get_key(store_t *store, str_t name, store_key_t *out)
{
    store_result_t result = table_read_begin(store->keys);
    if (result != STORE_OK)
        return result;
    result = read_named(store, name, out);
    table_read_end(store->keys);
    return result;
}

typedef struct key_walk {
    bool (*each)(const store_key_t *, void *);
    void *arg;
} key_walk_t;

static bool on_key(str_t id, uint16_t port, str_t record, void *arg)
{
    const key_walk_t *walk = arg;
    store_key_t key;
    (void)port;
    if (id.p[0] != '=')
        return false; /* hashes come after all names */
    return !record_decode_key(record, str_from_offset(id, 1), &key) || walk->each(&key, walk->arg);
}

store_result_t store_each_key(store_t *store, bool (*each)(const store_key_t *, void *), void *arg)
{
    key_walk_t walk = {each, arg};
    store_result_t result = table_read_begin(store->keys);
    if (result != STORE_OK)
        return result;
    result = table_each(store->keys, STR("="), 0, on_key, &walk);
    table_read_end(store->keys);
    return result;
}

uint64_t store_keys_version(store_t *store)
{
    return table_version(store->keys);
}

/* ---- the writer ---- */

/* Whether the key may be put, and the hash that the key of that name has now. */
static store_result_t may_put(store_t *store, const store_key_t *key, bool *replaces, store_key_t *before)
{
    store_key_t same;
    table_stats_t stats;
    str_t name = str_make(key->name, strnlen(key->name, sizeof(key->name)));
    store_result_t result = read_hashed(store, key->sha256, &same);
    if (result == STORE_OK && strcmp(same.name, key->name) != 0)
        return store_refused(store, "another name has the same key", str_from(same.name));
    if (result != STORE_OK && result != STORE_NOT_FOUND)
        return result;
    result = read_named(store, name, before);
    *replaces = result == STORE_OK;
    if (result != STORE_NOT_FOUND)
        return result;
    result = table_get_stats(store->keys, &stats);
    if (result == STORE_OK && stats.records >= 2 * STORE_KEYS_MAX)
        return STORE_FULL;
    return result;
}

static store_result_t remove_hash(store_t *store, const uint8_t sha256[32])
{
    key_name_t hash = hash_name(sha256);
    store_result_t result = table_delete(store->keys, text_of(&hash), 0);
    return result == STORE_NOT_FOUND ? STORE_OK : result;
}

/* Both records, in the open transaction. */
static store_result_t write_key(store_t *store, const store_key_t *key, const key_name_t *name)
{
    char record[RECORD_KEY_MAX];
    key_name_t hash = hash_name(key->sha256);
    store_result_t result = table_put(store->keys, text_of(&hash), 0, str_from(key->name));
    if (result != STORE_OK)
        return result;
    return table_put(store->keys, text_of(name), 0, str_make(record, record_encode_key(key, record)));
}

static store_result_t end(store_t *store, store_result_t result)
{
    if (result == STORE_OK)
        return table_write_commit(store->keys);
    table_write_abort(store->keys);
    return result;
}

store_result_t store_put_key(store_t *store, const store_key_t *key)
{
    str_t text = str_make(key->name, strnlen(key->name, sizeof(key->name)));
    store_key_t before;
    key_name_t name;
    bool replaces;
    if (!name_make(text, &name) || memchr(key->plan, '\0', sizeof(key->plan)) == NULL)
        return store_refused(store, "not a key", text);
    store_result_t result = table_read_begin(store->keys);
    if (result != STORE_OK)
        return result;
    result = may_put(store, key, &replaces, &before);
    table_read_end(store->keys);
    if (result != STORE_OK && result != STORE_NOT_FOUND)
        return result;
    result = table_write_begin(store->keys);
    if (result != STORE_OK)
        return result;
    if (replaces && memcmp(before.sha256, key->sha256, 32) != 0)
        result = remove_hash(store, before.sha256);
    return end(store, result == STORE_OK ? write_key(store, key, &name) : result);
}

store_result_t store_delete_key(store_t *store, str_t name)
{
    store_key_t before;
    key_name_t key;
    store_result_t result = store_get_key(store, name, &before);
    if (result != STORE_OK)
        return result;
    bool is_name = name_make(name, &key);
    assert(is_name);
    (void)is_name;
    result = table_write_begin(store->keys);
    if (result != STORE_OK)
        return result;
    result = remove_hash(store, before.sha256);
    return end(store, result == STORE_OK ? table_delete(store->keys, text_of(&key), 0) : result);
}
