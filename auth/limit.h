/*
 * Limits of keys and client addresses: a rate with a burst (GCRA), and requests in flight, in
 * memory that all workers share. The table is lock-free and bounded. A process may die between any
 * two instructions.
 *
 * In every window W the admitted cost is at most burst + rate * W over all workers together. A
 * client that always asks gets at least 0.99 of rate * W. That holds for a W of ten seconds, or of
 * a hundred units if that is longer. A cell passes to another identity only when its burst is whole
 * again and it has no requests in flight, so no debt is forgotten. If a set has no such cell, the
 * charge goes to a bucket that all such identities of one plan share.
 *
 * A cell holds a time, not a plan. After a reload changes an identity's plan, its debt remains as time,
 * capped at the new plan's refill time of the burst plus one second. An old plan therefore locks no client
 * out, and a client gets at most the new burst in one moment. While some workers still have the old plan,
 * they may shorten debts that others charged: the bound holds before and after a reload, but not during it.
 */
#ifndef BOXEDGE_LIMIT_H
#define BOXEDGE_LIMIT_H

#include "str.h"

#define LIMIT_WORKERS_MAX 256
#define LIMIT_CELLS_MAX   65536

/* Raised with the form of the table or the meaning of a cell: programs of one form copy each other's. */
#define LIMIT_FORM 1

typedef struct limit limit_t;

/* The limited identity: the SHA-256 of a key, or of the text that names a client address. */
typedef struct limit_id {
    uint8_t sha256[32];
} limit_id_t;

typedef struct limit_plan {
    uint64_t interval_ns; /* between two units at the steady rate: period / count, rounded up to a multiple of
                             8 ns. 0: no limit on the rate */
    uint32_t
        burst; /* units in one burst; 1 or more. A burst that takes over two years to refill counts as less */
    uint32_t in_flight; /* simultaneous requests; 0: no limit */
} limit_plan_t;

typedef enum limit_result {
    LIMIT_ADMITTED,
    LIMIT_RATE,      /* refused: too fast */
    LIMIT_COST,      /* refused: the cost exceeds the burst, so it can never pass */
    LIMIT_IN_FLIGHT, /* refused: too many requests in flight */
} limit_result_t;

/* The values of the RateLimit fields, after this request. */
typedef struct limit_state {
    uint64_t remaining; /* units that would be admitted now; UINT64_MAX without a limit on the rate */
    uint64_t reset_ms;  /* until the burst is whole again */
    uint64_t retry_ms; /* LIMIT_RATE: time until the same cost is admitted, rounded up, unless another request
                          takes it first. LIMIT_IN_FLIGHT: 1000. Otherwise 0 */
} limit_state_t;

/* An admitted request's count in flight, held until limit_release. */
typedef struct limit_ticket {
    uint32_t cell; /* 1 + its index; 0: holds no unit */
} limit_ticket_t;

/* limit_size returns the bytes for a table of `cells` (a power of two, 8 to LIMIT_CELLS_MAX). Other
 * processes can write the table: in one that is smaller than that, they can lead a reader out of it.
 * limit_init makes the table in zeroed shared memory, aligned to 64, that the caller owns. `seed` keys all
 * hashes and must stay secret. */
size_t limit_size(uint32_t cells);
limit_t *limit_init(void *memory, uint32_t cells, const uint8_t seed[16]);

/*
 * Requests `cost` units; with 0, only the limit in flight counts. `now_ns` is monotonic; the clocks
 * of two processes may differ by some ms. A forward jump admits at most one extra burst. A jump in
 * either direction refuses requests for at most the refill time of the burst plus one second.
 *
 * Fills *state, and *ticket if admitted. A request that one limit refuses is not charged to the
 * other. If two requests compete for the last slot in flight, both may be refused.
 */
MUST_USE limit_result_t limit_take(limit_t *limit, unsigned worker, const limit_id_t *id,
                                   const limit_plan_t *plan, uint32_t cost, uint64_t now_ns,
                                   limit_state_t *state, limit_ticket_t *ticket);
/* Ends the request's count in flight and nulls the ticket. An empty ticket is allowed. Only the
 * worker that took the ticket may release it. */
void limit_release(limit_t *limit, unsigned worker, limit_ticket_t *ticket);

/*
 * limit_has returns whether a key has its own cell. An unknown key gets one by limit_accept, after the
 * upstream accepts the key, and keeps it until another identity needs it. A flood of random keys therefore
 * takes no cells.
 */
bool limit_has(const limit_t *limit, const limit_id_t *id);
void limit_accept(limit_t *limit, const limit_id_t *id, uint64_t now_ns);

/* Keys that the upstream refused lately, remembered for `for_ms`. Of two keys in one place, the
 * table forgets the older. It never mistakes another key for a refused one. */
void limit_refuse(limit_t *limit, const limit_id_t *id, uint64_t now_ns, uint32_t for_ms);
bool limit_is_refused(const limit_t *limit, const limit_id_t *id, uint64_t now_ns);

/* Clears the requests in flight of a worker that died. */
void limit_worker_wipe(limit_t *limit, unsigned worker);

#endif
