/*
 * See listeners.h.
 */
#include "listeners.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"

/* The sockets of another worker. */
typedef struct borrowed {
    list_t link;
    uint64_t owner;
    size_t count;
    acceptor_t *acceptors[PROCESS_LISTENERS_MAX];
} borrowed_t;

void listeners_init(listeners_t *listeners)
{
    listeners->count = 0;
    list_init(&listeners->borrowed);
}

/* ---- borrowed sockets ---- */

static void close_one(borrowed_t *borrowed, bool empty_queues)
{
    list_unlink(&borrowed->link);
    for (size_t i = 0; i < borrowed->count; i++) {
        if (empty_queues)
            acceptor_empty_queue(borrowed->acceptors[i]);
        acceptor_free(&borrowed->acceptors[i]);
    }
    free(borrowed);
}

static void close_borrowed(listeners_t *listeners, bool empty_queues)
{
    while (!list_is_empty(&listeners->borrowed))
        close_one(CONTAINER_OF(borrowed_t, link, listeners->borrowed.next), empty_queues);
}

void listeners_return(listeners_t *listeners, uint64_t owner)
{
    for (list_t *link = listeners->borrowed.next, *next; link != &listeners->borrowed; link = next) {
        borrowed_t *borrowed = CONTAINER_OF(borrowed_t, link, link);
        next = link->next;
        if (borrowed->owner == owner)
            close_one(borrowed, false);
    }
}

void listeners_borrow(listeners_t *listeners, context_t *context, uint64_t owner, int *fds, size_t count)
{
    const conf_t *conf = context->conf;
    if (count != conf_worker_listeners(conf))
        return;
    listeners_return(listeners, owner);
    borrowed_t *borrowed = mem_alloc(sizeof(*borrowed));
    *borrowed = (borrowed_t){.owner = owner, .count = count};
    for (size_t i = 0; i < count; i++) {
        borrowed->acceptors[i] = acceptor_new(context, fds[i], &conf->listeners[i]);
        fds[i] = -1;
    }
    list_insert(&listeners->borrowed, &borrowed->link);
}

/* ---- own sockets ---- */

/* Gives each listener its counters. */
static void name_cells(context_t *context)
{
    const conf_t *conf = context->conf;
    uint64_t ids[PROCESS_LISTENERS_MAX];
    size_t count = conf_worker_listeners(conf);
    for (size_t i = 0; i < count; i++)
        ids[i] = conf->listeners[i].id;
    measure_assign(context->counters->measures.listeners, MEASURE_LISTENERS, ids, (unsigned)count);
}

/* Takes the acceptor that still serves `listener` out of `old`; NULL: none. */
static acceptor_t *keep_acceptor(acceptor_t **old, size_t count, const conf_listener_t *listener)
{
    for (size_t i = 0; i < count; i++) {
        acceptor_t *found = old[i];
        if (found != NULL && acceptor_serves(found, listener)) {
            old[i] = NULL;
            return found;
        }
    }
    return NULL;
}

void listeners_swap(listeners_t *listeners, context_t *context, int *fds)
{
    const conf_t *conf = context->conf;
    acceptor_t *old[PROCESS_LISTENERS_MAX];
    size_t old_count = listeners->count;

    size_t count = conf_worker_listeners(conf);
    assert(count <= PROCESS_LISTENERS_MAX);
    name_cells(context);
    close_borrowed(listeners, false);
    memcpy(old, listeners->own, sizeof(old));
    listeners->count = 0;
    for (size_t i = 0; i < count; i++) {
        acceptor_t *acceptor = keep_acceptor(old, old_count, &conf->listeners[i]);
        if (acceptor == NULL) {
            acceptor = acceptor_new(context, fds[i], &conf->listeners[i]);
            fds[i] = -1;
        }
        listeners->own[listeners->count++] = acceptor;
    }
    for (size_t i = 0; i < old_count; i++) {
        if (old[i] == NULL)
            continue;
        acceptor_empty_queue(old[i]);
        acceptor_free(&old[i]);
    }
}

/* ---- the end ---- */

void listeners_close(listeners_t *listeners, bool empty_queues)
{
    close_borrowed(listeners, empty_queues);
    for (size_t i = 0; i < listeners->count; i++) {
        if (empty_queues)
            acceptor_empty_queue(listeners->own[i]);
        acceptor_free(&listeners->own[i]);
    }
    listeners->count = 0;
}
