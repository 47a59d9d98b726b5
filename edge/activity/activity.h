/*
 * Which exchanges of a worker are active on which box. The worker tells the controller which boxes are held
 * awake (docs/internals/wake.md), and answers at once what was sent to a box that was paused meanwhile.
 * Exchanges with boxes of the static provider have no entry: they cost one branch here.
 *
 * Times are those of the last activity_turn: the worker calls it once a turn, so they are at most a turn old.
 */
#ifndef BOXEDGE_ACTIVITY_H
#define BOXEDGE_ACTIVITY_H

#include "channel.h"
#include "store.h"

typedef struct exchange exchange_t;
typedef struct worker worker_t;
typedef struct activity activity_t;

/* `store` outlives it. */
activity_t *activity_new(worker_t *worker, store_t *store);
/* No exchange has an entry any more. */
void activity_free(activity_t **activity);
/* The channel to the controller from now on; NULL: it is down. */
void activity_set_channel(activity_t *activity, channel_t *channel);
/* PROCESS_BOXES came: the store is looked at in this turn rather than within 250 ms. */
void activity_boxes_changed(activity_t *activity);
/*
 * Once a turn of the loop, after it; `now_ms` is loop_now. Where the epoch moved, the boxes in use are looked
 * at; boxes that come into use are told to the controller at once, and each second all that are.
 */
void activity_turn(activity_t *activity, uint64_t now_ms);
/* Boxes that are known here: in use, or lately so. */
size_t activity_boxes(const activity_t *activity);

/* The exchange's request goes to its box now: it gets an entry. Does nothing for boxes of the static
 * provider. */
void activity_begin(exchange_t *ex);
/*
 * A connection was made for the exchange and nothing was sent on it: false where the box is not what it was
 * when the exchange read its record. Then the exchange was answered, or has begun again (origin_ops.again).
 */
MUST_USE bool activity_still_there(exchange_t *ex);
/* The box could not be connected to: the controller is asked to look at it. */
void activity_unreachable(exchange_t *ex);
/* Connections that the exchange leaves belong to the box as it is now. */
bool activity_is_current(const exchange_t *ex);
/* A response head has come: where it opens a tunnel or an event stream, the entry
 * counts only while something is carried, from here on. */
void activity_responds(exchange_t *ex);
/* So many bytes of content went by (no control frames). `from_client`: they came from the client, and wake
 * the box where it sleeps. */
void activity_carried(exchange_t *ex, size_t bytes, bool from_client);
/* Hooks (pipeline.h): bytes of bodies go by, outside of tunnels. */
void activity_request_body(exchange_t *ex, str_t data);
MUST_USE bool activity_response_body(exchange_t *ex, str_t *data);
/* Idempotent. */
void activity_end(exchange_t *ex);

#endif
