/*
 * A worker that holds all the client connections that it may (limits.connections), or whose connections keep
 * too much memory (budget_is_crowded): idle ones go, so that a new one does not wait for the good will of
 * those who hold many. Connections of trusted proxies and health checks stay.
 */
#ifndef BOXEDGE_CROWD_H
#define BOXEDGE_CROWD_H

#include <stdbool.h>

#include "str.h"

typedef struct context context_t;

/* Connections that go at once, at most: a search costs more than they do. */
#define CROWD_AT_ONCE 32

typedef enum crowd_reason {
    CROWD_PLACES, /* any connection that goes helps */
    CROWD_MEMORY, /* one that keeps memory does */
} crowd_reason_t;

/*
 * Closes idle connections: first those of the client (one /64 for IPv6) that has most connections, the
 * longest idle first. False: none is idle.
 */
MUST_USE bool crowd_make_room(context_t *context, crowd_reason_t reason);

#endif
