/*
 * The one way in which a step of an exchange waits (docs/internals/exchange.md, "Waits"): for one source, and
 * until at most one deadline. Every exchange owns one await_t, and nothing else runs its steps again.
 *
 *   NONE --await_begin--> BEGINNING --the step answers STEP_WAIT--> WAITING --await_complete--> NONE, and the
 *                            |                                                    same step runs again
 *                            +--await_complete--> COMPLETED --the step answers STEP_WAIT--> the same
 *
 * await_leave leads from everywhere to NONE. The exchange calls it before it is answered, cut or ended, so a
 * source never reaches an exchange that does not wait for it.
 *
 * A source is a list, a message or another exchange that answers later. It either completes the wait or
 * answers the exchange. What an exchange keeps after its wait (a turn at its box, slots, a noted deletion) is
 * a claim: each has a function of its own that gives it back.
 */
#ifndef BOXEDGE_AWAIT_H
#define BOXEDGE_AWAIT_H

#include "loop.h"

typedef struct exchange exchange_t;

/*
 * What a step of an exchange answers. A step reads what earlier steps found and writes its own fields only.
 * NEXT goes on, WAIT stops here until the wait that the step began completes and the same step runs again
 * (await.h), DONE means that the exchange was answered or has an origin.
 */
typedef enum step_result { STEP_NEXT, STEP_WAIT, STEP_DONE } step_result_t;

typedef enum await_end {
    AWAIT_RESUMED, /* the step runs again next */
    AWAIT_LEFT,    /* the exchange was answered, was cut, or ends */
} await_end_t;

typedef struct await_source {
    const char *name;
    /* Takes the exchange off the source's list: the source forgets it. Calls nothing of the exchange's back.
     */
    void (*leave)(exchange_t *ex, await_end_t how);
} await_source_t;

typedef enum await_state {
    AWAIT_NONE,      /* no step waits */
    AWAIT_BEGINNING, /* a step has begun to wait and has not returned yet */
    AWAIT_WAITING,
    AWAIT_COMPLETED, /* completed while it began: the step runs again once it has returned */
} await_state_t;

/* Embedded in an exchange; zero-filled does not wait. Its fields belong to await.c. */
typedef struct await {
    await_state_t state;
    const await_source_t *source; /* NULL: none */
    void (*expired)(exchange_t *ex);
    loop_timer_t deadline;
} await_t;

/* A step begins to wait for `source`, and then answers STEP_WAIT. The source may complete the wait before
 * that: the step runs again once, after it has returned. */
void await_begin(exchange_t *ex, const await_source_t *source);
/*
 * Calls `expired` in `ms` unless the step has gone on by then; replaces an earlier deadline. For an exchange
 * that waits. A deadline lasts until its step goes on, also where that is resumed and waits again. `expired`
 * answers the exchange or sets another deadline.
 */
void await_until(exchange_t *ex, uint32_t ms, void (*expired)(exchange_t *ex));
/* The source has what the exchange waits for: leaves the source and runs the step again. The exchange may
 * have been answered when this returns. */
void await_complete(exchange_t *ex);
/* Stops waiting. No-op for an exchange that does not wait. */
void await_leave(exchange_t *ex);

/* The source that the exchange waits for; NULL: it does not wait. */
const await_source_t *await_source(const exchange_t *ex);

/* Runs the steps of an exchange from ex->step on, which has not run yet. For exchange.c only. */
void await_run_steps(exchange_t *ex);

#endif
