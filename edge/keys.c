/*
 * Answers are remembered in a table of places by hash, valid while the store's keys and the configuration
 * stand. Keys are known by a hash of 256 bits, of which nobody can choose the preimage: comparing them needs
 * no constant time.
 */
#include "keys.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

#define PLACES 1024 /* a power of two */

typedef struct place {
    bool used;
    uint8_t sha256[32];
    keys_result_t result;
    const conf_plan_t *plan;
    char name[CONF_NAME_MAX + 1];
} place_t;

struct keys {
    store_t *store;
    const _Atomic uint64_t *epoch;
    conf_t *conf;     /* of the places; one reference */
    bool known;       /* `version` was read */
    uint64_t seen;    /* epoch at which the version was the store's */
    uint64_t version; /* store_keys_version of the places */
    place_t places[PLACES];
};

keys_t *keys_new(store_t *store, const _Atomic uint64_t *epoch)
{
    keys_t *keys = calloc(1, sizeof(*keys));
    assert(keys != NULL);
    keys->store = store;
    keys->epoch = epoch;
    return keys;
}

void keys_free(keys_t **keys)
{
    if (*keys == NULL)
        return;
    conf_release(&(*keys)->conf);
    free(*keys);
    *keys = NULL;
}

static void forget(keys_t *keys)
{
    for (size_t i = 0; i < PLACES; i++)
        keys->places[i].used = false;
}

/* Forgets what may not be so any more. */
static void refresh(keys_t *keys, const conf_t *conf)
{
    /* Read before the store is: a change that is made meanwhile is seen at the next look. */
    uint64_t epoch = atomic_load_explicit(keys->epoch, memory_order_acquire);
    if (conf != keys->conf) {
        conf_release(&keys->conf);
        keys->conf = conf_acquire(conf);
        forget(keys);
    }
    if (keys->known && epoch == keys->seen)
        return;
    uint64_t version = store_keys_version(keys->store);
    if (!keys->known || version != keys->version || version == UINT64_MAX)
        forget(keys);
    keys->known = true;
    keys->seen = epoch;
    keys->version = version;
}

static const conf_api_key_t *declared(const conf_t *conf, const uint8_t sha256[32])
{
    for (size_t i = 0; i < conf->api.key_count; i++)
        if (memcmp(conf->api.keys[i].sha256, sha256, 32) == 0)
            return &conf->api.keys[i];
    return NULL;
}

static void set_known(place_t *place, const conf_t *conf, const char *name, const char *plan)
{
    str_t text = str_from(name);
    assert(text.n <= CONF_NAME_MAX);
    place->result = KEYS_KNOWN;
    place->plan = conf_plan(conf, plan);
    memcpy(place->name, text.p, text.n + 1);
}

static void look_up(keys_t *keys, const conf_t *conf, const uint8_t sha256[32], place_t *place)
{
    const conf_api_key_t *key = declared(conf, sha256);
    store_key_t stored;
    store_result_t result = store_find_key(keys->store, sha256, &stored);
    place->plan = NULL;
    place->name[0] = '\0';
    if (result == STORE_OK && stored.revoked_at != 0)
        place->result = KEYS_REVOKED;
    else if (result != STORE_OK && result != STORE_NOT_FOUND)
        place->result = KEYS_FAILED;
    else if (key != NULL)
        set_known(place, conf, key->name, key->plan);
    else if (result == STORE_OK)
        set_known(place, conf, stored.name, stored.plan);
    else
        place->result = KEYS_UNKNOWN;
}

keys_result_t keys_find(keys_t *keys, const conf_t *conf, const uint8_t sha256[32], keys_entry_t *out)
{
    uint64_t hash;
    memcpy(&hash, sha256, sizeof(hash));
    refresh(keys, conf);
    place_t *place = &keys->places[hash % PLACES];
    if (!place->used || memcmp(place->sha256, sha256, 32) != 0) {
        memcpy(place->sha256, sha256, 32);
        look_up(keys, conf, sha256, place);
        place->used = place->result != KEYS_FAILED;
    }
    *out = (keys_entry_t){place->name, place->plan};
    return place->result;
}
