/*
 * The end of a worker's clients. Idle connections close within about a second. Open exchanges and tunnels
 * have timeouts.drain to finish. In a worker that has a successor they have timeouts.drain_tunnels
 * (context_t.open_until_ms), because no request may fail for a reload or an upgrade.
 */
#ifndef BOXEDGE_DRAIN_H
#define BOXEDGE_DRAIN_H

#include "context.h"

/* Zero-filled is valid: nothing drains. */
typedef struct drain {
    context_t *context;
    loop_timer_t deadline; /* cuts what is still open */
} drain_t;

/* `keeps_open`: for timeouts.drain_tunnels. */
void drain_begin(drain_t *drain, context_t *context, bool keeps_open);
/* Exchanges and tunnels that live on end within timeouts.drain from now on. Idempotent. */
void drain_hasten(drain_t *drain);
void drain_fini(drain_t *drain);

/* Cuts all exchanges and closes their connections. */
void clients_destroy(context_t *context);

#endif
