#include "places.h"

#include <assert.h>
#include <stdlib.h>

#include "exchange.h"
#include "list.h"
#include "process.h"
#include "worker.h"

/* Without word of a free place it is looked for so often. */
#define LOOK_MS 100

struct places {
    worker_t *worker;
    channel_t *channel;
    list_t waiters[BALANCE_UPSTREAMS_MAX];
    bool freed[BALANCE_UPSTREAMS_MAX]; /* since the last turn */
    size_t count;
    loop_task_t task;
    loop_timer_t look;
};

places_t *places_new(worker_t *worker)
{
    places_t *places = calloc(1, sizeof(*places));
    assert(places != NULL);
    places->worker = worker;
    for (size_t i = 0; i < BALANCE_UPSTREAMS_MAX; i++)
        list_init(&places->waiters[i]);
    return places;
}

void places_free(places_t **places)
{
    if (*places == NULL)
        return;
    assert((*places)->count == 0);
    loop_undefer(&(*places)->task);
    loop_timer_stop(&(*places)->look);
    free(*places);
    *places = NULL;
}

void places_set_channel(places_t *places, channel_t *channel)
{
    places->channel = channel;
}

bool places_waiting(const places_t *places, unsigned upstream)
{
    assert(upstream < BALANCE_UPSTREAMS_MAX);
    return !list_is_empty((list_t *)&places->waiters[upstream]);
}

/* Each that waits tries in turn, until one of them goes on waiting: then there is no place for the others. */
static void serve(places_t *places, unsigned upstream)
{
    list_t *list = &places->waiters[upstream];
    while (!list_is_empty(list)) {
        place_waiter_t *first = CONTAINER_OF(place_waiter_t, link, list->next);
        await_complete(first->ex);
        if (list->next == &first->link)
            return;
    }
}

static void on_freed(loop_task_t *task)
{
    places_t *places = CONTAINER_OF(places_t, task, task);
    for (unsigned i = 0; i < BALANCE_UPSTREAMS_MAX; i++) {
        if (!places->freed[i])
            continue;
        places->freed[i] = false;
        serve(places, i);
    }
}

static void serve_soon(places_t *places, unsigned upstream)
{
    places->freed[upstream] = true;
    loop_defer(places->worker->context.loop, &places->task, on_freed);
}

static void on_look(loop_timer_t *timer)
{
    places_t *places = CONTAINER_OF(places_t, look, timer);
    for (unsigned i = 0; i < BALANCE_UPSTREAMS_MAX; i++)
        if (places_waiting(places, i))
            serve_soon(places, i);
    if (places->count != 0)
        loop_timer_start(places->worker->context.loop, timer, LOOK_MS, on_look);
}

bool places_wait(places_t *places, place_waiter_t *waiter, exchange_t *ex, unsigned upstream, uint32_t most)
{
    worker_t *worker = places->worker;
    balance_t *balance = shm_balance(worker->context.shm);
    assert(upstream < BALANCE_UPSTREAMS_MAX && waiter->ex == NULL);
    balance_waiters_add(balance, worker->context.index, upstream,
                        1); /* first counted, so that all together stay below */
    if (balance_waiters(balance, upstream) > most) {
        balance_waiters_add(balance, worker->context.index, upstream, -1);
        return false;
    }
    /* One may have come free since the caller looked, of which nobody was told as nobody waited yet. */
    if (!places_waiting(places, upstream))
        serve_soon(places, upstream);
    *waiter = (place_waiter_t){.ex = ex, .upstream = upstream, .since_ms = loop_now(worker->context.loop)};
    list_insert(&places->waiters[upstream], &waiter->link);
    places->count++;
    if (!loop_timer_running(&places->look))
        loop_timer_start(worker->context.loop, &places->look, LOOK_MS, on_look);
    return true;
}

void places_turn(place_waiter_t *waiter)
{
    list_unlink(&waiter->link);
}

void places_wait_on(places_t *places, place_waiter_t *waiter)
{
    assert(waiter->ex != NULL && !list_is_linked(&waiter->link));
    list_insert(places->waiters[waiter->upstream].next, &waiter->link);
}

void places_leave(places_t *places, place_waiter_t *waiter)
{
    if (waiter->ex == NULL)
        return;
    balance_waiters_add(shm_balance(places->worker->context.shm), places->worker->context.index,
                        waiter->upstream, -1);
    if (list_is_linked(&waiter->link))
        list_unlink(&waiter->link);
    waiter->ex = NULL;
    assert(places->count > 0);
    places->count--;
}

void places_freed(places_t *places, unsigned upstream)
{
    if (places_waiting(places, upstream))
        serve_soon(places, upstream);
    else if (places->channel != NULL &&
             balance_waiters(shm_balance(places->worker->context.shm), upstream) != 0)
        (void)channel_send(places->channel, PROCESS_PLACE, upstream, STR(""), NULL, 0);
}

void places_message(places_t *places, uint64_t upstream)
{
    if (upstream < BALANCE_UPSTREAMS_MAX && places_waiting(places, (unsigned)upstream))
        serve_soon(places, (unsigned)upstream);
}
