#include "keys.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

/* A power of two. About 680 KB per worker once every entry has been used. */
#define KEYS_CACHE_ENTRIES 4096

/* The cached result for a hash, valid while the generation is current. */
typedef struct cache_entry {
    uint64_t generation; /* 0: empty */
    uint8_t sha256[32];
    keys_result_t result;
    const conf_plan_t *plan; /* of keys->conf */
    char name[CONF_NAME_MAX + 1];
} cache_entry_t;

struct keys {
    store_t *store;
    const _Atomic uint64_t *epoch;
    conf_t *conf;       /* the configuration indexed in `declared`; a reference. NULL before the first call */
    uint32_t *declared; /* indices into conf->api.keys, plus 1; 0 is an empty slot */
    size_t capacity;    /* of `declared`: a power of two, at least twice its number of keys */
    uint64_t generation; /* changes, from 1, whenever the stored keys or the configuration change */
    uint64_t seen;       /* the epoch at which `version` was read */
    uint64_t version;    /* store_keys_version; UINT64_MAX: not known */
    cache_entry_t cache[KEYS_CACHE_ENTRIES];
};

keys_t *keys_new(store_t *store, const _Atomic uint64_t *epoch)
{
    keys_t *keys = calloc(1, sizeof(*keys));
    assert(keys != NULL);
    keys->store = store;
    keys->epoch = epoch;
    keys->generation = 1;
    keys->version = UINT64_MAX;
    return keys;
}

void keys_free(keys_t **keys)
{
    if (*keys == NULL)
        return;
    conf_release(&(*keys)->conf);
    free((*keys)->declared);
    free(*keys);
    *keys = NULL;
}

/*
 * The first bytes of a SHA-256 are as good as another hash of it. An attacker can find keys with
 * the same slot by many tries, and gains only a store look-up for each request with one of them.
 */
static size_t place_of(const uint8_t sha256[32], size_t capacity)
{
    uint64_t word;
    memcpy(&word, sha256, sizeof(word));
    return (size_t)word & (capacity - 1);
}

/*
 * Stops at the first different byte. The time reveals at most how many bytes of the hashes of a
 * guess and a key agree. That does not help to steer guesses: each further byte costs 256 times as
 * many, and a hash reveals nothing about similar keys.
 */
static bool same(const uint8_t a[32], const uint8_t b[32])
{
    return memcmp(a, b, 32) == 0;
}

/* ---- declared keys ---- */

static void index_declared(keys_t *keys, const conf_t *conf)
{
    conf_t *before = keys->conf;
    keys->conf = conf_acquire(conf); /* so that no other snapshot can get this address meanwhile */
    conf_release(&before);
    free(keys->declared);
    keys->capacity = 2;
    while (keys->capacity < 2 * conf->api.key_count)
        keys->capacity *= 2;
    keys->declared = calloc(keys->capacity, sizeof(*keys->declared));
    assert(keys->declared != NULL && conf->api.key_count < UINT32_MAX);
    for (size_t i = 0; i < conf->api.key_count; i++) {
        size_t place = place_of(conf->api.keys[i].sha256, keys->capacity);
        while (keys->declared[place] != 0)
            place = (place + 1) & (keys->capacity - 1);
        keys->declared[place] = (uint32_t)i + 1;
    }
    keys->generation++;
}

/* Returns NULL if the configuration declares no key with this hash. */
static const conf_api_key_t *find_declared(const keys_t *keys, const uint8_t sha256[32])
{
    size_t place = place_of(sha256, keys->capacity);
    for (; keys->declared[place] != 0; place = (place + 1) & (keys->capacity - 1)) {
        const conf_api_key_t *key = &keys->conf->api.keys[keys->declared[place] - 1];
        if (same(key->sha256, sha256))
            return key;
    }
    return NULL;
}

/* ---- look-up ---- */

/* Checks whether a stored key has changed since the last call. */
static void refresh(keys_t *keys)
{
    /* Both are read before any key, so the next call notices a change in between. */
    uint64_t epoch = atomic_load_explicit(keys->epoch, memory_order_acquire);
    if (keys->seen == epoch && keys->version != UINT64_MAX)
        return;
    uint64_t version = store_keys_version(keys->store);
    if (version != keys->version || version == UINT64_MAX)
        keys->generation++;
    keys->version = version;
    keys->seen = epoch;
}

/* Looks the key up in the store and the configuration. */
static keys_result_t look_up(const keys_t *keys, const uint8_t sha256[32], cache_entry_t *entry)
{
    store_key_t stored;
    store_result_t result = store_find_key(keys->store, sha256, &stored);
    if (result != STORE_OK && result != STORE_NOT_FOUND)
        return KEYS_FAILED;
    const conf_api_key_t *declared = find_declared(keys, sha256);
    bool revoked = result == STORE_OK && stored.revoked_at != 0;
    if (result != STORE_OK && declared == NULL)
        return KEYS_UNKNOWN;
    const char *name = declared != NULL && !revoked ? declared->name : stored.name;
    const char *plan = declared != NULL && !revoked ? declared->plan : stored.plan;
    memcpy(entry->name, name, strlen(name) + 1);
    entry->plan = conf_plan(keys->conf, plan);
    return revoked ? KEYS_REVOKED : KEYS_KNOWN;
}

keys_result_t keys_find(keys_t *keys, const conf_t *conf, const uint8_t sha256[32], keys_entry_t *out)
{
    refresh(keys);
    if (keys->conf != conf)
        index_declared(keys, conf);
    cache_entry_t *entry = &keys->cache[place_of(sha256, KEYS_CACHE_ENTRIES)];
    if (entry->generation != keys->generation || !same(entry->sha256, sha256)) {
        entry->generation = 0;
        entry->name[0] = '\0';
        entry->plan = NULL;
        entry->result = look_up(keys, sha256, entry);
        if (entry->result == KEYS_FAILED)
            return KEYS_FAILED;
        memcpy(entry->sha256, sha256, sizeof(entry->sha256));
        entry->generation = keys->generation;
    }
    *out = (keys_entry_t){.name = entry->name, .plan = entry->plan};
    return entry->result;
}

bool keys_is_token(str_t text)
{
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] <= ' ' || text.p[i] >= 0x7f || strchr("\"'`,;\\()<>[]{}", text.p[i]) != NULL)
            return false;
    return text.n != 0;
}
