/*
 * Which exchanges of a worker use which box: what holds a box awake is told to the controller
 * (docs/internals/wake.md), and what was sent to a box that was paused meanwhile is answered at once. Boxes
 * of the static provider have no uses: they cost one branch here.
 *
 * Times are those of the last uses_turn: the worker calls it once a turn, so they are at most a turn old.
 */
#ifndef BOXEDGE_USES_H
#define BOXEDGE_USES_H

#include "channel.h"
#include "list.h"
#include "quiet.h"
#include "store.h"

typedef struct exchange exchange_t;
typedef struct worker worker_t;
typedef struct uses uses_t;

/* Embedded in an exchange; zero-filled uses nothing. */
typedef struct use {
    list_t link;         /* of the box's */
    struct box_use *box; /* NULL: uses nothing */
    quiet_t clock;       /* where `quiet` */
    uint64_t
        waits_ms; /* since then no byte of it was seen to move while it waits for an answer; 0: unknown */
    uint64_t sent_bytes; /* of its body, at that time */
    bool quiet;          /* a tunnel or an event stream: holds the box only while it carries something */
    bool looked;         /* its silence was told to the controller */
    bool idle;           /* a request that wakes no box: it counts only while its answer takes long */
    bool seen;           /* by the report of a second */
} use_t;

/* `store` outlives it. */
uses_t *uses_new(worker_t *worker, store_t *store);
/* Nothing is used any more. */
void uses_free(uses_t **uses);
/* The channel to the controller from now on; NULL: it is down. */
void uses_set_channel(uses_t *uses, channel_t *channel);
/* PROCESS_BOXES came: the store is looked at in this turn rather than within 250 ms. */
void uses_boxes_changed(uses_t *uses);
/*
 * Once a turn of the loop, after it; `now_ms` is loop_now. Where the epoch moved, the boxes in use are looked
 * at; boxes that come into use are told to the controller at once, and each second all that are.
 */
void uses_turn(uses_t *uses, uint64_t now_ms);
/* Boxes that are known here: in use, or lately so. */
size_t uses_boxes(const uses_t *uses);

/* The exchange's request goes to its box now. Does nothing for boxes of the static provider. */
void use_begin(exchange_t *ex);
/*
 * A connection was made for the exchange and nothing was sent on it: false where the box is not what it was
 * when the exchange read its record. Then the exchange was answered, or has begun again (origin_ops.again).
 */
MUST_USE bool use_still_there(exchange_t *ex);
/* The box could not be connected to: the controller is asked to look at it. */
void use_unreachable(exchange_t *ex);
/* Connections that the exchange leaves belong to the box as it is now. */
bool use_is_current(const exchange_t *ex);
/* A response head has come: where it opens a tunnel or an event stream, the use is quiet from here on. */
void use_responds(exchange_t *ex);
/* So many bytes of content went by (no control frames). `from_client`: they came from the client, and wake
 * the box where it sleeps. */
void use_carried(exchange_t *ex, size_t bytes, bool from_client);
/* Hooks (pipeline.h): bytes of bodies go by, outside of tunnels. */
void use_request_body(exchange_t *ex, str_t data);
MUST_USE bool use_response_body(exchange_t *ex, str_t *data);
/* Idempotent. */
void use_end(exchange_t *ex);

#endif
