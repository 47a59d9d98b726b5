#include "keys.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

/* A power of two. About 680 KB a worker once every place was used. */
#define KEYS_CACHE_ENTRIES 4096

/* What was found of a hash; it counts as long as the generation stands. */
typedef struct cache_entry {
    uint64_t generation; /* 0: nothing here */
    uint8_t sha256[32];
    keys_result_t result;
    const conf_plan_t *plan; /* of keys->conf */
    char name[CONF_NAME_MAX + 1];
} cache_entry_t;

struct keys {
    store_t *store;
    const _Atomic uint64_t *epoch;
    conf_t *conf;        /* whose declared keys are in `declared`; a reference. NULL before the first call */
    uint32_t *declared;  /* indices into conf->api.keys, plus 1; 0 is an empty place */
    size_t capacity;     /* of `declared`: a power of two, at least twice what is in it */
    uint64_t generation; /* another one, from 1, whenever the stored keys or the configuration changed */
    uint64_t seen;       /* epoch at which `version` was the store's */
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
 * The first bytes of a hash are as good as any other hash of it. Whoever makes keys whose hashes share a
 * place, by trying many, gains no more than a look into the store for each request with one of them.
 */
static size_t place_of(const uint8_t sha256[32], size_t capacity)
{
    uint64_t word;
    memcpy(&word, sha256, sizeof(word));
    return (size_t)word & (capacity - 1);
}

/*
 * Stops at the first byte that differs. The time could at most tell how far the hash of a guess agrees with
 * that of a key; guesses cannot be steered by that, since each further byte of agreement costs 256 times as
 * many of them, and hashes say nothing of keys that are near.
 */
static bool same(const uint8_t a[32], const uint8_t b[32])
{
    return memcmp(a, b, 32) == 0;
}

/* ---- declared keys ---- */

static void index_declared(keys_t *keys, const conf_t *conf)
{
    conf_t *before = keys->conf;
    keys->conf = conf_acquire(conf); /* so that no other snapshot has this address meanwhile */
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

/* NULL: the configuration declares none with this hash. */
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

/* ---- looking ---- */

/* Sees whether a stored key has changed since the last call. */
static void refresh(keys_t *keys)
{
    /* Both are read before any key is: a change made meanwhile is seen the next time. */
    uint64_t epoch = atomic_load_explicit(keys->epoch, memory_order_acquire);
    if (keys->seen == epoch && keys->version != UINT64_MAX)
        return;
    uint64_t version = store_keys_version(keys->store);
    if (version != keys->version || version == UINT64_MAX)
        keys->generation++;
    keys->version = version;
    keys->seen = epoch;
}

/* Asks the store and the configuration. */
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
