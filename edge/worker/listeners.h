/*
 * The listening sockets of a worker: its own, one for each listener of the configuration, and those of
 * workers that cannot accept (PROCESS_QUEUE).
 */
#ifndef BOXEDGE_LISTENERS_H
#define BOXEDGE_LISTENERS_H

#include "acceptor.h"
#include "list.h"
#include "process.h"

typedef struct listeners {
    acceptor_t *own[PROCESS_LISTENERS_MAX];
    size_t count;
    list_t borrowed; /* borrowed_t.link */
} listeners_t;

void listeners_init(listeners_t *listeners);
/*
 * Opens and closes acceptors to match context->conf. `fds` has one entry per listener; used ones become -1.
 * Closes all borrowed sockets, since the supervisor lends them anew.
 */
void listeners_swap(listeners_t *listeners, context_t *context, int *fds);
/* Accepts from the sockets of worker `owner`, too. Ignores them unless they are one per listener; taken ones
 * become -1. */
void listeners_borrow(listeners_t *listeners, context_t *context, uint64_t owner, int *fds, size_t count);
/* Closes the sockets borrowed from `owner`. */
void listeners_return(listeners_t *listeners, uint64_t owner);
/* Closes all. `empty_queues`: accepts the connections in the queues before. */
void listeners_close(listeners_t *listeners, bool empty_queues);

#endif
