/*
 * Which requests are traced. A valid traceparent decides by its flag; for other requests the rate decides.
 * Any client can send a traceparent, so both kinds have a bound per second of their own: a flood of one kind
 * takes nothing from the other.
 */
#ifndef BOXEDGE_TRACE_SAMPLER_H
#define BOXEDGE_TRACE_SAMPLER_H

#include <stdbool.h>
#include <stdint.h>

#include "str.h"

/* Zero-filled is valid. */
typedef struct trace_sampler {
    uint64_t second[2]; /* of the clock, for each kind: by the rate, by the client */
    uint32_t taken[2];  /* in it */
    uint64_t over;      /* requests that were not traced because of the bound */
} trace_sampler_t;

/* Whether to trace a request. `inbound` is its valid traceparent, or empty; `rate` is in millionths; `random`
 * is uniform, and used only without `inbound`. */
bool trace_sampler_takes(trace_sampler_t *sampler, str_t inbound, uint32_t rate, uint32_t per_second,
                         uint32_t random, uint64_t now_ms);

#endif
