/*
 * Tracks which exchanges of a worker use which box. The worker reports to the controller which boxes are held
 * awake (docs/internals/wake.md), and immediately answers exchanges whose box was paused. Exchanges with
 * boxes of the static provider have no entry: they cost one branch here.
 *
 * Times are those of the last activity_turn, at most one turn old.
 */
#ifndef BOXEDGE_ACTIVITY_H
#define BOXEDGE_ACTIVITY_H

#include "channel.h"
#include "store.h"

typedef struct exchange exchange_t;
typedef struct worker worker_t;
typedef struct activity activity_t;

/* `store` outlives the result. */
activity_t *activity_new(worker_t *worker, store_t *store);
/* No exchange has an entry (asserted). */
void activity_free(activity_t **activity);
/* The channel to the controller from now on. NULL: the controller is down. */
void activity_set_channel(activity_t *activity, channel_t *channel);
/* PROCESS_BOXES came: the next check of the store need not wait for the 250 ms interval. */
void activity_boxes_changed(activity_t *activity);
/*
 * Runs at the end of each turn of the loop; `now_ms` is loop_now. Checks the boxes in use if the epoch has
 * moved. Reports boxes to the controller: newly used ones immediately, all active ones each second.
 */
void activity_turn(activity_t *activity, uint64_t now_ms);
/* The number of boxes that are in use, or were lately. */
size_t activity_boxes(const activity_t *activity);

/* The exchange's request goes to its box: adds an entry. No-op for boxes of the static provider. */
void activity_begin(exchange_t *ex);
/*
 * The exchange has a connection and has not sent a byte on it. False: the box has changed since the exchange
 * read its record, or the store is unreadable. The exchange was then answered, or has begun again
 * (origin_ops.again).
 */
MUST_USE bool activity_still_there(exchange_t *ex);
/* The edge cannot connect to the box: asks the controller to check it. */
void activity_unreachable(exchange_t *ex);
/* Whether connections that the exchange leaves belong to the box as it is now. */
bool activity_is_current(const exchange_t *ex);
/* A response head has come. From here on, the entry of a tunnel or an event stream counts only while it
 * carries something. */
void activity_responds(exchange_t *ex);
/* The exchange carried `bytes` bytes of content (no control frames). `from_client`: the client sent them, and
 * they wake a sleeping box. */
void activity_carried(exchange_t *ex, size_t bytes, bool from_client);
/* Hooks (pipeline.h): bytes of bodies pass, outside of tunnels. */
void activity_request_body(exchange_t *ex, str_t data);
MUST_USE bool activity_response_body(exchange_t *ex, str_t *data);
/* Removes the exchange's entry. Idempotent. */
void activity_end(exchange_t *ex);

#endif
