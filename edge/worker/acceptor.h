/*
 * Accepts connections on one listening socket of a worker and makes clients of them. It counts them by
 * address, takes them through a PROXY protocol header and TLS (greeting.h), and hands them to the codec.
 *
 * Bounds: a batch per turn, so that a flood does not starve open connections. At limits.connections of the
 * worker, or without descriptors, it pauses for 100 ms and tries again. New connections meanwhile wait in the
 * kernel's queue, and the kernel refuses the overflow. A connection over limits.connections_per_client is
 * closed immediately.
 */
#ifndef BOXEDGE_ACCEPTOR_H
#define BOXEDGE_ACCEPTOR_H

#include "context.h"

/* Maximum accepts per turn. */
#define ACCEPTOR_BATCH 16
/* Pause when it cannot accept, in ms. */
#define ACCEPTOR_PAUSE_MS 100

typedef struct acceptor acceptor_t;

/* Whether new connections may have to wait for room: at limits.connections, or accepting failed lately. */
bool acceptor_is_full(const context_t *context);

/* Takes over `fd` (listening, non-blocking). Copies the needed fields of `listener`. */
acceptor_t *acceptor_new(context_t *context, int fd, const conf_listener_t *listener);
/* Whether it serves `listener` as configured. */
bool acceptor_serves(const acceptor_t *acceptor, const conf_listener_t *listener);
/* Accepts the connections in the queue (a bounded number) before the socket closes. */
void acceptor_empty_queue(acceptor_t *acceptor);
/* Closes this process's descriptor and nulls. The clients stay. */
void acceptor_free(acceptor_t **acceptor);

#endif
