/*
 * A worker's side of waking: the requests that wait for a box, and the answer to all of them. The controller
 * gets one request per box and port, however many wait (docs/internals/wake.md, "The way of a wake").
 */
#ifndef BOXEDGE_WAKE_H
#define BOXEDGE_WAKE_H

#include "channel.h"
#include "exchange.h"
#include "wake_waiter.h"

typedef struct worker worker_t;

wake_client_t *wake_client_new(worker_t *worker);
/* No waiter is left (asserted). */
void wake_client_free(wake_client_t **wakes);
/* The channel to the controller from now on; NULL: it is down. Sends all requests again. */
void wake_client_set_channel(wake_client_t *wakes, channel_t *channel);
/* Another edge has taken over, and no controller comes back. All waiters, now and later, fail with
 * WAKE_UNAVAILABLE, so that the client's next try reaches the other edge. */
void wake_client_give_up(wake_client_t *wakes);
/* Handles PROCESS_WAKE_STAGE and PROCESS_WOKEN. */
void wake_client_message(wake_client_t *wakes, const ipc_message_t *message);

/*
 * Waits for the preview (id, port), and wakes it unless a wake is under way. `came_ms` (loop_now) is the
 * arrival time of the request, which does not undo a later stop by the operator. False: too many wait, and
 * nothing has begun.
 */
MUST_USE bool wake_wait(wake_client_t *wakes, wake_waiter_t *waiter, str_t id, uint16_t port,
                        uint64_t came_ms);
/* Waits for a wake that any worker's requests began, and begins none. Without such a wake, `done` gets
 * WAKE_ASLEEP. False as above. */
MUST_USE bool wake_watch(wake_client_t *wakes, wake_waiter_t *waiter, str_t id, uint16_t port);
/* Stop waiting, or give back the turn at the box. Idempotent. */
void wake_leave(wake_waiter_t *waiter);
/* Whether this worker has a waiter for (id, port), so that another one begins nothing. */
bool wake_goes_on(wake_client_t *wakes, str_t id, uint16_t port);
/* Counts a wake that this client begins. False: over wake.per_client. */
MUST_USE bool wake_client_rate_allows(wake_client_t *wakes, const struct in6_addr *client);
/* The stage of a waiter's wake. */
wake_stage_t wake_current(const wake_waiter_t *waiter);
/* Milliseconds since a waiter's wake began, as far as the controller has reported. */
uint64_t wake_elapsed_ms(const wake_waiter_t *waiter);

/* ---- exchanges (wake_rules.c, wake_step.c) ---- */

/* Whether a client waits for the answer, as far as the request shows. It is no prefetch, no preflight, no
 * /favicon.ico or /robots.txt, and has no "X-Box-No-Wake: 1". */
bool wake_is_wished(const exchange_t *ex);
/* Whether the request may wake its box and wait for it. False: answered. */
MUST_USE bool wake_rules_pass(exchange_t *ex);

/* The step: passes if the box runs and its port listens; otherwise waits or refuses. */
step_result_t step_wake(exchange_t *ex);
/* Whether the edge may connect to the exchange's port of `box` without a wake. */
bool wake_is_needless(const exchange_t *ex, const store_box_t *box);
/*
 * Ends the exchange's wait, or the turn at its box that follows it (a claim). Each box has few turns at a
 * time (wake.c). The box or the edge has answered, or the exchange ends; the next waiter gets the turn. No-op
 * without either.
 */
void wake_turn_end(exchange_t *ex);
/* The box sleeps again: the next wait of the exchange counts from its own start. */
void wake_restart(exchange_t *ex);
/* Hook (pipeline.h): adds the duration of the wake to the response's head. */
void wake_response_head(exchange_t *ex);

#endif
