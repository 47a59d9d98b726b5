/*
 * The metrics of one edge in the Prometheus text format (version 0.0.4), and their reference
 * (docs/metrics.md). Every label has a bounded set of values: those of an enumeration, worker below
 * SHM_WORKERS_MAX, slot below BALANCE_SERVERS_MAX, or names of the configuration. Addresses that are not of
 * the configuration are no labels, since everyone who reaches a listener of kind metrics reads them.
 */
#ifndef BOXEDGE_METRICS_H
#define BOXEDGE_METRICS_H

#include <stdio.h>

#include "balance.h"
#include "conf.h"
#include "resolver.h"
#include "shm.h"
#include "store.h"
#include "trace_service.h"

/* A server inside the controller. */
typedef struct metrics_admin {
    uint64_t connections; /* open */
    uint64_t given_up;    /* idle ones that closed for others */
    uint64_t refused;     /* requests and connections without a place */
} metrics_admin_t;

/* A listener of kind metrics with a certificate of its own. */
typedef struct metrics_certificate {
    const char *listener;
    uint64_t expires_s; /* unix seconds; 0: unknown */
} metrics_certificate_t;

typedef struct metrics_input {
    shm_t *shm;
    const conf_t *conf;        /* for its upstreams; NULL: none */
    unsigned workers;          /* configured */
    uint64_t now_ms;           /* CLOCK_MONOTONIC */
    uint64_t heap_bytes;       /* of the controller */
    uint64_t messages_lost;    /* logger_lost_lines */
    uint64_t clock_jumps;      /* of the wall clock, seen by this controller */
    const char *build_id;      /* hexadecimal; NULL: unknown */
    metrics_admin_t admin;     /* the admin socket */
    metrics_admin_t listeners; /* those of kind metrics */
    resolver_figures_t names;  /* of servers */
    trace_figures_t traces;
    const store_stats_t *store; /* NULL: unreadable */
    bool ready;                 /* as /readyz says */
    const metrics_certificate_t *certificates;
    size_t certificate_count;
} metrics_input_t;

/* Returns the text, to be freed, and its length. Counters are sums over all workers, including dead ones, so
 * that they never go back. */
char *metrics_text(const metrics_input_t *input, size_t *len);

/* Prints the reference: each metric with type, labels and meaning, as a table in Markdown. False: no memory.
 */
MUST_USE bool metrics_print_reference(FILE *out);

/* "absent", "starting", "ready" or "draining". */
const char *metrics_state_text(uint32_t state);

#endif
