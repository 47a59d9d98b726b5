/*
 * The times and the outcome of an exchange's wake, for the access line and Server-Timing.
 */
#ifndef BOXEDGE_WAKE_TIMES_H
#define BOXEDGE_WAKE_TIMES_H

#include "exchange.h"

typedef enum wake_outcome {
    WAKE_OUTCOME_NONE,    /* its box ran already, or it still waits */
    WAKE_OUTCOME_OK,      /* it waited, and its box woke */
    WAKE_OUTCOME_FAILED,  /* it waited, and its box did not wake in time or at all */
    WAKE_OUTCOME_PAGE,    /* it got the waiting page */
    WAKE_OUTCOME_REFUSED, /* it may not wake its box, or too many requests wait */
    WAKE_OUTCOME_LEFT,    /* its client left while it waited */
} wake_outcome_t;

typedef struct wake_times {
    uint64_t began_ms;  /* loop_now at the start of the wait; 0: it did not wait */
    uint32_t resume_ms; /* until the box ran */
    uint32_t listen_ms; /* until its port listened after that */
    uint32_t waited_ms; /* time that this exchange waited */
    uint32_t went_us;   /* microseconds from the complete head until it went on to its box */
    bool woken;         /* it waited, and went on to its box */
    wake_outcome_t outcome;
} wake_times_t;

/* NULL: the exchange has not met a sleeping box. */
const wake_times_t *wake_times(const exchange_t *ex);
/* The same, made in the exchange's arena if missing. */
wake_times_t *wake_times_make(exchange_t *ex);
wake_outcome_t wake_outcome(const exchange_t *ex);

#endif
