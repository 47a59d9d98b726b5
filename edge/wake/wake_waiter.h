/*
 * One who waits for a box to wake: embedded in an exchange, or in whoever shows how it goes on. See wake.h.
 */
#ifndef BOXEDGE_WAKE_WAITER_H
#define BOXEDGE_WAKE_WAITER_H

#include "wake_message.h"

#include "list.h"

typedef struct wakes wakes_t; /* of a worker */
typedef struct wake wake_t;   /* of one preview */

/* Zero-filled waits for nothing. */
typedef struct wake_waiter {
    list_t link;
    wake_t *wake;  /* NULL: does not wait */
    bool counted;  /* among the waiters of all workers */
    bool released; /* `done` came with WAKE_OK, and its place is held until wake_leave */
    /* How far it is, each time that the controller tells; NULL where it does not matter. */
    void (*stage)(struct wake_waiter *waiter, wake_stage_t stage);
    /* The end. */
    void (*done)(struct wake_waiter *waiter, wake_result_t result, const wake_answer_t *answer);
} wake_waiter_t;

#endif
