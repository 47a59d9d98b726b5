/*
 * A cell belongs to one identity and holds one number, the theoretical arrival time of GCRA (ITU-T I.371):
 * the time at which its burst is whole again. What it has in flight is counted in slots, one for each worker.
 *
 *   owner:    hash of the identity 56 | round 8       hash 0: nobody's
 *   arrival:  time in 8 ns 56 | round 8               of another round than the owner's: the cell is being
 * taken
 *
 * A cell is taken in two steps, each a compare-and-swap: the arrival word, whose time must be past, gets the
 * next round (from here on nobody can charge the old owner), then the owner word does. Whoever finds a cell
 * between the two may make the second step, for itself: so nobody waits for a process that died there. Every
 * charge changes the arrival word, if by 8 ns only, and is counted in flight before: a taker that saw the
 * cell idle before finds another word. So a charge that was admitted is never forgotten while it matters.
 *
 * Two workers that make a cell for one identity at the same time choose the same one, unless cells beside it
 * change in between; then the identity has two for a moment, and what was charged to the second is forgotten.
 */
#include "limit.h"

#include <assert.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <string.h>

#include "siphash.h"

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "processes share the cells");
_Static_assert(sizeof(siphash_key_t) == 16, "the seed is the key");

/* Cells that one identity may be in. */
#define WAYS 8
/* What other processes change meanwhile is tried again so often; then the shared bucket is charged. */
#define TRIES 1000

#define ROUND_BITS 8
#define ROUND_MASK UINT64_C(0xff)
#define UNIT_NS    8

/* Requests that no rate limits move the arrival time too; not beyond this. */
#define NO_RATE_BURST (UINT64_C(1) << 30)

#define REFUSED_CELLS 4096
/* A time in 2^18 us (0.26 s), 24 bits of it: enough to tell which of two within weeks comes first. */
#define REFUSED_SHIFT 18

typedef struct cell {
    _Atomic uint64_t owner;
    _Atomic uint64_t arrival;
} cell_t;

struct limit {
    siphash_key_t hash_key; /* constant, as what follows */
    uint32_t cells;
    alignas(64) _Atomic uint32_t workers; /* those above never counted anything */
    alignas(64) _Atomic uint64_t refused[REFUSED_CELLS];
    alignas(64) cell_t cell[]; /* `cells`, then the shared one, then the counts of each worker */
};

static size_t round_up(size_t n)
{
    return (n + 4095) & ~(size_t)4095;
}

/* The counts of one worker begin on a page of their own, so that those of workers that do not exist cost
 * nothing. */
static size_t counts_size(uint32_t cells)
{
    return round_up((cells + 1) * sizeof(uint32_t));
}

static size_t counts_offset(uint32_t cells)
{
    return round_up(sizeof(limit_t) + (cells + 1) * sizeof(cell_t));
}

size_t limit_size(uint32_t cells)
{
    assert(cells >= WAYS && (cells & (cells - 1)) == 0);
    return counts_offset(cells) + LIMIT_WORKERS_MAX * counts_size(cells);
}

limit_t *limit_init(void *memory, uint32_t cells, const uint8_t seed[16])
{
    limit_t *limit = memory;
    assert(cells >= WAYS && (cells & (cells - 1)) == 0);
    assert((uintptr_t)memory % alignof(limit_t) == 0);
    memcpy(&limit->hash_key, seed, sizeof(limit->hash_key));
    limit->cells = cells;
    return limit;
}

/* ---- words ---- */

static uint64_t round_of(uint64_t word)
{
    return word & ROUND_MASK;
}

static uint64_t next_round(uint64_t word)
{
    return (round_of(word) + 1) & ROUND_MASK;
}

static uint64_t word_make(uint64_t value, uint64_t round)
{
    return value << ROUND_BITS | round;
}

static uint64_t value_of(uint64_t word)
{
    return word >> ROUND_BITS;
}

/* ---- requests in flight ---- */

static _Atomic uint32_t *counts_of(const limit_t *limit, unsigned worker)
{
    char *base = (char *)limit + counts_offset(limit->cells);
    assert(worker < LIMIT_WORKERS_MAX);
    return (_Atomic uint32_t *)(void *)(base + worker * counts_size(limit->cells));
}

static void count_up(limit_t *limit, unsigned worker, uint32_t index)
{
    uint32_t workers = atomic_load(&limit->workers);
    while (workers <= worker && !atomic_compare_exchange_weak(&limit->workers, &workers, worker + 1))
        ;
    atomic_fetch_add(&counts_of(limit, worker)[index], 1);
}

static void count_down(limit_t *limit, unsigned worker, uint32_t index)
{
    uint32_t before = atomic_fetch_sub(&counts_of(limit, worker)[index], 1);
    assert(before > 0);
    (void)before;
}

static uint32_t in_flight(const limit_t *limit, uint32_t index)
{
    uint32_t sum = 0, workers = atomic_load(&limit->workers);
    for (uint32_t i = 0; i < workers; i++)
        sum += atomic_load(&counts_of(limit, i)[index]);
    return sum;
}

void limit_worker_wipe(limit_t *limit, unsigned worker)
{
    _Atomic uint32_t *counts = counts_of(limit, worker);
    for (uint32_t i = 0; i <= limit->cells; i++)
        /* Looked at first, so that pages which were never written stay unallocated. */
        if (atomic_load_explicit(&counts[i], memory_order_relaxed) != 0)
            atomic_store(&counts[i], 0);
}

/* ---- cells of an identity ---- */

/* 56 bits, never 0. */
static uint64_t hash_of(const limit_t *limit, const limit_id_t *id)
{
    uint64_t hash = siphash(&limit->hash_key, id->sha256, sizeof(id->sha256)) >> ROUND_BITS;
    return hash != 0 ? hash : 1;
}

static uint32_t set_of(const limit_t *limit, uint64_t hash)
{
    return (uint32_t)hash & (limit->cells / WAYS - 1);
}

/* The cell of the identity, and its owner word; -1: it has none. */
static int64_t find(const limit_t *limit, uint64_t hash, uint64_t *owner)
{
    uint32_t first = set_of(limit, hash) * WAYS;
    for (uint32_t i = first; i < first + WAYS; i++) {
        *owner = atomic_load(&limit->cell[i].owner);
        if (value_of(*owner) == hash)
            return i;
    }
    return -1;
}

/* The second step, for `hash`; another process may have made it. */
static void take_over(cell_t *cell, uint64_t owner, uint64_t hash)
{
    (void)atomic_compare_exchange_strong(&cell->owner, &owner, word_make(hash, next_round(owner)));
}

/* Makes the second step where the first was made, for `hash`. */
static void finish_taking(cell_t *cell, uint64_t owner, uint64_t hash)
{
    /* Read apart, the words may be of two times: the swap fails then. */
    if (round_of(atomic_load(&cell->arrival)) == next_round(owner))
        take_over(cell, owner, hash);
}

/*
 * Tries to give the identity a cell: one that is being taken, nobody's, or the one that is whole for the
 * longest time. False where none is free. True says nothing about success: another process may have been
 * faster, so look again.
 */
static bool claim(limit_t *limit, uint64_t hash, uint64_t now)
{
    uint32_t first = set_of(limit, hash) * WAYS;
    cell_t *best = NULL;
    uint64_t best_owner = 0, best_arrival = 0;
    for (uint32_t i = first; i < first + WAYS; i++) {
        cell_t *cell = &limit->cell[i];
        uint64_t owner = atomic_load(&cell->owner), arrival = atomic_load(&cell->arrival);
        if (value_of(owner) == hash)
            return true;
        if (round_of(arrival) != round_of(owner)) {
            finish_taking(cell, owner, hash);
            return true;
        }
        bool free = value_of(owner) == 0 || (value_of(arrival) <= now && in_flight(limit, i) == 0);
        if (!free || (best != NULL && value_of(arrival) >= value_of(best_arrival)))
            continue;
        best = cell;
        best_owner = owner;
        best_arrival = arrival;
        if (value_of(owner) == 0)
            break;
    }
    if (best == NULL)
        return false;
    uint64_t taken = word_make(0, next_round(best_owner));
    if (atomic_compare_exchange_strong(&best->arrival, &best_arrival, taken))
        take_over(best, best_owner, hash);
    return true;
}

/* ---- one charge ---- */

/* The rate of a plan in units of 8 ns. */
typedef struct rate {
    uint64_t burst; /* time in which it is whole again */
    uint64_t cost;
    uint64_t interval;
} rate_t;

static rate_t rate_of(const limit_plan_t *plan, uint32_t cost)
{
    rate_t rate = {NO_RATE_BURST, 1, 0};
    if (plan->interval_ns == 0)
        return rate;
    rate.interval = (plan->interval_ns + UNIT_NS - 1) / UNIT_NS;
    rate.burst = rate.interval * plan->burst;
    rate.cost = cost != 0 ? rate.interval * cost : 1; /* a charge always changes the word */
    return rate;
}

/* The arrival time as of `now`: not in the past, and, where the clock has gone back or the plan was another
 * one, not further away than the burst. */
static uint64_t arrival_at(uint64_t arrival, const rate_t *rate, uint64_t now)
{
    if (arrival <= now)
        return now;
    return arrival - now > rate->burst ? now + rate->burst : arrival;
}

static void fill_state(limit_state_t *state, const limit_plan_t *plan, const rate_t *rate, uint64_t arrival,
                       uint64_t now)
{
    uint64_t ahead = arrival - now;
    *state = (limit_state_t){.remaining = UINT64_MAX};
    if (plan->interval_ns == 0)
        return;
    state->remaining = ahead >= rate->burst ? 0 : (rate->burst - ahead) / rate->interval;
    state->reset_ms = (ahead * UNIT_NS + 999999) / 1000000;
}

typedef enum charge { CHARGED, CHARGE_REFUSED, CHARGE_AGAIN } charge_t;

/* Charges a cell while it is of round `round`. */
static charge_t charge(cell_t *cell, uint64_t round, const limit_plan_t *plan, const rate_t *rate,
                       uint64_t now, limit_state_t *state)
{
    uint64_t word = atomic_load(&cell->arrival);
    for (int i = 0; i < TRIES; i++) {
        if (round_of(word) != round)
            return CHARGE_AGAIN;
        uint64_t arrival = arrival_at(value_of(word), rate, now), next = arrival + rate->cost;
        if (rate->cost == 1 && next - now > rate->burst)
            next = arrival; /* what is free owes nothing; the time is not past, so the cell is not taken */
        if (next - now > rate->burst) {
            fill_state(state, plan, rate, arrival, now);
            state->retry_ms = ((next - now - rate->burst) * UNIT_NS + 999999) / 1000000;
            return CHARGE_REFUSED;
        }
        if (atomic_compare_exchange_weak(&cell->arrival, &word, word_make(next, round))) {
            fill_state(state, plan, rate, next, now);
            return CHARGED;
        }
    }
    return CHARGE_AGAIN;
}

/* Counts the request in flight, then charges it; or does neither. */
static charge_t enter(limit_t *limit, unsigned worker, uint32_t index, uint64_t round,
                      const limit_plan_t *plan, const rate_t *rate, uint64_t now, limit_state_t *state,
                      limit_result_t *result)
{
    count_up(limit, worker,
             index); /* first counted, then looked at: two at once may both be refused, never let in */
    if (plan->in_flight != 0 && in_flight(limit, index) > plan->in_flight) {
        uint64_t word = atomic_load(&limit->cell[index].arrival);
        fill_state(state, plan, rate, arrival_at(round_of(word) == round ? value_of(word) : 0, rate, now),
                   now);
        state->retry_ms = 1000;
        *result = LIMIT_IN_FLIGHT;
        count_down(limit, worker, index);
        return CHARGE_REFUSED;
    }
    charge_t done = charge(&limit->cell[index], round, plan, rate, now, state);
    *result = done == CHARGED ? LIMIT_ADMITTED : LIMIT_RATE;
    if (done != CHARGED)
        count_down(limit, worker, index);
    return done;
}

limit_result_t limit_take(limit_t *limit, unsigned worker, const limit_id_t *id, const limit_plan_t *plan,
                          uint32_t cost, uint64_t now_ns, limit_state_t *state, limit_ticket_t *ticket)
{
    uint64_t hash = hash_of(limit, id), now = now_ns / UNIT_NS, owner;
    rate_t rate = rate_of(plan, cost);
    limit_result_t result = LIMIT_RATE;
    charge_t done = CHARGE_AGAIN;
    uint32_t index = limit->cells; /* the shared bucket */
    *ticket = (limit_ticket_t){0};
    if (plan->interval_ns != 0 && cost > plan->burst) {
        fill_state(state, plan, &rate, now, now);
        return LIMIT_COST;
    }
    for (int i = 0; i < TRIES && done == CHARGE_AGAIN; i++) {
        int64_t found = find(limit, hash, &owner);
        if (found < 0 && !claim(limit, hash, now))
            break;
        if (found < 0)
            continue;
        index = (uint32_t)found;
        done = enter(limit, worker, index, round_of(owner), plan, &rate, now, state, &result);
        if (done == CHARGE_AGAIN) /* it was being taken: whoever comes first makes the second step */
            finish_taking(&limit->cell[index], owner, hash);
    }
    for (int i = 0; done == CHARGE_AGAIN && i < TRIES; i++) {
        index = limit->cells;
        done = enter(limit, worker, index, 0, plan, &rate, now, state, &result);
    }
    if (done != CHARGED)
        return result;
    *ticket =
        (limit_ticket_t){.cell = index + 1, .cost = cost, .interval_ns = plan->interval_ns, .counted = true};
    return LIMIT_ADMITTED;
}

void limit_release(limit_t *limit, unsigned worker, limit_ticket_t *ticket)
{
    if (ticket->cell != 0 && ticket->counted)
        count_down(limit, worker, ticket->cell - 1);
    *ticket = (limit_ticket_t){0};
}

void limit_refund(limit_t *limit, unsigned worker, limit_ticket_t *ticket)
{
    const limit_plan_t plan = {.interval_ns = ticket->interval_ns, .burst = 1};
    if (ticket->cell != 0 && ticket->cost != 0 && ticket->interval_ns != 0) {
        /* It is in flight, so the cell is still its owner's. */
        _Atomic uint64_t *arrival = &limit->cell[ticket->cell - 1].arrival;
        uint64_t word = atomic_load(arrival), back = rate_of(&plan, ticket->cost).cost, next;
        do
            next = word_make(value_of(word) > back ? value_of(word) - back : 0, round_of(word));
        while (!atomic_compare_exchange_weak(arrival, &word, next));
    }
    limit_release(limit, worker, ticket);
}

/* ---- keys that the upstream has taken, or refused ---- */

bool limit_has(const limit_t *limit, const limit_id_t *id)
{
    uint64_t owner;
    return find(limit, hash_of(limit, id), &owner) >= 0;
}

void limit_accept(limit_t *limit, const limit_id_t *id, const limit_plan_t *plan, uint64_t now_ns)
{
    uint64_t hash = hash_of(limit, id), owner;
    (void)plan;
    for (int i = 0; i < WAYS && find(limit, hash, &owner) < 0; i++)
        if (!claim(limit, hash, now_ns / UNIT_NS))
            return;
}

static uint64_t refused_time(uint64_t now_ns)
{
    return (now_ns / 1000 >> REFUSED_SHIFT) & 0xffffff;
}

static _Atomic uint64_t *refused_cell(const limit_t *limit, uint64_t hash)
{
    return (_Atomic uint64_t *)&limit->refused[hash % REFUSED_CELLS];
}

void limit_refuse(limit_t *limit, const limit_id_t *id, uint64_t now_ns, uint32_t for_ms)
{
    uint64_t hash = hash_of(limit, id);
    uint64_t until = refused_time(now_ns + for_ms * UINT64_C(1000000)) + 1;
    atomic_store(refused_cell(limit, hash), hash >> 16 << 24 | (until & 0xffffff));
}

bool limit_is_refused(const limit_t *limit, const limit_id_t *id, uint64_t now_ns)
{
    uint64_t hash = hash_of(limit, id), word = atomic_load(refused_cell(limit, hash));
    uint64_t left = (word - refused_time(now_ns)) & 0xffffff;
    return word >> 24 == hash >> 16 && left != 0 && left < 0x800000;
}
