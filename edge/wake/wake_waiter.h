/*
 * A waiter for the wake of a box, embedded in an exchange or in a stream of wake events. See wake.h.
 */
#ifndef BOXEDGE_WAKE_WAITER_H
#define BOXEDGE_WAKE_WAITER_H

#include "wake_message.h"

#include "list.h"

typedef struct wake_client wake_client_t;   /* of a worker */
typedef struct wake_request wake_request_t; /* of one preview */

/* Zero-filled: not waiting. */
typedef struct wake_waiter {
    list_t link;
    wake_request_t *wake; /* NULL: not waiting */
    bool counted;         /* in the number of waiters of all workers */
    bool released;        /* `done` got WAKE_OK; holds a turn until wake_leave */
    /* Gets each stage that the controller reports. May be NULL. */
    void (*stage)(struct wake_waiter *waiter, wake_stage_t stage);
    /* The wake has ended. */
    void (*done)(struct wake_waiter *waiter, wake_result_t result, const wake_answer_t *answer);
} wake_waiter_t;

#endif
