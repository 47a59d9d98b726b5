/*
 * A worker's side of waking: the requests that wait for a box, the question to the controller (one for each
 * box and port, however many wait), and the answer to all of them (docs/design.md, "Waking").
 */
#ifndef BOXEDGE_WAKE_H
#define BOXEDGE_WAKE_H

#include "channel.h"
#include "exchange.h"
#include "wake_message.h"

typedef struct wakes wakes_t;
typedef struct wake wake_t; /* of one preview */

wakes_t *wakes_new(worker_t *worker);
/* No exchange waits any more. */
void wakes_free(wakes_t **wakes);
/* The channel to the controller from now on; NULL: it is down. What waits is asked again. */
void wakes_set_channel(wakes_t *wakes, channel_t *channel);
/* PROCESS_WAKE_STAGE and PROCESS_WOKEN. */
void wakes_message(wakes_t *wakes, const ipc_message_t *message);

/* One who waits for a wake. Embedded; zero-filled waits for nothing. */
typedef struct wake_waiter {
    h2o_linklist_t link;
    wake_t *wake; /* NULL: does not wait */
    /* The stage changed; NULL where it does not matter. */
    void (*stage)(struct wake_waiter *waiter, wake_stage_t stage);
    /* The end; the waiter does not wait any more. */
    void (*done)(struct wake_waiter *waiter, wake_result_t result, const wake_answer_t *answer);
} wake_waiter_t;

/*
 * Waits for the preview (id, port), and wakes it unless that is going on already. False where too many wait:
 * nothing was begun.
 */
MUST_USE bool wake_wait(wakes_t *wakes, wake_waiter_t *waiter, str_t id, uint16_t port);
/* Waits only where a wake is going on in this worker; never begins one. */
MUST_USE bool wake_watch(wakes_t *wakes, wake_waiter_t *waiter, str_t id, uint16_t port);
void wake_leave(wake_waiter_t *waiter);
/* For one that waits: what is known of it. */
wake_stage_t wake_current(const wake_waiter_t *waiter);
/* Since the first request that this worker knows of, in ms. */
uint64_t wake_elapsed_ms(const wake_waiter_t *waiter);

/* The step: passes where the box runs and its port listens; else waits, or refuses. */
step_result_t step_wake(exchange_t *ex);
/* The exchange ends: it waits for nothing any more. */
void wake_exchange_end(exchange_t *ex);

#endif
