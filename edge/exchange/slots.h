/*
 * Bounds on the connections to origins that the requests of one client, and those to one box, may have at a
 * worker. A request that finds all slots taken queues, first come, first served, bounded in length and time.
 * So neither one client nor one box with an app that does not answer takes everyone's descriptors.
 *
 * A request holds its slots from the step until its response is complete or given up. Shared HTTP/2
 * connections need none.
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

/* Embedded in an exchange; all-zero holds nothing. */
typedef struct slot_claim {
    slot_cell_t *held[SLOT_KINDS]; /* NULL: none */
    struct slot_waiter *waiter;    /* NULL: it never waited */
} slot_claim_t;

slots_t *slots_new(context_t *context);
/* No slot may be held, and no request may wait (asserted). */
void slots_free(slots_t **slots);

/*
 * For a step: takes a slot of the exchange's client, or one each of its client and its box. Otherwise waits
 * for it as a step does, or answers 503. Requests of the edge itself take none.
 */
MUST_USE step_result_t slots_take_for_client(exchange_t *ex);
MUST_USE step_result_t slots_take_for_box(exchange_t *ex);
/* Whether the exchange has waited for a slot. */
bool slots_waited(const exchange_t *ex);
/* Gives back the slots that the exchange holds. Idempotent. */
void slots_release(exchange_t *ex);
/* Above this many slots of one client or one box, further connections may hold fewer unread bytes
 * (CONN_NARROW_BYTES). */
#define SLOTS_MANY_CLIENT 16
#define SLOTS_MANY_BOX    64
/* Whether the exchange's client or box holds more slots than that. */
bool slots_are_many(const exchange_t *ex);
/* Requests that wait at this worker. */
size_t slots_waiting(const slots_t *slots);

#endif
