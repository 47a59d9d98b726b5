/*
 * The table behind limit.h: the owner and the requests in flight of each cell. Only limit.c uses
 * it.
 *
 * A cell holds one number, the theoretical arrival time of GCRA: the time at which its burst is
 * whole again.
 *
 *   owner:    hash of the identity 56 | round 8     hash 0: no owner
 *   arrival:  time in 8 ns 56 | round 8             round differs from the owner's: the cell is
 *                                                   changing hands
 *
 * A charge is one compare-and-swap of the arrival word, and only in the owner's round. A cell
 * changes hands in three steps of one compare-and-swap each. Any process that finds a step
 * incomplete may finish it, so no process waits for one that died or stalled:
 *
 *   1. arrival -> (PENDING, next round)     the old owner can no longer be charged
 *   2. owner   -> (new owner, next round)
 *   3. arrival -> (time, next round)        once no other cell of the set is the new owner's
 *
 * Step 3 prevents two cells for one identity, when two processes look for a cell at the same time
 * and find different free ones. Before step 3 a process checks the other seven cells, and sees all
 * that published step 2 earlier. Of two pending cells the first stays, and a chargeable cell
 * precedes both. The other cell is withdrawn: arrival -> (WITHDRAWN, same round), free for any
 * identity.
 *
 * A cell may be taken only if its time has passed and it has no requests in flight. A request is
 * counted in flight before it is charged, and the charge changes the arrival word. Step 1 therefore
 * fails if its process missed that count, so no charge and no count is lost. Rounds repeat after
 * 256 owners: a process that stalls between two instructions for exactly that many may charge one
 * wrong cell.
 */
#ifndef BOXEDGE_LIMIT_CELLS_H
#define BOXEDGE_LIMIT_CELLS_H

#include <stdalign.h>
#include <stdatomic.h>

#include "limit.h"
#include "siphash.h"

/* Cells that one identity may occupy. */
#define LIMIT_WAYS 8
/* Buckets for identities that find no cell; the hash of a plan selects one. */
#define LIMIT_SHARED 64
/* Maximum compare-and-swap retries after other processes' changes. */
#define LIMIT_TRIES 1000

#define LIMIT_UNIT_NS 8

/* Values of arrival words that are not times. */
#define LIMIT_PENDING    0
#define LIMIT_WITHDRAWN  1
#define LIMIT_FIRST_TIME 2

typedef struct limit_cell {
    _Atomic uint64_t owner;
    _Atomic uint64_t arrival;
} limit_cell_t;

/* A key that the upstream refused. The hash is stored mixed with the time, so that halves from two
 * writers match no key. */
typedef struct limit_refused {
    _Atomic uint64_t until_ns;
    _Atomic uint64_t folded; /* hash ^ until_ns */
} limit_refused_t;

#define LIMIT_REFUSED 4096

struct limit {
    siphash_key_t hash_key;               /* constant after limit_init, like `cells` */
    _Atomic uint32_t cells;               /* limit_cells reads it */
    alignas(64) _Atomic uint32_t workers; /* one past the highest worker that has ever counted a request */
    alignas(64) limit_refused_t refused[LIMIT_REFUSED];
    alignas(64) limit_cell_t cell[]; /* `cells`, then LIMIT_SHARED, then the counts of each worker */
};

/* The number of cells. A forged one stays within the memory of a table of LIMIT_CELLS_MAX. */
static inline uint32_t limit_cells(const limit_t *limit)
{
    uint32_t cells = atomic_load_explicit(&limit->cells, memory_order_relaxed);
    return cells >= LIMIT_WAYS && cells <= LIMIT_CELLS_MAX ? cells : LIMIT_WAYS;
}

/* A cell, and the round in which it belongs to the identity. */
typedef struct limit_place {
    uint32_t index;
    uint64_t round;
} limit_place_t;

static inline uint64_t limit_round_of(uint64_t word)
{
    return word & 0xff;
}

static inline uint64_t limit_value_of(uint64_t word)
{
    return word >> 8;
}

static inline uint64_t limit_word(uint64_t value, uint64_t round)
{
    return value << 8 | round;
}

static inline uint64_t limit_time_word(uint64_t time, uint64_t round)
{
    return limit_word(time > LIMIT_FIRST_TIME ? time : LIMIT_FIRST_TIME, round);
}

/* The hash of an identity; never 0. */
uint64_t limit_hash(const limit_t *limit, const limit_id_t *id);

/* Finds the identity's cell. Returns false if none can be charged. */
MUST_USE bool limit_cell_find(const limit_t *limit, uint64_t hash, limit_place_t *place);
/* Finds the identity's cell, or takes a new one with a whole burst at `now` (8 ns). Returns false
 * if none is free. */
MUST_USE bool limit_cell_get(limit_t *limit, uint64_t hash, uint64_t now, limit_place_t *place);

void limit_count_up(limit_t *limit, unsigned worker, uint32_t index);
void limit_count_down(limit_t *limit, unsigned worker, uint32_t index);
/* The sum over all workers. */
uint32_t limit_in_flight(const limit_t *limit, uint32_t index);

#endif
