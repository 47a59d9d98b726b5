/*
 * Which exchanges of a worker use which box: what holds a box awake is told to the controller (DESIGN 9.9),
 * and what was sent to a box that someone else paused is answered at once. Boxes of the static provider have
 * no uses: they cost nothing here.
 */
#ifndef BOXEDGE_USES_H
#define BOXEDGE_USES_H

#include "channel.h"
#include "exchange.h"

typedef struct uses uses_t;

/* Embedded in an exchange; zero-filled uses nothing. */
typedef struct use {
    h2o_linklist_t link; /* of the box's */
    struct box_use *box; /* NULL: uses nothing */
    uint64_t began_ms;   /* loop_now when the request went to the box */
    uint64_t busy_ms;    /* of a quiet one: the minute that carried more than 1 KiB began then */
    uint64_t minute_ms;  /* of a quiet one: when the minute began that `minute_bytes` counts */
    uint32_t minute_bytes;
    bool quiet;  /* a tunnel or an event stream: holds the box only while it carries something */
    bool fresh;  /* went over a fresh connection */
    bool looked; /* its silence was told to the controller */
} use_t;

uses_t *uses_new(worker_t *worker);
/* Nothing is used any more. */
void uses_free(uses_t **uses);
void uses_set_channel(uses_t *uses, channel_t *channel);
/* PROCESS_BOXES came: the store is looked at in this turn rather than within 250 ms. */
void uses_boxes_changed(uses_t *uses);
/* Once a turn of the loop: where the epoch moved, the states of boxes in use are looked at. */
void uses_turn(uses_t *uses);

/* The exchange's request goes to its box now. Does nothing for boxes of the static provider. */
void use_begin(exchange_t *ex);
/* The request went over a fresh connection (else over a pooled one). */
void use_fresh(exchange_t *ex);
/* It became a tunnel, or its response is text/event-stream: quiet from here on. */
void use_quiet(exchange_t *ex);
/* A quiet one carried so many bytes of content (no control frames). `from_client`: they came from the client,
 * and wake the box where it sleeps. */
void use_carried(exchange_t *ex, size_t bytes, bool from_client);
/* Idempotent. */
void use_end(exchange_t *ex);

#endif
