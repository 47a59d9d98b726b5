/*
 * Boxes that an API has told a worker to be deleted, of which the controller has not heard yet. The word is
 * in force for all workers before the API's answer goes on: until the controller has taken it, no request
 * goes to such a box.
 *
 *   FREE --reserve--> RESERVED --state--> STATED --release--> FREE
 *                        |                   | the worker dies
 *                        +---> FREE          +--> ORPHANED --adopt, by another worker--> STATED
 *
 * Cells are reserved before the call goes up, so that there is room for what the answer says. Everything is
 * atomic, and nothing locks. A cell's owner is the worker in its state, which alone changes it; the
 * supervisor does for a dead one (doubts_wipe).
 */
#ifndef BOXEDGE_DOUBTS_H
#define BOXEDGE_DOUBTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "str.h"

/* Boxes at a time, of all workers. */
#define DOUBTS_MAX 1024
/* Bytes of an id, at most. */
#define DOUBT_ID_MAX 63
/* Cells of one call. */
#define DOUBT_CLAIM_MAX 100

typedef struct doubt {
    _Atomic uint32_t state;                      /* doubts.c */
    _Atomic uint64_t id[(DOUBT_ID_MAX + 1) / 8]; /* with NULs behind */
} doubt_t;

/* Zero-filled is valid and empty. */
typedef struct doubts {
    _Atomic uint32_t stated; /* cells that count, or more: 0 costs a request nothing */
    doubt_t cells[DOUBTS_MAX];
} doubts_t;

/* The cells of one call. Zero-filled has none. */
typedef struct doubt_claim {
    uint32_t count;
    uint16_t cells[DOUBT_CLAIM_MAX];
} doubt_claim_t;

/* Adds a cell for the box. False where there is no room; the claim is as it was. */
MUST_USE bool doubts_reserve(doubts_t *doubts, unsigned worker, doubt_claim_t *claim, str_t id);
/* The boxes of the claim are doubted from here on, by all workers. */
void doubts_state(doubts_t *doubts, unsigned worker, const doubt_claim_t *claim);
/* Gives the cells back, stated or not, and empties the claim. */
void doubts_release(doubts_t *doubts, doubt_claim_t *claim);
/* Nobody cares for the cells any more, but for a worker that adopts them; empties the claim. */
void doubts_orphan(doubts_t *doubts, doubt_claim_t *claim);

/* Whether the box is doubted. Where its worker has died, `claim` (empty before) gets its cell: the caller
 * tells the controller. */
MUST_USE bool doubts_find(doubts_t *doubts, unsigned worker, str_t id, doubt_claim_t *claim);

/* The worker is dead. */
void doubts_wipe(doubts_t *doubts, unsigned worker);

#endif
