/*
 * The end of a worker's clients. Idle connections close within about a second. Open exchanges and tunnels
 * have timeouts.drain to finish. In a worker that has a successor they have timeouts.drain_tunnels, because
 * no request may fail for a reload or an upgrade. Tunnels have that time only if changes still reach the
 * worker.
 */
#ifndef BOXEDGE_DRAIN_H
#define BOXEDGE_DRAIN_H

#include "context.h"

/* Zero-filled is valid: nothing drains. */
typedef struct drain {
    context_t *context;
    bool keeps_open;
    loop_timer_t deadline; /* cuts all open exchanges */
    loop_timer_t tunnels;  /* before it, cuts the tunnels */
} drain_t;

/* The exchanges that have timeouts.drain_tunnels. */
typedef enum drain_keeps { DRAIN_KEEPS_NOTHING, DRAIN_KEEPS_EXCHANGES, DRAIN_KEEPS_ALL } drain_keeps_t;

void drain_begin(drain_t *drain, context_t *context, drain_keeps_t keeps);
/* Exchanges and tunnels that live on end within timeouts.drain from now on. Idempotent. */
void drain_hasten(drain_t *drain);
void drain_fini(drain_t *drain);

/* Cuts all exchanges and closes their connections. */
void clients_destroy(context_t *context);

#endif
