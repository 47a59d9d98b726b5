/*
 * See balance.h. The controller's side: the set of servers. The controller may die at any point. A
 * server is complete before its bit in `present` is set, and the bit is cleared before the server
 * is removed. A successor therefore finds each server whole or absent.
 */
#include "balance_internal.h"

/* A reader that meets this many changes in a row treats the slot as empty. */
#define READ_TRIES 1000

size_t balance_size(void)
{
    return sizeof(balance_t);
}

balance_t *balance_init(void *memory)
{
    assert((uintptr_t)memory % alignof(balance_t) == 0);
    return memory;
}

/* ---- copies ---- */

bool balance_read(const server_slot_t *slot, server_place_t *out, char *name)
{
    for (int i = 0; i < READ_TRIES; i++) {
        uint64_t version = atomic_load(&slot->version);
        const server_copy_t *copy = &slot->copies[version % 2];
        uint64_t address[2], words[NAME_WORDS];
        out->generation = atomic_load(&copy->generation);
        address[0] = atomic_load(&copy->address[0]);
        address[1] = atomic_load(&copy->address[1]);
        uint64_t place = atomic_load(&copy->place);
        for (size_t w = 0; name != NULL && w < NAME_WORDS; w++)
            words[w] = atomic_load(&copy->name[w]);
        /* The current copy is never written, so it is whole if it still is the current one. */
        if (atomic_load(&slot->version) != version)
            continue;
        memcpy(&out->address, address, sizeof(address));
        out->weight = (uint32_t)(place >> 32);
        out->index = (uint16_t)(place >> 16);
        out->port = (uint16_t)place;
        if (name != NULL) {
            memcpy(name, words, sizeof(words));
            name[CONF_SERVER_MAX] = '\0';
        }
        return out->generation != 0;
    }
    return false;
}

/* `server` NULL: none. */
static void publish(server_slot_t *slot, const balance_server_t *server, uint64_t generation)
{
    uint64_t version = atomic_load(&slot->version), address[2] = {0}, words[NAME_WORDS] = {0}, place = 0;
    server_copy_t *copy = &slot->copies[(version + 1) % 2];
    if (server != NULL) {
        memcpy(address, &server->address, sizeof(address));
        memcpy(words, server->name, strnlen(server->name, CONF_SERVER_MAX));
        place = (uint64_t)server->weight << 32 | (uint64_t)server->index << 16 | server->port;
    }
    atomic_store(&copy->generation, generation);
    atomic_store(&copy->address[0], address[0]);
    atomic_store(&copy->address[1], address[1]);
    atomic_store(&copy->place, place);
    for (size_t w = 0; w < NAME_WORDS; w++)
        atomic_store(&copy->name[w], words[w]);
    atomic_store(&slot->version, version + 1);
    atomic_store(&slot->generation, generation);
    atomic_store(&slot->weight, server != NULL ? server->weight : 0);
}

/* ---- the servers of an upstream ---- */

/* A server's key for consistent hashing: the same in every process and on every machine. */
static uint64_t key_of(const balance_server_t *server)
{
    uint64_t part[2], hash;
    memcpy(part, &server->address, sizeof(part));
    hash = (part[0] ^ 0x9e3779b97f4a7c15u) * 0xff51afd7ed558ccdu;
    hash = (hash ^ hash >> 32 ^ part[1]) * 0xc4ceb9fe1a85ec53u;
    return (hash ^ hash >> 29 ^ server->port) * 0x94d049bb133111ebu;
}

static bool is_same(const balance_server_t *server, const server_place_t *place, const char *name)
{
    return place->port == server->port && strncmp(name, server->name, CONF_SERVER_MAX) == 0 &&
           memcmp(&place->address, &server->address, sizeof(place->address)) == 0;
}

/* The slot of a server in `present`, or BALANCE_SERVERS_MAX. */
static unsigned find(const upstream_t *upstream, uint64_t present, const balance_server_t *server)
{
    for (uint64_t left = present; left != 0; left &= left - 1) {
        char name[CONF_SERVER_MAX + 1];
        server_place_t place;
        unsigned i = balance_first(left);
        if (balance_read(&upstream->slots[i], &place, name) && is_same(server, &place, name))
            return i;
    }
    return BALANCE_SERVERS_MAX;
}

static bool has_name(const server_slot_t *slot, str_t name)
{
    char own[CONF_SERVER_MAX + 1];
    server_place_t place;
    return balance_read(slot, &place, own) && str_eq(str_from(own), name);
}

/* A drained name stays drained when it gets another address. */
static bool is_drained_name(const upstream_t *upstream, const char *name)
{
    uint64_t drained = atomic_load(&upstream->present) & atomic_load(&upstream->drained);
    for (; drained != 0; drained &= drained - 1)
        if (has_name(&upstream->slots[balance_first(drained)], str_from(name)))
            return true;
    return false;
}

static void put_bit(_Atomic uint64_t *set, unsigned slot, bool on)
{
    if (on)
        atomic_fetch_or(set, balance_bit(slot));
    else
        atomic_fetch_and(set, ~balance_bit(slot));
}

/* Never 0. */
static uint64_t new_generation(balance_t *balance)
{
    uint64_t generation = atomic_fetch_add(&balance->generations, 1) + 1;
    return generation != 0 ? generation : 1;
}

static void add(balance_t *balance, upstream_t *upstream, unsigned i, const balance_server_t *server,
                bool drained, uint64_t now_ms)
{
    server_slot_t *slot = &upstream->slots[i];
    uint64_t generation = new_generation(balance);
    balance_health_reset(slot, generation);
    atomic_store(&slot->key, key_of(server));
    atomic_store(&slot->since_ms, now_ms);
    publish(slot, server, generation);
    put_bit(&upstream->up, i, true);
    put_bit(&upstream->drained, i, drained);
    put_bit(&upstream->watched, i, true);
    put_bit(&upstream->present, i, true);
}

static void remove_all(upstream_t *upstream, uint64_t slots)
{
    for (; slots != 0; slots &= slots - 1) {
        unsigned i = balance_first(slots);
        put_bit(&upstream->present, i, false);
        publish(&upstream->slots[i], NULL, 0);
    }
}

/* Removes servers that a controller had begun to add or remove when it died. */
static void clean(upstream_t *upstream, uint64_t present)
{
    for (unsigned i = 0; i < BALANCE_SERVERS_MAX; i++)
        if ((present & balance_bit(i)) == 0 && atomic_load(&upstream->slots[i].generation) != 0)
            publish(&upstream->slots[i], NULL, 0);
}

static void keep(balance_t *balance, server_slot_t *slot, const balance_server_t *server)
{
    server_place_t place;
    bool there = balance_read(slot, &place, NULL);
    if (!there) /* overwritten since it was found */
        place = (server_place_t){.generation = new_generation(balance)};
    /* If a controller died, the weight beside the copy may still be the former one. */
    if (!there || place.weight != server->weight || place.index != server->index ||
        atomic_load(&slot->weight) != server->weight || atomic_load(&slot->generation) != place.generation)
        publish(slot, server, place.generation);
}

/* Adds the servers in `missing` (bit n: servers[n]) to the slots that are not in `*present`; returns those
 * that found none. */
static uint64_t add_all(balance_t *balance, upstream_t *upstream, const balance_server_t *servers,
                        uint64_t missing, uint64_t drained, uint64_t *present, uint64_t now_ms)
{
    for (uint64_t left = missing; left != 0 && *present != UINT64_MAX; left &= left - 1) {
        unsigned n = balance_first(left), i = balance_first(~*present);
        missing &= ~balance_bit(n);
        if (find(upstream, *present, &servers[n]) != BALANCE_SERVERS_MAX)
            continue; /* the list has the server twice */
        add(balance, upstream, i, &servers[n], (drained & balance_bit(n)) != 0, now_ms);
        *present |= balance_bit(i);
    }
    return missing;
}

unsigned balance_find(const balance_t *balance, uint64_t id, unsigned guess)
{
    assert(guess < BALANCE_UPSTREAMS_MAX);
    if (atomic_load(&balance->upstreams[guess].id) == id)
        return guess;
    for (unsigned i = 0; i < BALANCE_UPSTREAMS_MAX; i++)
        if (atomic_load(&balance->upstreams[i].id) == id)
            return i;
    return BALANCE_UPSTREAMS_MAX;
}

static void set_servers(balance_t *balance, upstream_t *up, const balance_server_t *servers, size_t count,
                        uint64_t now_ms)
{
    uint64_t kept = 0, missing = 0, drained = 0;
    uint64_t present = atomic_load(&up->present); /* the cell is not read again */
    uint32_t weight_max = 0;
    assert(count <= BALANCE_SERVERS_MAX);

    clean(up, present);
    for (unsigned n = 0; n < count; n++) {
        unsigned i = find(up, present, &servers[n]);
        assert(servers[n].weight >= 1 && servers[n].weight <= BALANCE_WEIGHT_MAX);
        weight_max = servers[n].weight > weight_max ? servers[n].weight : weight_max;
        if (i == BALANCE_SERVERS_MAX) {
            missing |= balance_bit(n);
            drained |= is_drained_name(up, servers[n].name) ? balance_bit(n) : 0;
        } else if ((kept & balance_bit(i)) == 0) {
            kept |= balance_bit(i);
            keep(balance, &up->slots[i], &servers[n]);
        }
    }
    /* Raise the maximum first: it must never be too small for the draws by share. */
    if (weight_max > atomic_load(&up->weight_max))
        atomic_store(&up->weight_max, weight_max);
    uint64_t gone = present & ~kept;
    /* Add new servers first: if slots suffice, the set never has fewer servers than before or
     * after. */
    missing = add_all(balance, up, servers, missing, drained, &present, now_ms);
    remove_all(up, gone);
    present &= ~gone;
    missing = add_all(balance, up, servers, missing, drained, &present, now_ms);
    assert(missing == 0);
    atomic_store(&up->present, present); /* repairs cells that another process wrote meanwhile */
    atomic_store(&up->weight_max, weight_max);
    if (count > 0 && atomic_load(&up->begun) == 0) {
        atomic_store(&up->retries, (uint32_t)count * 100);
        atomic_store(&up->begun, 1);
    }
}

void balance_set(balance_t *balance, unsigned upstream, uint64_t id, const balance_server_t *servers,
                 size_t count, uint64_t now_ms)
{
    upstream_t *up = balance_upstream(balance, upstream);
    if (atomic_load(&up->id) != id) {
        /* Count before the id changes: a pick must notice that an id went away and came back. */
        atomic_fetch_add(&up->changes, 1);
        atomic_store(&up->id, BALANCE_NOBODY); /* no reader may see a server under another upstream's id */
        set_servers(balance, up, NULL, 0, now_ms);
        atomic_store(&up->begun, 0);
    }
    set_servers(balance, up, servers, count, now_ms);
    atomic_store(&up->id, id);
}

bool balance_look(const balance_t *balance, unsigned upstream, unsigned slot, uint64_t now_ms,
                  balance_view_t *out)
{
    assert(upstream < BALANCE_UPSTREAMS_MAX && slot < BALANCE_SERVERS_MAX);
    const upstream_t *up = &balance->upstreams[upstream];
    const server_slot_t *server = &up->slots[slot];
    server_place_t place;
    *out = (balance_view_t){.slot = slot};
    if ((atomic_load(&up->present) & balance_bit(slot)) == 0 ||
        !balance_read(server, &place, out->server.name))
        return false;
    out->server.index = place.index;
    out->server.address = place.address;
    out->server.port = place.port;
    out->server.weight = place.weight;
    out->generation = place.generation;
    out->up = (atomic_load(&up->up) & balance_bit(slot)) != 0;
    out->drained = (atomic_load(&up->drained) & balance_bit(slot)) != 0;
    out->ejected_ms = balance_ejected_ms(server, now_ms);
    out->in_flight = balance_load(balance, up, slot, balance_tag(place.generation));
    out->latency_us = balance_latency(server, now_ms);
    out->requests = atomic_load(&server->requests);
    out->failures = atomic_load(&server->failures);
    out->ejections = atomic_load(&server->ejections);
    return true;
}

bool balance_is_of(const balance_server_t *server, const conf_upstream_t *conf)
{
    return server->index < conf->server_count && strcmp(conf->servers[server->index].text, server->name) == 0;
}

void balance_set_up(balance_t *balance, unsigned upstream, unsigned slot, uint64_t generation, bool up,
                    uint64_t now_ms)
{
    upstream_t *of = balance_upstream(balance, upstream);
    assert(slot < BALANCE_SERVERS_MAX);
    /* Only the caller adds and removes servers, so this cannot change meanwhile. */
    if ((atomic_load(&of->present) & balance_bit(slot)) == 0 ||
        atomic_load(&of->slots[slot].generation) != generation)
        return;
    if (up && (atomic_load(&of->up) & balance_bit(slot)) == 0) {
        atomic_store(&of->slots[slot].since_ms, now_ms);
        put_bit(&of->watched, slot, true);
    }
    put_bit(&of->up, slot, up);
}

size_t balance_drain(balance_t *balance, unsigned upstream, str_t name, bool drain, uint64_t now_ms)
{
    upstream_t *up = balance_upstream(balance, upstream);
    size_t found = 0;
    for (uint64_t left = atomic_load(&up->present); left != 0; left &= left - 1) {
        unsigned i = balance_first(left);
        if (!has_name(&up->slots[i], name))
            continue;
        found++;
        if (!drain && (atomic_load(&up->drained) & balance_bit(i)) != 0) {
            atomic_store(&up->slots[i].since_ms, now_ms); /* it returns with a slow start */
            put_bit(&up->watched, i, true);
        }
        put_bit(&up->drained, i, drain);
    }
    return found;
}

/* ---- workers ---- */

void balance_waiters_add(balance_t *balance, unsigned worker, unsigned upstream, int n)
{
    assert(worker < BALANCE_WORKERS_MAX);
    uint32_t workers = atomic_load(&balance->workers);
    while (workers <= worker && !atomic_compare_exchange_weak(&balance->workers, &workers, worker + 1))
        ;
    _Atomic uint32_t *own = &balance_upstream(balance, upstream)->waiters[worker];
    if (n >= 0)
        atomic_fetch_add(own, (uint32_t)n);
    for (; n < 0; n++)
        shared_count_down(own);
}

uint32_t balance_waiters(const balance_t *balance, unsigned upstream)
{
    uint32_t sum = 0, workers = balance_workers(balance);
    assert(upstream < BALANCE_UPSTREAMS_MAX);
    for (uint32_t w = 0; w < workers; w++)
        sum += atomic_load(&balance->upstreams[upstream].waiters[w]);
    return sum;
}

void balance_worker_wipe(balance_t *balance, unsigned worker)
{
    assert(worker < BALANCE_WORKERS_MAX);
    for (unsigned u = 0; u < BALANCE_UPSTREAMS_MAX; u++) {
        upstream_t *up = &balance->upstreams[u];
        for (unsigned i = 0; i < BALANCE_SERVERS_MAX; i++)
            /* Read first, so that pages that were never written stay unallocated. */
            if (atomic_load_explicit(&up->cells[i][worker], memory_order_relaxed) != 0)
                atomic_store(&up->cells[i][worker], 0);
        if (atomic_load_explicit(&up->in_flight[worker], memory_order_relaxed) != 0)
            atomic_store(&up->in_flight[worker], 0);
        if (atomic_load_explicit(&up->waiters[worker], memory_order_relaxed) != 0)
            atomic_store(&up->waiters[worker], 0);
    }
}
