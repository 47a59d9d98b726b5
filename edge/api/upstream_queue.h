/*
 * Requests of one worker that wait for a place at an upstream whose servers are all at their limits: first
 * come, first served, bounded over all workers and in time. Whoever frees a place tells the workers that wait
 * (PROCESS_PLACE, through the controller); without the controller they look again every 100 ms.
 */
#ifndef BOXEDGE_UPSTREAM_QUEUE_H
#define BOXEDGE_UPSTREAM_QUEUE_H

#include "balance.h"
#include "channel.h"
#include "list.h"
#include "loop.h"

typedef struct exchange exchange_t;
typedef struct worker worker_t;
typedef struct upstream_queue upstream_queue_t;

/* Embedded; zero-filled waits for nothing. */
typedef struct place_waiter {
    list_t link;
    exchange_t *ex;
    unsigned upstream;
    uint64_t since_ms;
} place_waiter_t;

upstream_queue_t *upstream_queue_new(worker_t *worker);
/* Nobody waits any more (asserted). */
void upstream_queue_free(upstream_queue_t **upstream_queue);
/* The channel to the controller from now on; NULL: it is down. */
void upstream_queue_set_channel(upstream_queue_t *upstream_queue, channel_t *channel);

/* Whether requests of this worker wait for that upstream already: a new one must not overtake them. */
bool upstream_queue_waiting(const upstream_queue_t *upstream_queue, unsigned upstream);
/* Puts the exchange into the line. Its wait (await.h), which the caller begins, completes when there may be a
 * place; for the first of the line at the end of this turn already. False, and it is in no line: `most` wait
 * already, over all workers. */
MUST_USE bool upstream_queue_wait(upstream_queue_t *upstream_queue, place_waiter_t *waiter, exchange_t *ex,
                                  unsigned upstream, uint32_t most);
/* The wait completes: out of the line, but still counted. upstream_queue_wait_on or upstream_queue_leave
 * follows. */
void upstream_queue_turn(place_waiter_t *waiter);
/* There is no place after all: back to the front of the line. */
void upstream_queue_wait_on(upstream_queue_t *upstream_queue, place_waiter_t *waiter);
/* Leaves the line. No-op for one that is in none. */
void upstream_queue_leave(upstream_queue_t *upstream_queue, place_waiter_t *waiter);
/* A place became free at that upstream, here or (PROCESS_PLACE) at another worker. Who waits here goes on at
 * the end of the turn; where nobody does, others are told if they wait. */
void upstream_queue_freed(upstream_queue_t *upstream_queue, unsigned upstream);
void upstream_queue_message(upstream_queue_t *upstream_queue, uint64_t upstream);

#endif
