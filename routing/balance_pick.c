/*
 * See balance.h. A pick: the eligible servers, and the request slots that it holds. A worker counts
 * itself first and reads the sum afterwards. If two workers take the last request slot at the same
 * time, at least one of them sees both.
 */
#include "balance_internal.h"

/* ---- counts ---- */

static void take_part(balance_t *balance, unsigned worker)
{
    uint32_t workers = atomic_load(&balance->workers);
    while (workers <= worker && !atomic_compare_exchange_weak(&balance->workers, &workers, worker + 1))
        ;
}

uint32_t balance_load(const balance_t *balance, const upstream_t *upstream, unsigned slot, uint32_t tag)
{
    uint32_t sum = 0, workers = balance_workers(balance);
    for (uint32_t w = 0; w < workers; w++) {
        uint64_t cell = atomic_load(&upstream->cells[slot][w]);
        sum += balance_tag_of(cell) == tag ? (uint32_t)cell : 0;
    }
    return sum;
}

/* Of all servers, including those removed since. */
static uint32_t load_all(const balance_t *balance, const upstream_t *upstream)
{
    uint32_t sum = 0, workers = balance_workers(balance);
    for (uint32_t w = 0; w < workers; w++)
        sum += atomic_load(&upstream->in_flight[w]);
    return sum;
}

/* Only its worker changes a cell. */
static void cell_add(_Atomic uint64_t *cell, uint32_t tag)
{
    if (balance_tag_of(atomic_load(cell)) == tag)
        atomic_fetch_add(cell, 1);
    else
        atomic_store(cell, balance_tagged(tag, 1)); /* the old count belongs to a removed server */
}

static void cell_remove(_Atomic uint64_t *cell, uint32_t tag)
{
    uint64_t word = atomic_load(cell);
    if (balance_tag_of(word) == tag && (uint32_t)word != 0)
        atomic_fetch_sub(cell, 1);
}

/*
 * Request slots are taken up to exactly `limit`. Two workers that see each other may both have to
 * release theirs; the last of them sees the free slot and tries again.
 */
static bool take_server(const balance_t *balance, upstream_t *up, unsigned worker, unsigned slot,
                        uint32_t tag, uint32_t limit)
{
    _Atomic uint64_t *cell = &up->cells[slot][worker];
    for (int i = 0; i < BALANCE_TRIES; i++) {
        cell_add(cell, tag);
        if (limit == 0 || balance_load(balance, up, slot, tag) <= limit)
            return true;
        cell_remove(cell, tag);
        if (balance_load(balance, up, slot, tag) >= limit)
            return false;
    }
    return false;
}

static bool take_upstream(const balance_t *balance, upstream_t *up, unsigned worker, uint32_t limit)
{
    for (int i = 0; i < BALANCE_TRIES; i++) {
        atomic_fetch_add(&up->in_flight[worker], 1);
        if (limit == 0 || load_all(balance, up) <= limit)
            return true;
        shared_count_down(&up->in_flight[worker]);
        if (load_all(balance, up) >= limit)
            return false;
    }
    return false;
}

static void leave_upstream(upstream_t *up, unsigned worker)
{
    shared_count_down(&up->in_flight[worker]);
}

/* ---- a pick ---- */

/* Sets the slots that share the load: the usable ones, or all that are not drained if too few are
 * usable. */
static void look_around(picking_t *picking)
{
    upstream_t *up = picking->upstream;
    uint64_t wanted = atomic_load(&up->present) & ~atomic_load(&up->drained);
    uint64_t watched = atomic_load(&up->watched) & wanted, ejected = 0;
    if (watched != 0)
        ejected = balance_ejected_of(up, watched, picking->conf->slow_start, picking->now_ms, &picking->slow);
    uint64_t usable = wanted & atomic_load(&up->up) & ~ejected;
    picking->all = usable;
    if (usable == wanted) /* the usual case: no need to count */
        return;
    unsigned least = (unsigned)__builtin_popcountll(wanted) * picking->conf->panic_percent;
    if ((unsigned)__builtin_popcountll(usable) * 100 < least)
        picking->all = wanted;
}

typedef enum held { HELD, HELD_FULL, HELD_GONE } held_t;

/* Takes a request slot at the server in `slot`, unless it then had more than `limit` in flight. */
static held_t hold(picking_t *picking, unsigned worker, unsigned slot, uint32_t limit, balance_pick_t *out)
{
    server_slot_t *server = &picking->upstream->slots[slot];
    server_place_t place;
    if (!balance_read(server, &place, NULL))
        return HELD_GONE;
    uint32_t tag = balance_tag(place.generation);
    if (!take_server(picking->balance, picking->upstream, worker, slot, tag, limit))
        return HELD_FULL;
    atomic_fetch_add_explicit(&server->requests, 1, memory_order_relaxed);
    *out = (balance_pick_t){
        .held = true,
        .slot = (uint8_t)slot,
        .index = place.index,
        .port = place.port,
        .generation = place.generation,
        .address = place.address,
    };
    return HELD;
}

static uint32_t least_limit(uint32_t a, uint32_t b)
{
    return a != 0 && a < b ? a : b;
}

/* Tries slots one after the other, by the policy, until a server has room. `bound`: no server takes
 * more than its part. *full: the slots without room. */
static bool hold_one(picking_t *picking, unsigned worker, uint64_t slots, bool bound, uint64_t *full,
                     balance_pick_t *out)
{
    *full = 0;
    while (slots != 0) {
        unsigned slot = balance_choose(picking, slots);
        uint32_t limit = picking->conf->server_in_flight;
        if (bound) /* the upstream's count already includes this request */
            limit = least_limit(limit,
                                balance_bound(picking, slot, load_all(picking->balance, picking->upstream)));
        held_t held = hold(picking, worker, slot, limit, out);
        if (held == HELD)
            return true;
        *full |= held == HELD_FULL ? balance_bit(slot) : 0;
        slots &= ~balance_bit(slot);
    }
    return false;
}

static balance_result_t pick(balance_t *balance, upstream_t *up, unsigned worker, const conf_upstream_t *conf,
                             uint64_t hash, uint64_t random, uint64_t avoid, uint64_t now_ms,
                             balance_pick_t *out)
{
    picking_t picking = {
        .balance = balance,
        .upstream = up,
        .conf = conf,
        .hash = hash,
        .random = random,
        .now_ms = now_ms,
    };
    bool bound = conf->balance == CONF_BALANCE_HASH;
    uint64_t full;

    assert(worker < BALANCE_WORKERS_MAX);
    take_part(balance, worker);
    out->held = false;
    look_around(&picking);
    if ((picking.all & ~avoid) == 0)
        return BALANCE_NONE;
    if (!take_upstream(balance, up, worker, conf->in_flight))
        return BALANCE_FULL;
    if (hold_one(&picking, worker, picking.all & ~avoid, bound, &full, out))
        return BALANCE_OK;
    /* All servers outside `avoid` have their part, or other requests came meanwhile: ignore the
     * bound. */
    if (bound && full != 0 && hold_one(&picking, worker, full, false, &full, out))
        return BALANCE_OK;
    leave_upstream(up, worker);
    return full != 0 ? BALANCE_FULL : BALANCE_NONE;
}

balance_result_t balance_pick(balance_t *balance, unsigned worker, unsigned upstream,
                              const conf_upstream_t *conf, uint64_t hash, uint64_t random, uint64_t avoid,
                              uint64_t now_ms, balance_pick_t *out)
{
    upstream_t *up = balance_upstream(balance, upstream);
    out->held = false;
    /* Servers are published before their upstream's id, and removed after it. They are therefore
     * conf->id's if the id is the same before and after the pick, and `changes` is too. */
    uint64_t changes = atomic_load(&up->changes);
    if (atomic_load(&up->id) == conf->id) {
        balance_result_t result = pick(balance, up, worker, conf, hash, random, avoid, now_ms, out);
        if (atomic_load(&up->id) == conf->id && atomic_load(&up->changes) == changes)
            return result;
    }
    if (out->held)
        (void)balance_done(balance, worker, upstream, conf, out, BALANCE_LEFT, 0, now_ms);
    return BALANCE_FULL;
}

/* ---- its end ---- */

bool balance_done(balance_t *balance, unsigned worker, unsigned upstream, const conf_upstream_t *conf,
                  balance_pick_t *pick, balance_outcome_t outcome, uint32_t latency_us, uint64_t now_ms)
{
    upstream_t *up = balance_upstream(balance, upstream);
    if (!pick->held)
        return false;
    assert(worker < BALANCE_WORKERS_MAX && pick->slot < BALANCE_SERVERS_MAX);
    pick->held = false;
    cell_remove(&up->cells[pick->slot][worker], balance_tag(pick->generation));
    leave_upstream(up, worker);
    balance_outcome(up, pick, conf, outcome, latency_us, now_ms);
    return (conf->server_in_flight != 0 || conf->in_flight != 0) && balance_waiters(balance, upstream) != 0;
}
