/*
 * Connections to origins that the requests of one client, and those to one box, may have at a worker. A
 * request that finds all of them taken waits in a line, first come, first served, bounded in length and time:
 * so one client, or one box whose app does not answer, does not take the descriptors of all others.
 *
 * A request holds its slots from the step until its response has come or was given up. Connections over
 * HTTP/2, which requests share, need none.
 */
#ifndef BOXEDGE_SLOTS_H
#define BOXEDGE_SLOTS_H

#include "await.h"
#include "str.h"

typedef struct exchange exchange_t;
typedef struct context context_t;
typedef struct slots slots_t;
typedef struct slot_cell slot_cell_t;

typedef enum slot_kind { SLOT_CLIENT, SLOT_BOX, SLOT_KINDS } slot_kind_t;

/* Embedded in an exchange; zero-filled holds nothing. */
typedef struct slot_claim {
    slot_cell_t *held[SLOT_KINDS]; /* NULL: none */
    struct slot_waiter *waiter;    /* NULL: it never waited */
} slot_claim_t;

slots_t *slots_new(context_t *context);
/* Nothing is held, and nobody waits (asserted). */
void slots_free(slots_t **slots);

/*
 * For a step: takes a slot of the exchange's client, or of its client and its box, or waits for it as a step
 * does, or answers 503. None is taken for requests of the edge's own.
 */
MUST_USE step_result_t slots_take_for_client(exchange_t *ex);
MUST_USE step_result_t slots_take_for_box(exchange_t *ex);
/* Whether the exchange has waited for one. */
bool slots_waited(const exchange_t *ex);
/* Gives back the slots that the exchange holds. Idempotent. */
void slots_release(exchange_t *ex);
/* Slots of one client or one box from which on their further connections are some of many
 * (CONN_NARROW_BYTES). */
#define SLOTS_MANY_CLIENT 16
#define SLOTS_MANY_BOX    64
/* Whether the exchange has one of them. */
bool slots_are_many(const exchange_t *ex);
/* Requests that wait at this worker. */
size_t slots_waiting(const slots_t *slots);

#endif
