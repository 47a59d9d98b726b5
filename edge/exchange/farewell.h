/*
 * Connections that the edge has ended before the peer took their last bytes: a response that its client does
 * not read, or a whole request that its app does not read. If they were closed immediately, the kernel would
 * keep each for minutes with all its memory, outside every count. So the worker keeps the connection until
 * its bytes are taken, and resets it after `timeouts.write_idle` without progress. Meanwhile its bytes count
 * to the client and to the request's box, and a client's connection counts to the client's connections.
 *
 * Bounds of a worker: FAREWELL_MOST connections and a quarter of limits.memory. A client address (unless it
 * is a trusted proxy) and a box may have the fraction of both that a share is of limits.memory. Over a bound,
 * the worker resets the connection that has been without progress longest. A draining worker keeps none; the
 * kernel still sends the remaining bytes.
 */
#ifndef BOXEDGE_FAREWELL_H
#define BOXEDGE_FAREWELL_H

#include "client.h"

/* Maximum connections of a worker; with few descriptors, a sixteenth of the descriptors. */
#define FAREWELL_MOST 1024
/* Maximum bytes to read and discard from the peer: unread bytes would turn the close into a reset. */
#define FAREWELL_READ_BYTES 262144
/* Interval of checks of progress with the kernel. */
#define FAREWELL_LOOK_MS 1000

/* All farewells of a worker; context_t.farewells. */
typedef struct farewells farewells_t;

farewells_t *farewells_new(context_t *context);
/* Closes all; the kernel still sends the remaining bytes. */
void farewells_free(farewells_t **all);
size_t farewells_count(const farewells_t *all);

/*
 * For client_fini, once `client` has left the worker's list. Takes its connection (nulled) and its count if
 * enough bytes are untaken. No-op if the worker keeps no farewells or the connection is dead. While relief
 * (relief.h) takes memory back, resets the connection instead.
 */
void farewell_begin(client_t *client);

/*
 * For an origin codec that releases a connection after the whole request was sent. Takes the connection
 * (nulled) if enough bytes are untaken, or resets it as above. Otherwise, or if the worker keeps no
 * farewells, the caller keeps it.
 */
void farewell_begin_origin(const exchange_t *ex, conn_t **conn);

#endif
