#include "limit_cells.h"

#include <assert.h>
#include <string.h>

#include "shared_cell.h"

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "processes share the cells");
_Static_assert(sizeof(siphash_key_t) == 16, "the seed is the key");

/* Minimum age of a cell's time before another identity takes it: the clock of its owner's worker
 * may be behind. */
#define APART (UINT64_C(100) * 1000000 / LIMIT_UNIT_NS)

/* ---- memory ---- */

static size_t round_up(size_t n)
{
    return (n + 4095) & ~(size_t)4095;
}

/* Each worker's counts begin on a separate page, so that absent workers cost no memory. */
static size_t counts_size(uint32_t cells)
{
    return round_up((cells + LIMIT_SHARED) * sizeof(uint32_t));
}

static size_t counts_offset(uint32_t cells)
{
    return round_up(sizeof(limit_t) + (cells + LIMIT_SHARED) * sizeof(limit_cell_t));
}

size_t limit_size(uint32_t cells)
{
    assert(cells >= LIMIT_WAYS && cells <= LIMIT_CELLS_MAX && (cells & (cells - 1)) == 0);
    return counts_offset(cells) + LIMIT_WORKERS_MAX * counts_size(cells);
}

limit_t *limit_init(void *memory, uint32_t cells, const uint8_t seed[16])
{
    limit_t *limit = memory;
    assert(cells >= LIMIT_WAYS && cells <= LIMIT_CELLS_MAX && (cells & (cells - 1)) == 0);
    assert((uintptr_t)memory % alignof(limit_t) == 0);
    memcpy(&limit->hash_key, seed, sizeof(limit->hash_key));
    atomic_store(&limit->cells, cells);
    for (uint32_t i = cells; i < cells + LIMIT_SHARED; i++)
        atomic_store(&limit->cell[i].arrival, limit_time_word(0, 0));
    return limit;
}

/* ---- requests in flight ---- */

static _Atomic uint32_t *counts_of(const limit_t *limit, unsigned worker)
{
    uint32_t cells = limit_cells(limit);
    char *base = (char *)limit + counts_offset(cells);
    assert(worker < LIMIT_WORKERS_MAX);
    return (_Atomic uint32_t *)(void *)(base + worker * counts_size(cells));
}

static uint32_t workers_counted(const limit_t *limit)
{
    return shared_at_most(&limit->workers, LIMIT_WORKERS_MAX);
}

void limit_count_up(limit_t *limit, unsigned worker, uint32_t index)
{
    uint32_t workers = atomic_load(&limit->workers);
    while (workers <= worker && !atomic_compare_exchange_weak(&limit->workers, &workers, worker + 1))
        ;
    atomic_fetch_add(&counts_of(limit, worker)[index], 1);
}

void limit_count_down(limit_t *limit, unsigned worker, uint32_t index)
{
    shared_count_down(&counts_of(limit, worker)[index]);
}

uint32_t limit_in_flight(const limit_t *limit, uint32_t index)
{
    uint32_t sum = 0, workers = workers_counted(limit);
    for (uint32_t i = 0; i < workers; i++)
        sum += atomic_load(&counts_of(limit, i)[index]);
    return sum;
}

void limit_worker_wipe(limit_t *limit, unsigned worker)
{
    uint32_t cells = limit_cells(limit);
    _Atomic uint32_t *counts = counts_of(limit, worker);
    if (worker >= workers_counted(limit))
        return; /* reading pages that were never written would allocate them */
    for (uint32_t i = 0; i < cells + LIMIT_SHARED; i++)
        if (atomic_load_explicit(&counts[i], memory_order_relaxed) != 0)
            atomic_store(&counts[i], 0);
}

/* ---- cells ---- */

uint64_t limit_hash(const limit_t *limit, const limit_id_t *id)
{
    uint64_t hash = limit_value_of(siphash(&limit->hash_key, id->sha256, sizeof(id->sha256)));
    return hash != 0 ? hash : 1;
}

static uint32_t set_of(const limit_t *limit, uint64_t hash)
{
    return ((uint32_t)hash & (limit_cells(limit) / LIMIT_WAYS - 1)) * LIMIT_WAYS;
}

/* The relation of a cell to an identity. */
typedef enum standing {
    STRANGER, /* another identity's, without owner, withdrawn, or changing hands */
    PENDING,  /* between steps 2 and 3 */
    MEMBER,   /* can be charged */
} standing_t;

static standing_t standing_of(const limit_cell_t *cell, uint64_t hash, uint64_t *arrival)
{
    uint64_t owner = atomic_load(&cell->owner);
    if (limit_value_of(owner) != hash)
        return STRANGER;
    *arrival = atomic_load(&cell->arrival);
    if (limit_round_of(*arrival) != limit_round_of(owner) || limit_value_of(*arrival) == LIMIT_WITHDRAWN)
        return STRANGER;
    return limit_value_of(*arrival) == LIMIT_PENDING ? PENDING : MEMBER;
}

static standing_t find(const limit_t *limit, uint64_t hash, limit_place_t *place)
{
    uint32_t first = set_of(limit, hash);
    uint64_t arrival;
    for (uint32_t i = first; i < first + LIMIT_WAYS; i++) {
        standing_t standing = standing_of(&limit->cell[i], hash, &arrival);
        if (standing == STRANGER)
            continue;
        *place = (limit_place_t){i, limit_round_of(arrival)};
        return standing;
    }
    return STRANGER;
}

static void withdraw(limit_cell_t *cell, uint64_t round)
{
    uint64_t pending = limit_word(LIMIT_PENDING, round);
    (void)atomic_compare_exchange_strong(&cell->arrival, &pending, limit_word(LIMIT_WITHDRAWN, round));
}

/* Makes step 3 for a pending cell of the identity, or withdraws the cell. If another process
 * interferes, perhaps neither happens, so the caller looks again. */
static void settle(limit_t *limit, uint64_t hash, const limit_place_t *place, uint64_t now)
{
    uint32_t first = set_of(limit, hash);
    limit_cell_t *cell = &limit->cell[place->index];
    uint64_t pending = limit_word(LIMIT_PENDING, place->round), arrival;
    for (uint32_t i = first; i < first + LIMIT_WAYS; i++) {
        standing_t standing = i == place->index ? STRANGER : standing_of(&limit->cell[i], hash, &arrival);
        if (standing == STRANGER)
            continue;
        if (standing == MEMBER || i < place->index)
            withdraw(cell, place->round);
        else
            withdraw(&limit->cell[i], limit_round_of(arrival));
        return;
    }
    (void)atomic_compare_exchange_strong(&cell->arrival, &pending, limit_time_word(now, place->round));
}

/* Returns whether another identity may take the cell. *since is the arrival time, or 0 without an
 * owner. */
static bool is_free(const limit_t *limit, uint32_t index, uint64_t owner, uint64_t arrival, uint64_t now,
                    uint64_t *since)
{
    bool nobodys = limit_value_of(owner) == 0 || limit_value_of(arrival) == LIMIT_WITHDRAWN;
    *since = nobodys ? 0 : limit_value_of(arrival);
    return nobodys || (*since + APART <= now && limit_in_flight(limit, index) == 0);
}

/* Step 2. If the two words were read at different times, the swap fails. */
static void take_over(limit_cell_t *cell, uint64_t owner, uint64_t arrival, uint64_t hash)
{
    (void)atomic_compare_exchange_strong(&cell->owner, &owner, limit_word(hash, limit_round_of(arrival)));
}

/*
 * Steps 1 and 2: takes a cell that is changing hands, one without owner, or the one whose burst has
 * been whole the longest. Returns false if none is free. True does not imply success, because
 * another process may have been faster: look again.
 */
static bool claim(limit_t *limit, uint64_t hash, uint64_t now)
{
    uint32_t first = set_of(limit, hash);
    limit_cell_t *best = NULL;
    uint64_t best_owner = 0, best_arrival = 0, best_since = UINT64_MAX, since;
    for (uint32_t i = first; i < first + LIMIT_WAYS && best_since != 0; i++) {
        limit_cell_t *cell = &limit->cell[i];
        uint64_t owner = atomic_load(&cell->owner), arrival = atomic_load(&cell->arrival);
        if (limit_round_of(arrival) != limit_round_of(owner)) {
            take_over(cell, owner, arrival, hash);
            return true;
        }
        if (limit_value_of(owner) == hash && limit_value_of(arrival) != LIMIT_WITHDRAWN)
            return true;
        if (limit_value_of(owner) != 0 && limit_value_of(arrival) == LIMIT_PENDING) {
            /* The process that began to take it may have died; without this, the cell would never
             * be freed. */
            settle(limit, limit_value_of(owner), &(limit_place_t){i, limit_round_of(arrival)}, now);
            return true;
        }
        if (!is_free(limit, i, owner, arrival, now, &since) || since >= best_since)
            continue;
        best = cell;
        best_owner = owner;
        best_arrival = arrival;
        best_since = since;
    }
    if (best == NULL)
        return false;
    uint64_t taken = limit_word(LIMIT_PENDING, limit_round_of(best_arrival + 1));
    if (atomic_compare_exchange_strong(&best->arrival, &best_arrival, taken))
        take_over(best, best_owner, taken, hash);
    return true;
}

bool limit_cell_find(const limit_t *limit, uint64_t hash, limit_place_t *place)
{
    return find(limit, hash, place) == MEMBER;
}

bool limit_cell_get(limit_t *limit, uint64_t hash, uint64_t now, limit_place_t *place)
{
    for (int i = 0; i < LIMIT_TRIES; i++) {
        switch (find(limit, hash, place)) {
        case MEMBER:
            return true;
        case PENDING:
            settle(limit, hash, place, now);
            break;
        case STRANGER:
            if (!claim(limit, hash, now))
                return false;
        }
    }
    return false;
}
