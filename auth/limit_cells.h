/*
 * The table behind limit.h: which cell is whose, and what it has in flight. Only limit.c uses it.
 *
 * A cell holds one number, the theoretical arrival time of GCRA: the time at which its burst is whole again.
 *
 *   owner:    hash of the identity 56 | round 8     hash 0: nobody's
 *   arrival:  time in 8 ns 56 | round 8             of another round than the owner's: the cell is being
 * taken
 *
 * What is charged is charged with one compare-and-swap of the arrival word, and only in the owner's round. A
 * cell changes hands in three steps, each one compare-and-swap, and each of them may be made by anybody who
 * finds the step before it made, so that nobody waits for a process that died or stands still:
 *
 *   1. arrival -> (PENDING, next round)     nobody can charge the old owner any more
 *   2. owner   -> (new owner, next round)
 *   3. arrival -> (time, next round)        once no other cell of the set is the new owner's
 *
 * Step 3 is what keeps an identity from having two cells where two processes look for one at the same time
 * and see different ones free. Whoever is about to make it looks at the other seven first, and sees whoever
 * published step 2 before: of two that are pending the one in front stays, and a cell that can be charged
 * stays before all others. The other one is withdrawn: arrival -> (WITHDRAWN, same round), free for anybody.
 *
 * Only a cell is taken whose time is past and that has nothing in flight. A request is counted in flight
 * before it is charged, and the charge changes the arrival word, so that step 1 fails where the taker did not
 * see the count: what was charged or is in flight is never forgotten. Rounds come again after 256 owners; a
 * process that stands still for exactly as many between two instructions may charge a wrong cell once.
 */
#ifndef BOXEDGE_LIMIT_CELLS_H
#define BOXEDGE_LIMIT_CELLS_H

#include <stdalign.h>
#include <stdatomic.h>

#include "limit.h"
#include "siphash.h"

/* Cells that one identity may be in. */
#define LIMIT_WAYS 8
/* Buckets for those that find no cell, one for each plan, by its hash. */
#define LIMIT_SHARED 64
/* What other processes change meanwhile is tried again so often. */
#define LIMIT_TRIES 1000

#define LIMIT_UNIT_NS 8

/* Values of arrival words that are no times. */
#define LIMIT_PENDING    0
#define LIMIT_WITHDRAWN  1
#define LIMIT_FIRST_TIME 2

typedef struct limit_cell {
    _Atomic uint64_t owner;
    _Atomic uint64_t arrival;
} limit_cell_t;

/* A key that the upstream refused: the hash is stored with the time folded in, so that halves of two writers
 * name nobody. */
typedef struct limit_refused {
    _Atomic uint64_t until_ns;
    _Atomic uint64_t folded; /* hash ^ until_ns */
} limit_refused_t;

#define LIMIT_REFUSED 4096

struct limit {
    siphash_key_t hash_key; /* constant, as what follows */
    uint32_t cells;
    alignas(64) _Atomic uint32_t workers; /* those above never counted anything */
    alignas(64) limit_refused_t refused[LIMIT_REFUSED];
    alignas(64) limit_cell_t cell[]; /* `cells`, then LIMIT_SHARED, then the counts of each worker */
};

/* A cell, and the round in which it is the identity's. */
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

/* Of an identity; never 0. */
uint64_t limit_hash(const limit_t *limit, const limit_id_t *id);

/* The cell of the identity. False: it has none that can be charged. */
MUST_USE bool limit_cell_find(const limit_t *limit, uint64_t hash, limit_place_t *place);
/* The same, or a new one, whole at `now` (8 ns). False: none is free. */
MUST_USE bool limit_cell_get(limit_t *limit, uint64_t hash, uint64_t now, limit_place_t *place);

void limit_count_up(limit_t *limit, unsigned worker, uint32_t index);
void limit_count_down(limit_t *limit, unsigned worker, uint32_t index);
/* Of all workers. */
uint32_t limit_in_flight(const limit_t *limit, uint32_t index);

#endif
