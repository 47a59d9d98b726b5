#include "upstream_queue.h"

#include <assert.h>
#include <stdlib.h>

#include "exchange.h"
#include "list.h"
#include "process.h"
#include "worker.h"

/* Interval of checks for a free slot without a notice. */
#define LOOK_MS 100

struct upstream_queue {
    worker_t *worker;
    channel_t *channel;
    list_t waiters[BALANCE_UPSTREAMS_MAX];
    bool freed[BALANCE_UPSTREAMS_MAX]; /* since the last turn */
    size_t count;
    loop_task_t task;
    loop_timer_t look;
};

upstream_queue_t *upstream_queue_new(worker_t *worker)
{
    upstream_queue_t *queue = calloc(1, sizeof(*queue));
    assert(queue != NULL);
    queue->worker = worker;
    for (size_t i = 0; i < BALANCE_UPSTREAMS_MAX; i++)
        list_init(&queue->waiters[i]);
    return queue;
}

void upstream_queue_free(upstream_queue_t **queue)
{
    if (*queue == NULL)
        return;
    assert((*queue)->count == 0);
    loop_undefer(&(*queue)->task);
    loop_timer_stop(&(*queue)->look);
    free(*queue);
    *queue = NULL;
}

void upstream_queue_set_channel(upstream_queue_t *queue, channel_t *channel)
{
    queue->channel = channel;
}

bool upstream_queue_waiting(const upstream_queue_t *queue, unsigned upstream)
{
    assert(upstream < BALANCE_UPSTREAMS_MAX);
    return !list_is_empty((list_t *)&queue->waiters[upstream]);
}

/* Resumes the waiters in order until one waits again: then no slot is free for the others. */
static void serve(upstream_queue_t *queue, unsigned upstream)
{
    list_t *list = &queue->waiters[upstream];
    while (!list_is_empty(list)) {
        upstream_waiter_t *first = CONTAINER_OF(upstream_waiter_t, link, list->next);
        await_complete(first->ex);
        if (list->next == &first->link)
            return;
    }
}

static void on_freed(loop_task_t *task)
{
    upstream_queue_t *queue = CONTAINER_OF(upstream_queue_t, task, task);
    for (unsigned i = 0; i < BALANCE_UPSTREAMS_MAX; i++) {
        if (!queue->freed[i])
            continue;
        queue->freed[i] = false;
        serve(queue, i);
    }
}

static void serve_soon(upstream_queue_t *queue, unsigned upstream)
{
    queue->freed[upstream] = true;
    loop_defer(queue->worker->context.loop, &queue->task, on_freed);
}

static void on_look(loop_timer_t *timer)
{
    upstream_queue_t *queue = CONTAINER_OF(upstream_queue_t, look, timer);
    for (unsigned i = 0; i < BALANCE_UPSTREAMS_MAX; i++)
        if (upstream_queue_waiting(queue, i))
            serve_soon(queue, i);
    if (queue->count != 0)
        loop_timer_start(queue->worker->context.loop, timer, LOOK_MS, on_look);
}

bool upstream_queue_wait(upstream_queue_t *queue, upstream_waiter_t *waiter, exchange_t *ex,
                         unsigned upstream, uint32_t most)
{
    worker_t *worker = queue->worker;
    balance_t *balance = shm_balance(worker->context.shm);
    assert(upstream < BALANCE_UPSTREAMS_MAX && waiter->ex == NULL);
    balance_waiters_add(balance, worker->context.index, upstream,
                        1); /* counted first, so that all workers together stay within the limit */
    if (balance_waiters(balance, upstream) > most) {
        balance_waiters_add(balance, worker->context.index, upstream, -1);
        return false;
    }
    /* A slot may have become free after the caller's check, without a notice since nobody waited. */
    if (!upstream_queue_waiting(queue, upstream))
        serve_soon(queue, upstream);
    *waiter = (upstream_waiter_t){.ex = ex, .upstream = upstream, .since_ms = loop_now(worker->context.loop)};
    list_insert(&queue->waiters[upstream], &waiter->link);
    queue->count++;
    if (!loop_timer_running(&queue->look))
        loop_timer_start(worker->context.loop, &queue->look, LOOK_MS, on_look);
    return true;
}

void upstream_queue_turn(upstream_waiter_t *waiter)
{
    list_unlink(&waiter->link);
}

void upstream_queue_wait_on(upstream_queue_t *queue, upstream_waiter_t *waiter)
{
    assert(waiter->ex != NULL && !list_is_linked(&waiter->link));
    list_insert(queue->waiters[waiter->upstream].next, &waiter->link);
}

void upstream_queue_leave(upstream_queue_t *queue, upstream_waiter_t *waiter)
{
    if (waiter->ex == NULL)
        return;
    balance_waiters_add(shm_balance(queue->worker->context.shm), queue->worker->context.index,
                        waiter->upstream, -1);
    if (list_is_linked(&waiter->link))
        list_unlink(&waiter->link);
    waiter->ex = NULL;
    assert(queue->count > 0);
    queue->count--;
}

void upstream_queue_freed(upstream_queue_t *queue, unsigned upstream)
{
    if (upstream_queue_waiting(queue, upstream))
        serve_soon(queue, upstream);
    else if (queue->channel != NULL &&
             balance_waiters(shm_balance(queue->worker->context.shm), upstream) != 0)
        (void)channel_send(queue->channel, PROCESS_UPSTREAM_SLOT, upstream, STR(""), NULL, 0);
}

void upstream_queue_message(upstream_queue_t *queue, uint64_t upstream)
{
    if (upstream < BALANCE_UPSTREAMS_MAX && upstream_queue_waiting(queue, (unsigned)upstream))
        serve_soon(queue, (unsigned)upstream);
}
