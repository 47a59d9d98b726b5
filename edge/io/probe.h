/*
 * Waits until a port of a box listens: connects immediately, then repeatedly at growing intervals. An
 * accepted connection is closed immediately, without a byte sent.
 */
#ifndef BOXEDGE_PROBE_H
#define BOXEDGE_PROBE_H

#include <netinet/in.h>

#include "loop.h"

typedef struct probe probe_t;

#define PROBE_WAIT_MOST_MS 250

/* The pause before the next attempt after `waited_ms` in all: at most an eighth of it, so that a visitor
 * waits little longer than the app needs, and at least 1 ms. Powers of two (a loop has room for few
 * durations) up to PROBE_WAIT_MOST_MS: about 15 attempts in the first 15 ms, then at most 12 per doubling. */
uint32_t probe_wait_ms(uint64_t waited_ms);

/* Probes without limit until the port listens. Then calls `listening` once, from the loop; only probe_stop is
 * valid after it. */
probe_t *probe_start(loop_t *loop, const struct in6_addr *address, uint16_t port,
                     void (*listening)(void *owner), void *owner);
/* Nulls. NULL is a no-op. */
void probe_stop(probe_t **probe);

#endif
