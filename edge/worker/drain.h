/*
 * The end of a worker's clients. Exchanges have timeouts.drain to finish. Tunnels have the same time, or live
 * on beside the workers of a successor until timeouts.drain_tunnels is over (context_t.tunnels_until_ms).
 */
#ifndef BOXEDGE_DRAIN_H
#define BOXEDGE_DRAIN_H

#include "context.h"

/* Zero-filled is valid: nothing drains. */
typedef struct drain {
    context_t *context;
    loop_timer_t deadline;
    bool only_tunnels; /* the time of exchanges is over */
} drain_t;

void drain_begin(drain_t *drain, context_t *context, bool keeps_tunnels);
/* Tunnels that live on end within timeouts.drain from now on. Idempotent. */
void drain_hasten(drain_t *drain);
/* Once a second: past timeouts.drain, ends the clients whose tunnels have ended. */
void drain_turn(drain_t *drain);
void drain_fini(drain_t *drain);

/* Cuts all exchanges and closes their connections. */
void clients_destroy(context_t *context);

#endif
