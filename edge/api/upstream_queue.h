/*
 * Requests of one worker that wait for a slot at an upstream whose servers are all at their limits. First
 * come, first served; bounded over all workers and in time. A worker that frees a slot resumes its own
 * waiters, or else notifies the others (PROCESS_UPSTREAM_SLOT, through the controller). Waiting workers also
 * check every 100 ms.
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

/* Embedded. Zero-filled: not waiting. */
typedef struct upstream_waiter {
    list_t link;
    exchange_t *ex;
    unsigned upstream;
    uint64_t since_ms;
} upstream_waiter_t;

upstream_queue_t *upstream_queue_new(worker_t *worker);
/* No waiter is left (asserted). */
void upstream_queue_free(upstream_queue_t **queue);
/* The channel to the controller from now on. NULL: the controller is down. */
void upstream_queue_set_channel(upstream_queue_t *queue, channel_t *channel);

/* Whether requests of this worker wait for that upstream: a new one must not overtake them. */
bool upstream_queue_waiting(const upstream_queue_t *queue, unsigned upstream);
/* Queues the exchange. The caller begins its wait (await.h), which completes when a slot may be free. The
 * first in the queue tries at the end of this turn already. False: not queued, since `most` wait over all
 * workers. */
MUST_USE bool upstream_queue_wait(upstream_queue_t *queue, upstream_waiter_t *waiter, exchange_t *ex,
                                  unsigned upstream, uint32_t most);
/* The wait has completed: leaves the queue, but stays counted. upstream_queue_wait_on or upstream_queue_leave
 * follows. */
void upstream_queue_turn(upstream_waiter_t *waiter);
/* No slot is free after all: back to the front of the queue. */
void upstream_queue_wait_on(upstream_queue_t *queue, upstream_waiter_t *waiter);
/* Leaves the queue. No-op if not queued. */
void upstream_queue_leave(upstream_queue_t *queue, upstream_waiter_t *waiter);
/* A slot became free at that upstream, here or (PROCESS_UPSTREAM_SLOT) at another worker. Resumes a waiter of
 * this worker at the end of the turn. Without one, upstream_queue_freed notifies other workers that wait. */
void upstream_queue_freed(upstream_queue_t *queue, unsigned upstream);
void upstream_queue_message(upstream_queue_t *queue, uint64_t upstream);

#endif
