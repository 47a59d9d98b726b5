/*
 * The only way in which an exchange waits (docs/internals/exchange.md, "Waits"): for one source, and with at
 * most one deadline. Every exchange owns one await_t, and nothing else resumes it. A step waits, and so does
 * the failure or the end of an origin, until the edge knows its reason.
 *
 *   NONE --await_begin--> BEGINNING --the step answers STEP_WAIT--> WAITING --await_complete--> NONE, and the
 *                            |                                                    same step runs again
 *                            +--await_complete--> COMPLETED --the step answers STEP_WAIT--> the same
 *
 *   NONE --await_hold--> HOLDING --await_complete, or the deadline--> NONE, and the source's go_on runs
 *
 * await_leave leads from every state to NONE. The exchange calls it before it is answered, cut or ended, so a
 * source never reaches an exchange that does not wait for it.
 *
 * A source is a list, a message or another exchange that answers later. It either completes the wait or
 * answers the exchange. An exchange may keep claims after its wait (a turn at its box, slots, a noted
 * deletion): each has its own function that gives it back.
 */
#ifndef BOXEDGE_AWAIT_H
#define BOXEDGE_AWAIT_H

#include "loop.h"

typedef struct exchange exchange_t;

/*
 * The result of a step. A step reads the fields that earlier steps wrote and writes only its own. NEXT runs
 * the next step. WAIT stops until the wait that the step began completes; then the same step runs again
 * (await.h). DONE means that the exchange was answered or has an origin.
 */
typedef enum step_result { STEP_NEXT, STEP_WAIT, STEP_DONE } step_result_t;

typedef enum await_end {
    AWAIT_RESUMED, /* the step runs again next, or the source's go_on */
    AWAIT_LEFT,    /* the exchange was answered, was cut, or ends */
} await_end_t;

typedef struct await_source {
    const char *name;
    /* Takes the exchange off the source's list. Calls back into nothing of the exchange. */
    void (*leave)(exchange_t *ex, await_end_t how);
    /* Finishes an exchange that the source has held (await_hold), in the state in which it was held. NULL:
     * only steps wait for the source. */
    void (*go_on)(exchange_t *ex);
} await_source_t;

typedef enum await_state {
    AWAIT_NONE,      /* the exchange does not wait */
    AWAIT_BEGINNING, /* a step has begun to wait but has not returned yet */
    AWAIT_WAITING,
    AWAIT_COMPLETED, /* completed before the step returned: the step runs again afterwards */
    AWAIT_HOLDING,   /* the exchange's origin has left; its failure or end is held back */
} await_state_t;

/* Embedded in an exchange; all-zero means not waiting. Private to await.c. */
typedef struct await {
    await_state_t state;
    const await_source_t *source; /* NULL: none */
    void (*expired)(exchange_t *ex);
    loop_timer_t deadline;
} await_t;

/* Begins to wait for `source`; the step must then return STEP_WAIT. The source may complete the wait before
 * the step returns: the step then runs once more after it has returned. */
void await_begin(exchange_t *ex, const await_source_t *source);
/*
 * Calls `expired` in `ms` unless the step has continued by then; replaces an earlier deadline. The exchange
 * must be waiting. A deadline lasts until its step continues, even if the step resumes and waits again.
 * `expired` answers the exchange or sets another deadline.
 */
void await_until(exchange_t *ex, uint32_t ms, void (*expired)(exchange_t *ex));
/*
 * The exchange's origin has left (state ORIGIN or TUNNEL), and `source` may know why: holds the failure or
 * the end back, for at most `ms`. Then leaves the source and calls its go_on. Bytes of the client pass
 * meanwhile if the origin still takes them.
 */
void await_hold(exchange_t *ex, const await_source_t *source, uint32_t ms);
/* The source is ready: leaves it and runs the step again, or go_on. The exchange may have been answered on
 * return. */
void await_complete(exchange_t *ex);
/* Stops waiting. No-op if the exchange does not wait. */
void await_leave(exchange_t *ex);

/* The source that the exchange waits for; NULL if it does not wait. */
const await_source_t *await_source(const exchange_t *ex);

/* Runs the steps from ex->step, which has not run yet. For exchange.c only. */
void await_run_steps(exchange_t *ex);

#endif
