/*
 * A worker's side of waking: the requests that wait for a box, the question to the controller (one for each
 * box and port, however many wait), and the answer to all of them (docs/design.md, "Waking").
 */
#ifndef BOXEDGE_WAKE_H
#define BOXEDGE_WAKE_H

#include "channel.h"
#include "exchange.h"
#include "wake_waiter.h"

typedef struct worker worker_t;

wakes_t *wakes_new(worker_t *worker);
/* No exchange waits any more. */
void wakes_free(wakes_t **wakes);
/* The channel to the controller from now on; NULL: it is down. What waits is asked again. */
void wakes_set_channel(wakes_t *wakes, channel_t *channel);
/* Another edge has taken over, and there will be no controller any more: whoever waits, or comes to wait, is
 * told to ask again, which the other one hears. */
void wakes_give_up(wakes_t *wakes);
/* PROCESS_WAKE_STAGE and PROCESS_WOKEN. */
void wakes_message(wakes_t *wakes, const ipc_message_t *message);

/*
 * Waits for the preview (id, port), and wakes it unless that is going on already. `came_ms` (loop_now) is
 * when its request came: an operator's stop after that is not undone for it. False where too many wait:
 * nothing was begun.
 */
MUST_USE bool wake_wait(wakes_t *wakes, wake_waiter_t *waiter, str_t id, uint16_t port, uint64_t came_ms);
/* Waits for a wake that others began, on whatever worker; begins none: where none is going on, `done` comes
 * with WAKE_ASLEEP. */
MUST_USE bool wake_watch(wakes_t *wakes, wake_waiter_t *waiter, str_t id, uint16_t port);
/* Idempotent. */
void wake_leave(wake_waiter_t *waiter);
/* Whether somebody in this worker waits for (id, port) already, so that one more begins nothing. */
bool wake_goes_on(wakes_t *wakes, str_t id, uint16_t port);
/* Whether one more wake that this client begins is allowed now; counts it. */
MUST_USE bool wakes_client_allowed(wakes_t *wakes, const struct in6_addr *client);
/* For one that waits: what is known of it. */
wake_stage_t wake_current(const wake_waiter_t *waiter);
/* For one that waits: since somebody began the wake, in ms; as far as the controller has told. */
uint64_t wake_elapsed_ms(const wake_waiter_t *waiter);

/* ---- exchanges (wake_rules.c, wake_step.c) ---- */

/* Somebody waits for the answer, as far as the request tells: it is no prefetch, no preflight, no
 * /favicon.ico, and does not say X-Box-No-Wake. */
bool wake_is_wished(const exchange_t *ex);
/* Whether the request may wait for its box, and wake it; else it was answered. */
MUST_USE bool wake_rules_pass(exchange_t *ex);

/* The step: passes where the box runs and its port listens; else waits, or refuses. */
step_result_t step_wake(exchange_t *ex);
/* Whether the exchange's port of `box` may be connected to as things are. */
bool wake_is_needless(const exchange_t *ex, const store_box_t *box);
/*
 * The claim that follows the wait: an exchange that waited for its box has a turn at it, of which each box
 * has a few at a time (wake.c). The box or the edge has answered, or the exchange ends: the next one gets the
 * turn. No-op without a turn.
 */
void wake_turn_end(exchange_t *ex);
/* Hook (pipeline.h): says in the response's head how long the wake took. */
void wake_response_head(exchange_t *ex);

#endif
