/*
 * The parts that codecs, exchanges and pools of one process share: a loop, the configuration's snapshot,
 * memory, counters, clocks and randomness. Every exchange and connection points at one context. A worker's is
 * part of its worker_t; the admin server, the demo app and tests have a context alone.
 */
#ifndef BOXEDGE_CONTEXT_H
#define BOXEDGE_CONTEXT_H

#include "account.h"
#include "conf.h"
#include "counters.h"
#include "fault_log.h"
#include "http_date.h"
#include "loop.h"
#include "random_id.h"

/* Opaque parts, defined by other files. */
typedef struct backlogs backlogs_t;
typedef struct farewells farewells_t;
typedef struct http2_origins http2_origins_t;
typedef struct linger_rates linger_rates_t;
typedef struct origin_pool origin_pool_t;
typedef struct pipeline pipeline_t;
typedef struct shm shm_t;
typedef struct slots slots_t;
typedef struct tls tls_t;

typedef struct context context_t;

struct context {
    unsigned index; /* of the worker's slot in `shm` */
    loop_t *loop;
    const pipeline_t *pipeline;
    conf_t *conf; /* the current snapshot; an exchange that waits takes its own reference */
    random_source_t *random;
    http_date_t date;
    counters_t *counters;  /* a worker's slot in shared memory */
    shm_t *shm;            /* NULL without shared memory (the demo app) */
    char *scratch;         /* CONN_TURN_BYTES: the bytes of one read, before they are copied or passed on */
    account_root_t memory; /* held by exchanges and their connections */
    uint64_t connection_bytes; /* of `memory`: TLS of client connections, sessions of idle HTTP/2 ones */
    backlogs_t *backlogs;      /* stalled connections; NULL: not counted (the demo app, tests) */
    uint64_t relief_ms;        /* when relief.h last looked */
    uint64_t memory_short_ms;  /* when relief.h last found memory short */
    bool memory_short_logged;  /* the log has the shortage, and not yet its end */
    bool relieving;            /* relief.h is ending exchanges */
    bool leaving;              /* it drains soon */
    bool draining;
    uint64_t tunnels_until_ms; /* draining: tunnels live on until then (loop_now); 0: for timeouts.drain */

    /* Connections of clients. */
    tls_t *tls;
    list_t clients; /* client_t.link */
    uint64_t client_count;
    list_t exchanges;             /* exchange_t.in_context */
    uint64_t accept_failed_ms;    /* last time that a connection could not be accepted; 0: never */
    list_t tunnels;               /* open ones (tunnel.c); zero-filled is valid */
    linger_rates_t *linger_rates; /* of refused uploads; NULL: none (the demo app, tests) */
    farewells_t *farewells;       /* ended connections; NULL: none (the demo app, tests, drains) */

    /* Connections to origins. */
    origin_pool_t *origins;         /* idle ones over HTTP/1 */
    http2_origins_t *http2_origins; /* over HTTP/2; NULL if none are made (tests) */
    slots_t *slots;                 /* by client and box; NULL if they have no bounds (tests) */

    size_t usable_descriptors;   /* by the limit that the process was started with */
    uint64_t shortage_logged_ms; /* last log line about a lack of descriptors; 0: never */
    fault_log_t client_faults, app_faults;
    fault_log_t connection_faults; /* before HTTP: limits, PROXY protocol, TLS */
};

#endif
