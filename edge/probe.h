/*
 * Waits until a port of a box listens: connects, and again after 10 ms, doubling to 250 ms. A connection that
 * is accepted is closed at once; nothing is sent.
 */
#ifndef BOXEDGE_PROBE_H
#define BOXEDGE_PROBE_H

#include <netinet/in.h>

#include "loop.h"

typedef struct probe probe_t;

/* Calls `listening` once, from the loop; the probe is only to be stopped after it. Goes on until then. */
probe_t *probe_start(loop_t *loop, const struct in6_addr *address, uint16_t port,
                     void (*listening)(void *owner), void *owner);
/* Nulls. NULL is allowed. */
void probe_stop(probe_t **probe);

#endif
