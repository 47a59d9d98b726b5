/*
 * Limits of keys and of client addresses: a rate with a burst (GCRA) and requests in flight, in memory that
 * all workers share. Lock-free and bounded; a process may die between any two instructions.
 *
 * For every window W the admitted cost is at most burst + rate * W over all workers together, and a client
 * that always asks gets at least 0.99 of rate * W (W of ten seconds or a hundred units, if that is longer).
 * A cell is given to another identity only when its time is past (its burst is whole again) and nothing of
 * it is in flight: reusing it forgets nothing. Where a set has no such cell, a bucket is charged in its place
 * that all of those with the same plan share.
 *
 * A cell holds a time, not a plan. Where the plan of an identity changes (reload), what it owes is kept as
 * time, but never more than the burst of the new plan takes to refill and a second: nobody is shut out by a
 * plan that does not hold any more, and a client gets at most the burst of the new plan at once. While
 * some workers still have the old plan, these may cut what the others charged: the bound holds before and
 * after a reload, not in the moments of it.
 */
#ifndef BOXEDGE_LIMIT_H
#define BOXEDGE_LIMIT_H

#include "str.h"

#define LIMIT_WORKERS_MAX 256

typedef struct limit limit_t;

/* Who is limited: the SHA-256 of a key, or of what names a client address. */
typedef struct limit_id {
    uint8_t sha256[32];
} limit_id_t;

typedef struct limit_plan {
    uint64_t interval_ns; /* between two units at the steady rate: period / count, rounded up; kept in steps
                             of 8 ns, rounded up. 0: no limit on the rate */
    uint32_t burst;       /* units at once; 1 or more. Those that take more than two years count as less */
    uint32_t in_flight;   /* requests at a time; 0: no limit */
} limit_plan_t;

typedef enum limit_result {
    LIMIT_ADMITTED,
    LIMIT_RATE,      /* refused: too fast */
    LIMIT_COST,      /* refused: it costs more than the burst, so it never passes */
    LIMIT_IN_FLIGHT, /* refused: too many at a time */
} limit_result_t;

/* What RateLimit fields say, as of the answer. */
typedef struct limit_state {
    uint64_t remaining; /* units that would be admitted now; UINT64_MAX where there is no limit on the rate */
    uint64_t reset_ms;  /* until the burst is whole again */
    uint64_t retry_ms;  /* LIMIT_RATE: the same cost is admitted then, unless another one takes it first;
                           rounded up. LIMIT_IN_FLIGHT: 1000. Else 0 */
} limit_state_t;

/* What an admitted request holds, until limit_release: it is in flight. */
typedef struct limit_ticket {
    uint32_t cell; /* 1 + its index; 0: nothing is held */
} limit_ticket_t;

/* Bytes for a table of `cells` (a power of two, 8 or more), and its making in zeroed shared memory, aligned
 * to 64, which the caller keeps. `seed` keys all hashes; nobody outside may know it. */
size_t limit_size(uint32_t cells);
limit_t *limit_init(void *memory, uint32_t cells, const uint8_t seed[16]);

/*
 * Asks for `cost` units (0: only the requests in flight count). `now_ns` is monotonic; those of different
 * processes may be some ms apart, and a jump in either direction neither opens the gate (a jump forward gives
 * at most one burst) nor shuts it for longer than the burst takes to refill and a second. Fills *state, and
 * *ticket where it is admitted. A request that one limit refuses takes nothing of the other. Of two that
 * compete for the last place in flight both may be refused.
 */
MUST_USE limit_result_t limit_take(limit_t *limit, unsigned worker, const limit_id_t *id,
                                   const limit_plan_t *plan, uint32_t cost, uint64_t now_ns,
                                   limit_state_t *state, limit_ticket_t *ticket);
/* The request has ended. Nulls the ticket; an empty one is allowed. By the worker that took it. */
void limit_release(limit_t *limit, unsigned worker, limit_ticket_t *ticket);

/*
 * Whether an unknown key has a cell of its own: it gets one with limit_accept, when the upstream has taken
 * the key, and keeps it until another identity needs it. So a flood of random keys takes no cells.
 */
bool limit_has(const limit_t *limit, const limit_id_t *id);
void limit_accept(limit_t *limit, const limit_id_t *id, uint64_t now_ns);

/* Keys that the upstream refused lately: remembered for `for_ms`, in a table that forgets the older of two in
 * one place. A key that is remembered was refused: no other one is taken for it. */
void limit_refuse(limit_t *limit, const limit_id_t *id, uint64_t now_ns, uint32_t for_ms);
bool limit_is_refused(const limit_t *limit, const limit_id_t *id, uint64_t now_ns);

/* After the death of a worker: nothing of it is in flight any more. */
void limit_worker_wipe(limit_t *limit, unsigned worker);

#endif
