/*
 * Waits until a port of a box listens: connects at once and again and again, less and less often. A
 * connection that is accepted is closed at once; nothing is sent.
 */
#ifndef BOXEDGE_PROBE_H
#define BOXEDGE_PROBE_H

#include <netinet/in.h>

#include "loop.h"

typedef struct probe probe_t;

#define PROBE_WAIT_MOST_MS 250

/* How long to wait until the next try when that many milliseconds were waited in all: an eighth of them or
 * less, so that the box's visitor hardly waits longer than its app needed, and at least one millisecond.
 * Powers of two (a loop has room for few durations) up to PROBE_WAIT_MOST_MS: about 15 tries in the first 15
 * ms, at most 12 for each doubling after that. */
uint32_t probe_wait_ms(uint64_t waited_ms);

/* Calls `listening` once, from the loop; the probe is only to be stopped after it. Goes on until then. */
probe_t *probe_start(loop_t *loop, const struct in6_addr *address, uint16_t port,
                     void (*listening)(void *owner), void *owner);
/* Nulls. NULL is allowed. */
void probe_stop(probe_t **probe);

#endif
