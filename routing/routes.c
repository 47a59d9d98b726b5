#include "routes.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "hostname.h"

/* A power of two. */
#define ROUTES_CACHE_ENTRIES 4096
/* Longer authorities are looked up in the store each time. A label, a domain of 57 and a port fit. */
#define ROUTES_CACHE_KEY_MAX 128

/* A result, valid while the epoch equals its value from before the read of the store. */
typedef struct cache_entry {
    uint8_t key_len; /* 0: empty */
    char key[ROUTES_CACHE_KEY_MAX];
    routes_result_t result;
    route_t route; /* of ROUTES_FOUND; its epoch is always set */
} cache_entry_t;

struct routes {
    store_t *store;
    const _Atomic uint64_t *epoch;
    char *domain;
    size_t domain_len;
    route_t uncached; /* for results that are not cached */
    cache_entry_t cache[ROUTES_CACHE_ENTRIES];
};

routes_t *routes_new(store_t *store, str_t domain, const _Atomic uint64_t *epoch)
{
    routes_t *routes = calloc(1, sizeof(*routes));
    assert(routes != NULL);
    routes->store = store;
    routes->epoch = epoch;
    routes->domain = malloc(domain.n);
    assert(routes->domain != NULL);
    memcpy(routes->domain, domain.p, domain.n);
    routes->domain_len = domain.n;
    routes->uncached.preview = &preview_none;
    for (size_t i = 0; i < ROUTES_CACHE_ENTRIES; i++)
        routes->cache[i].route.preview = &preview_none;
    return routes;
}

void routes_free(routes_t **routes)
{
    if (*routes == NULL)
        return;
    preview_drop(&(*routes)->uncached.preview);
    for (size_t i = 0; i < ROUTES_CACHE_ENTRIES; i++)
        preview_drop(&(*routes)->cache[i].route.preview);
    free((*routes)->domain);
    free(*routes);
    *routes = NULL;
}

/*
 * Takes eight bytes per step. An attacker that knows this function can choose names with the same
 * cache entry, and gains only a store look-up for each: the cache compares whole names.
 */
static uint64_t authority_hash(str_t s)
{
    const uint64_t odd = 0x9e3779b97f4a7c15u; /* 2^64 divided by the golden ratio */
    uint64_t hash = s.n * odd, word;
    for (; s.n >= sizeof(word); s = str_from_offset(s, sizeof(word))) {
        memcpy(&word, s.p, sizeof(word));
        hash = (hash ^ word) * odd;
        hash ^= hash >> 32;
    }
    word = 0;
    if (s.n != 0)
        memcpy(&word, s.p, s.n);
    hash = (hash ^ word) * odd;
    return hash ^ hash >> 32;
}

/* The result without a record. */
static routes_result_t without(const routes_t *routes, store_result_t result)
{
    if (result == STORE_NOT_FOUND)
        return ROUTES_NO_PREVIEW;
    return store_bad_record(routes->store) ? ROUTES_DAMAGED : ROUTES_FAILED;
}

/* Looks the host name up in the store. *preview and *box are filled for ROUTES_FOUND. */
static routes_result_t read_store(routes_t *routes, str_t authority, store_preview_t *preview,
                                  store_box_t *box)
{
    hostname_t name;
    switch (hostname_parse(authority, str_make(routes->domain, routes->domain_len), &name)) {
    case HOSTNAME_FOREIGN:
        return ROUTES_FOREIGN;
    case HOSTNAME_MALFORMED:
        return ROUTES_NO_PREVIEW;
    case HOSTNAME_PREVIEW:
        break;
    }
    str_t id = str_make(name.id, name.id_len);
    store_result_t result = store_find_preview(routes->store, id, name.port, preview);
    if (result != STORE_OK)
        return without(routes, result);
    id = str_from(preview->id);
    result = store_is_being_deleted(routes->store, id);
    if (result != STORE_NOT_FOUND)
        return result == STORE_OK ? ROUTES_NO_PREVIEW : without(routes, result);
    /* A deletion removes previews first and its record last. So a preview that is read after the record was
     * found missing does not belong to a deletion that ended in between. */
    result = store_find_preview(routes->store, str_make(name.id, name.id_len), name.port, preview);
    if (result != STORE_OK)
        return without(routes, result);
    id = str_from(preview->id);
    result = store_get_box(routes->store, id, box);
    if (result == STORE_NOT_FOUND) {
        *box = (store_box_t){.state = BOX_UNKNOWN};
        memcpy(box->id, preview->id, sizeof(box->id));
        return ROUTES_FOUND;
    }
    return result == STORE_OK ? ROUTES_FOUND : without(routes, result);
}

/* The same for *route. A record that has not changed stays shared with those that hold it. */
static routes_result_t look_up(routes_t *routes, str_t authority, route_t *route)
{
    store_preview_t preview = {.id = ""};
    routes_result_t result = read_store(routes, authority, &preview, &route->box);
    /* Padding that differs only costs a new record. NOLINTNEXTLINE(bugprone-suspicious-memory-comparison) */
    if (result == ROUTES_FOUND && memcmp(route->preview, &preview, sizeof(preview)) == 0)
        return result;
    preview_drop(&route->preview);
    if (result == ROUTES_FOUND)
        route->preview = preview_share(&preview);
    return result;
}

/* Returns the result from the cache or the store, even if the preview has expired. */
static routes_result_t find(routes_t *routes, str_t authority, const route_t **route)
{
    /* Read before the store, so that a change in between leaves the result with an old epoch. */
    uint64_t epoch = atomic_load_explicit(routes->epoch, memory_order_acquire);
    if (authority.n == 0 || authority.n > ROUTES_CACHE_KEY_MAX) {
        *route = &routes->uncached;
        routes->uncached.epoch = epoch;
        return look_up(routes, authority, &routes->uncached);
    }
    cache_entry_t *entry = &routes->cache[authority_hash(authority) % ROUTES_CACHE_ENTRIES];
    *route = &entry->route;
    if (entry->key_len == authority.n && entry->route.epoch == epoch &&
        memcmp(entry->key, authority.p, authority.n) == 0)
        return entry->result;
    entry->key_len = 0;
    routes_result_t result = look_up(routes, authority, &entry->route);
    if (result == ROUTES_FAILED || result == ROUTES_DAMAGED)
        return result;
    entry->route.epoch = epoch;
    entry->result = result;
    memcpy(entry->key, authority.p, authority.n);
    entry->key_len = (uint8_t)authority.n;
    return result;
}

routes_result_t routes_find(routes_t *routes, str_t authority, uint64_t now_unix, const route_t **route)
{
    routes_result_t result = find(routes, authority, route);
    if (result != ROUTES_FOUND)
        return result;
    uint64_t expires_at = (*route)->preview->expires_at;
    return expires_at != 0 && expires_at <= now_unix ? ROUTES_NO_PREVIEW : ROUTES_FOUND;
}

const char *routes_error(const routes_t *routes)
{
    return store_error(routes->store);
}

bool routes_box_exists(const store_box_t *box, bool asks_control_plane, uint64_t now_unix)
{
    if (box->state == BOX_UNKNOWN)
        return asks_control_plane;
    return box->state != BOX_GONE && (box->expires_at == 0 || now_unix < box->expires_at);
}
