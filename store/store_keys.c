/*
 * API keys, in a separate environment. Each has two records, written in one transaction. The record under its
 * hash, "~" and 64 hexadecimal digits, has its data; requests look this one up. The record under its name has
 * the hash. No name has a "~", and all names sort before it.
 */
#include <assert.h>

#include "conf.h"
#include "conf_value.h"
#include "order.h"
#include "record.h"
#include "store_internal.h"

/* Address space only. The longest names and plans take about 80 MB (a test writes them), so a
 * revocation always fits. */
#define KEYS_MAP_BYTES (256u << 20)
#define HASH_ID_LEN    65
/* Of one listing: damaged names whose keys are searched. */
#define SEARCHES_MAX 16

_Static_assert(STORE_KEY_NAME_MAX == CONF_NAME_MAX, "a declared key can be recorded as revoked");
_Static_assert(STORE_KEY_NAME_MAX <= ORDER_ID_MAX && HASH_ID_LEN <= ORDER_ID_MAX, "they are ids of a table");

bool store_open_keys(store_t *store, const char *durable_dir, bool writer)
{
    store->keys = store_open_beside(store, durable_dir, STORE_PART_KEYS, KEYS_MAP_BYTES, writer);
    return store->keys != NULL;
}

bool store_key_name_valid(str_t name)
{
    return name.n <= STORE_KEY_NAME_MAX && conf_value_node(name) == NULL;
}

static const char digits[] = "0123456789abcdef";

/* The table's id for a hash. */
static str_t hash_id(const uint8_t sha256[32], char out[HASH_ID_LEN])
{
    out[0] = STORE_HASH_MARK;
    for (size_t i = 0; i < 32; i++) {
        out[1 + 2 * i] = digits[sha256[i] >> 4];
        out[2 + 2 * i] = digits[sha256[i] & 15];
    }
    return str_make(out, HASH_ID_LEN);
}

/* ---- readers ---- */

/* Reads a hash from the table's id for it. */
static bool hash_of(str_t id, uint8_t sha256[32])
{
    if (id.n != HASH_ID_LEN || id.p[0] != STORE_HASH_MARK)
        return false;
    for (size_t i = 0; i < 32; i++) {
        const char *high = memchr(digits, id.p[1 + 2 * i], 16), *low = memchr(digits, id.p[2 + 2 * i], 16);
        if (high == NULL || low == NULL)
            return false;
        sha256[i] = (uint8_t)((high - digits) << 4 | (low - digits));
    }
    return true;
}

/* Within a read transaction. */
static store_result_t find_hash(store_t *store, const uint8_t sha256[32], store_key_t *out)
{
    char bytes[HASH_ID_LEN];
    str_t record, id = hash_id(sha256, bytes);
    store_result_t result = table_find(store->keys, id, 0, &record);
    store->bad_record = result == STORE_FAILED && table_bad_record(store->keys);
    if (result == STORE_OK && !record_decode_key(record, sha256, out))
        return store_refused(store, "this edge cannot read the record of the key", id);
    return result;
}

/* The search for the key of a name, whose own record is damaged, in the records of all keys. */
typedef struct search {
    str_t name;
    uint8_t sha256[32];
    bool found;
    bool unsure; /* a key cannot be read: it may be the one */
} search_t;

static bool on_hash(str_t id, uint16_t port, str_t record, void *arg)
{
    search_t *search = arg;
    store_key_t key;
    (void)port;
    if (!hash_of(id, search->sha256))
        return true;
    bool readable = record.p != NULL && record_decode_key(record, search->sha256, &key);
    search->unsure |= !readable;
    search->found = readable && str_eq(str_from(key.name), search->name);
    return !search->found;
}

/* Within a read transaction. STORE_FAILED if that is unknown. */
static store_result_t search_name(store_t *store, str_t name, uint8_t sha256[32])
{
    search_t search = {.name = name};
    store_result_t result = table_each_name(store->keys, STR("~"), 0, on_hash, &search);
    if (result != STORE_OK)
        return result;
    memcpy(sha256, search.sha256, sizeof(search.sha256));
    if (!search.found && search.unsure)
        return store_refused(store, "the record of the name, and that of a key, are damaged", name);
    return search.found ? STORE_OK : STORE_NOT_FOUND;
}

/* Within a read transaction: STORE_NOT_FOUND if no key has this name. */
static store_result_t find_name(store_t *store, str_t name, uint8_t sha256[32])
{
    str_t record;
    store_result_t result =
        store_key_name_valid(name) ? table_find(store->keys, name, 0, &record) : STORE_NOT_FOUND;
    bool damaged = result == STORE_OK ? !record_decode_name(record, sha256)
                                      : result == STORE_FAILED && table_bad_record(store->keys);
    return damaged ? search_name(store, name, sha256) : result;
}

store_result_t store_find_key(store_t *store, const uint8_t sha256[32], store_key_t *out)
{
    store_result_t result = table_read_begin(store->keys);
    if (result != STORE_OK)
        return result;
    result = find_hash(store, sha256, out);
    table_read_end(store->keys);
    return result;
}

store_result_t store_get_key(store_t *store, str_t name, store_key_t *out)
{
    uint8_t sha256[32];
    store_result_t result = table_read_begin(store->keys);
    if (result != STORE_OK)
        return result;
    result = find_name(store, name, sha256);
    if (result == STORE_OK) {
        result = find_hash(store, sha256, out);
        if (result == STORE_NOT_FOUND)
            result = store_refused(store, "the key of this name is missing", name);
    }
    table_read_end(store->keys);
    return result;
}

store_result_t store_get_key_hash(store_t *store, str_t name, uint8_t sha256[32])
{
    store_result_t result = table_read_begin(store->keys);
    if (result != STORE_OK)
        return result;
    result = find_name(store, name, sha256);
    table_read_end(store->keys);
    return result;
}

typedef struct key_walk {
    store_t *store;
    bool (*each)(const store_key_t *, void *);
    void *arg;
    unsigned searches;
} key_walk_t;

static bool on_name(str_t id, uint16_t port, str_t record, void *arg)
{
    (void)port;
    key_walk_t *walk = arg;
    uint8_t sha256[32];
    store_key_t key;
    if (id.p[0] == STORE_HASH_MARK)
        return false; /* end of the names */
    bool known = record.p != NULL && record_decode_name(record, sha256);
    if (!known && walk->searches++ < SEARCHES_MAX)
        known = search_name(walk->store, id, sha256) == STORE_OK;
    if (!known || find_hash(walk->store, sha256, &key) != STORE_OK)
        return true;
    return walk->each(&key, walk->arg);
}

store_result_t store_each_key(store_t *store, str_t name, bool (*each)(const store_key_t *, void *),
                              void *arg)
{
    key_walk_t walk = {.store = store, .each = each, .arg = arg};
    store_result_t result = table_read_begin(store->keys);
    if (result != STORE_OK)
        return result;
    result = table_each_name(store->keys, name, 0, on_name, &walk);
    table_read_end(store->keys);
    return result;
}

uint64_t store_keys_version(store_t *store)
{
    return table_version(store->keys);
}

/* ---- the writer ---- */

/* Returns STORE_OK if the key may be put: it replaces itself, or is new and fits. */
static store_result_t may_put(store_t *store, const store_key_t *key)
{
    store_key_t same;
    table_stats_t stats;
    uint8_t sha256[32];
    store_result_t by_name = find_name(store, str_from(key->name), sha256);
    if (by_name != STORE_OK && by_name != STORE_NOT_FOUND)
        return by_name;
    if (by_name == STORE_OK && memcmp(sha256, key->sha256, sizeof(sha256)) != 0)
        return store_refused(store, "the name is another key's", str_from(key->name));
    store_result_t by_hash = find_hash(store, key->sha256, &same);
    if (by_hash == STORE_OK && strcmp(same.name, key->name) != 0)
        return store_refused(store, "the key has another name", str_from(same.name));
    if (by_name == STORE_OK)
        return by_hash == STORE_NOT_FOUND || store->bad_record ? STORE_OK : by_hash;
    if (by_hash != STORE_NOT_FOUND)
        return by_hash;
    store_result_t result = table_get_stats(store->keys, &stats);
    if (result == STORE_OK && stats.records >= 2 * (uint64_t)STORE_KEYS_MAX)
        return STORE_TOO_MANY;
    return result;
}

/* Commits or aborts the open transaction. */
static store_result_t finish(store_t *store, store_result_t result)
{
    if (result == STORE_OK)
        return table_write_commit(store->keys);
    table_write_abort(store->keys);
    return result;
}

store_result_t store_put_key(store_t *store, const store_key_t *key)
{
    str_t name = str_make(key->name, strnlen(key->name, sizeof(key->name)));
    str_t plan = str_make(key->plan, strnlen(key->plan, sizeof(key->plan)));
    if (!store_key_name_valid(name) || !store_key_name_valid(plan))
        return store_refused(store, "not the name of a key and a plan", name);
    store_result_t result = table_read_begin(store->keys);
    if (result != STORE_OK)
        return result;
    result = may_put(store, key);
    table_read_end(store->keys);
    if (result == STORE_OK)
        result = table_write_begin(store->keys);
    if (result != STORE_OK)
        return result;
    char id[HASH_ID_LEN], record[RECORD_KEY_MAX], hash[RECORD_NAME_BYTES];
    size_t n = record_encode_key(key, record);
    record_encode_name(key->sha256, hash);
    result = table_put(store->keys, hash_id(key->sha256, id), 0, str_make(record, n));
    if (result == STORE_OK)
        result = table_put(store->keys, name, 0, str_make(hash, sizeof(hash)));
    return finish(store, result);
}

store_result_t store_delete_key(store_t *store, str_t name)
{
    char id[HASH_ID_LEN];
    uint8_t sha256[32];
    store_result_t result = table_read_begin(store->keys);
    if (result != STORE_OK)
        return result;
    result = find_name(store, name, sha256);
    table_read_end(store->keys);
    if (result == STORE_OK)
        result = table_write_begin(store->keys);
    if (result != STORE_OK)
        return result;
    result = table_delete(store->keys, hash_id(sha256, id), 0);
    if (result == STORE_OK || result == STORE_NOT_FOUND)
        result = table_delete(store->keys, name, 0);
    return finish(store, result);
}
