/*
 * Connections that the edge has ended and whose last bytes the peer has not taken yet: a response that its
 * client does not read, or a whole request that its app does not. Closed at once, each would live on in the
 * kernel for minutes with all that it holds, outside every count. So the worker keeps the connection until
 * its bytes are taken, and resets it after `timeouts.write_idle` without progress. Meanwhile its bytes count
 * to the client, and to the box that a request was for; a client's connection counts as one of its own.
 *
 * Bounds of a worker: FAREWELL_MOST connections and a quarter of limits.memory; of one client address, unless
 * it is a trusted proxy, and of one box, the part of both that a share is of limits.memory. Over a bound the
 * connection that has been without progress longest is reset. A worker that drains keeps none: the kernel
 * still sends what it has.
 */
#ifndef BOXEDGE_FAREWELL_H
#define BOXEDGE_FAREWELL_H

#include "client.h"

/* Connections of a worker; with few descriptors a sixteenth of them. */
#define FAREWELL_MOST 1024
/* Bytes that the peer may still send; they are thrown away, since unread ones make a reset of the end. */
#define FAREWELL_READ_BYTES 262144
/* How often the kernel is asked for progress. */
#define FAREWELL_LOOK_MS 1000

/* All of one worker; context_t.farewells. */
typedef struct farewells farewells_t;

farewells_t *farewells_new(context_t *context);
/* Closes all; the kernel still sends what it has. */
void farewells_free(farewells_t **all);
size_t farewells_count(const farewells_t *all);

/*
 * For client_fini, once `client` has left the worker's list: takes its connection (nulled) and its count over
 * where enough bytes are untaken. No-op where the worker keeps no farewells, or the connection is dead. While
 * relief takes memory back (relief.h) the connection is reset in place of being kept.
 */
void farewell_begin(client_t *client);

/*
 * For an origin codec that lets go of a connection whose request was sent whole: takes it (nulled) where
 * enough bytes are untaken, or resets it as above. The caller keeps it where that is not so, or the worker
 * keeps no farewells.
 */
void farewell_begin_origin(const exchange_t *ex, conn_t **conn);

#endif
