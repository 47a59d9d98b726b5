/*
 * Accepts connections on one listening socket of a worker and makes clients of them: counts them by address,
 * leads them through a PROXY protocol header and TLS (greeting.h), and hands them to the codec.
 *
 * Bounds: a batch a turn, so that a flood does not starve the connections that are open; at
 * limits.connections of the worker, or when descriptors run out, it stops accepting for 100 ms and looks
 * again: what comes waits in the kernel's queue meanwhile, and beyond it is refused by the kernel. A
 * connection over limits.connections_per_client is closed at once.
 */
#ifndef BOXEDGE_ACCEPTOR_H
#define BOXEDGE_ACCEPTOR_H

#include "context.h"

/* Accepted in one turn, at most. */
#define ACCEPTOR_BATCH 16
/* How long it stops when it cannot go on, in ms. */
#define ACCEPTOR_PAUSE_MS 100

typedef struct acceptor acceptor_t;

/* Takes over `fd` (listening, non-blocking). Copies what it needs of `listener`. */
acceptor_t *acceptor_new(context_t *context, int fd, const conf_listener_t *listener);
/* Whether it serves what `listener` says. */
bool acceptor_serves(const acceptor_t *acceptor, const conf_listener_t *listener);
/* Accepts what waits in the queue now (a bounded number), for closing after it. */
void acceptor_empty_queue(acceptor_t *acceptor);
/* Closes our descriptor and nulls; clients stay. */
void acceptor_free(acceptor_t **acceptor);

#endif
