/*
 * Boxes whose deletion an API has reported to a worker but the controller does not know yet. The report binds
 * all workers before the API's answer goes on: no request goes to such a box until the controller knows.
 *
 *   FREE --reserve--> RESERVED --state--> STATED --release--> FREE
 *                        |                   | the worker dies
 *                        +---> FREE          +--> ORPHANED --adopt, by another worker--> STATED
 *
 * A worker reserves cells before the call goes up, so that the answer finds room. Everything is atomic, and
 * nothing locks. The state of a cell has its owner, the only worker that changes it. The supervisor changes
 * it for a dead worker (doubts_wipe).
 */
#ifndef BOXEDGE_DOUBTS_H
#define BOXEDGE_DOUBTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "str.h"

/* Maximum number of boxes at a time, over all workers. */
#define DOUBTS_MAX 1024
/* Maximum bytes of an id. */
#define DOUBT_ID_MAX 63
/* Maximum cells of one call. */
#define DOUBT_CLAIM_MAX 100

typedef struct doubt {
    _Atomic uint32_t state;                      /* doubts.c */
    _Atomic uint64_t id[(DOUBT_ID_MAX + 1) / 8]; /* padded with NULs */
} doubt_t;

/* All-zero is valid and empty. */
typedef struct doubts {
    _Atomic uint32_t stated; /* STATED and ORPHANED cells, or more; while 0, requests need no search */
    doubt_t cells[DOUBTS_MAX];
} doubts_t;

/* The cells of one call. All-zero has none. */
typedef struct doubt_claim {
    uint32_t count;
    uint16_t cells[DOUBT_CLAIM_MAX];
} doubt_claim_t;

/* Adds a cell for the box. False if no cell is free; the claim is then unchanged. */
MUST_USE bool doubts_reserve(doubts_t *doubts, unsigned worker, doubt_claim_t *claim, str_t id);
/* From here on, all workers doubt the boxes of the claim. */
void doubts_state(doubts_t *doubts, unsigned worker, const doubt_claim_t *claim);
/* Frees the cells, stated or not, and empties the claim. */
void doubts_release(doubts_t *doubts, doubt_claim_t *claim);
/* Abandons the cells, for another worker to adopt, and empties the claim. */
void doubts_orphan(doubts_t *doubts, doubt_claim_t *claim);

/* Whether the box is doubted. If its worker has died, `claim` (empty before) gets its cell, and the caller
 * must notify the controller. */
MUST_USE bool doubts_find(doubts_t *doubts, unsigned worker, str_t id, doubt_claim_t *claim);

/* Frees or orphans the cells of a dead worker. */
void doubts_wipe(doubts_t *doubts, unsigned worker);

#endif
