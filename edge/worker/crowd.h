/*
 * Closes idle connections when a worker has all its client connections (limits.connections), or when its
 * connections keep too much memory (budget_is_crowded). A new client then does not depend on clients that
 * hold many. Connections of trusted proxies and health checks stay.
 */
#ifndef BOXEDGE_CROWD_H
#define BOXEDGE_CROWD_H

#include <stdbool.h>

#include "str.h"

typedef struct context context_t;

/* Maximum connections closed per search: a search costs more than they do. */
#define CROWD_AT_ONCE 32

typedef enum crowd_reason {
    CROWD_SLOTS,  /* each closed connection helps */
    CROWD_MEMORY, /* only a connection that keeps memory helps */
} crowd_reason_t;

/*
 * Closes idle connections: first those of the client (one /64 for IPv6) with the most connections, the
 * longest idle first. False: none is idle.
 */
MUST_USE bool crowd_make_room(context_t *context, crowd_reason_t reason);

#endif
