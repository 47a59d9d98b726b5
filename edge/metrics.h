/*
 * The figures of one edge in the Prometheus text format (version 0.0.4). Every label has a bounded set of
 * values: worker is below SHM_WORKERS_MAX, version is one.
 */
#ifndef BOXEDGE_METRICS_H
#define BOXEDGE_METRICS_H

#include "shm.h"
#include "store.h"

typedef struct metrics_input {
    shm_t *shm;
    unsigned workers;           /* configured */
    uint64_t now_ms;            /* CLOCK_MONOTONIC */
    uint64_t heap_bytes;        /* of the controller */
    const store_stats_t *store; /* NULL: cannot be read */
} metrics_input_t;

/* Returns the text, to be freed, and its length. Counters are summed over all workers, those of workers that
 * are gone included, so that they never go back. */
char *metrics_text(const metrics_input_t *input, size_t *len);

/* "absent", "starting", "ready" or "draining". */
const char *metrics_state_text(uint32_t state);

#endif
