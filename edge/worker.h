/*
 * What the parts of one worker share: its loop, its snapshot of the configuration, its view of the store, its
 * pools, its log and its counters. One process has one worker_t; every exchange and connection points at it.
 */
#ifndef BOXEDGE_WORKER_H
#define BOXEDGE_WORKER_H

#include "account.h"
#include "conf.h"
#include "counters.h"
#include "fault.h"
#include "http_date.h"
#include "list.h"
#include "loop.h"
#include "random_id.h"
#include "relief.h"

/* Parts that others make and the steps use: each is known to its own files only. */
typedef struct access access_t;
typedef struct access_log access_log_t;
typedef struct backlogs backlogs_t;
typedef struct blocks blocks_t;
typedef struct farewells farewells_t;
typedef struct http2_origins http2_origins_t;
typedef struct keys keys_t;
typedef struct linger_rates linger_rates_t;
typedef struct origin_pool origin_pool_t;
typedef struct origin_tls origin_tls_t;
typedef struct places places_t;
typedef struct pipeline pipeline_t;
typedef struct preview_calls preview_calls_t;
typedef struct refused refused_t;
typedef struct routes routes_t;
typedef struct shm shm_t;
typedef struct slots slots_t;
typedef struct store store_t;
typedef struct tls tls_t;
typedef struct uses uses_t;
typedef struct wakes wakes_t;

struct worker {
    unsigned index;
    loop_t *loop;
    const pipeline_t *pipeline;
    conf_t *conf; /* the current snapshot; an exchange takes its own reference where it waits */
    tls_t *tls;
    origin_tls_t *origin_tls;       /* of `conf`; NULL where no origin has TLS (tests) */
    routes_t *routes;               /* host name -> preview and box, over the store */
    access_t *access;               /* who may see a preview */
    linger_rates_t *linger_rates;   /* of refused uploads; NULL: none (the demo app, tests) */
    blocks_t *blocks;               /* what the operator has blocked */
    origin_pool_t *origins;         /* idle connections over HTTP/1 */
    http2_origins_t *http2_origins; /* connections over HTTP/2; NULL where nothing goes there (tests) */
    wakes_t *wakes; /* requests that wait for boxes; NULL where there are none to wake (tests) */
    keys_t *keys;   /* API keys that have a name */
    preview_calls_t *preview_calls; /* to the controller */
    store_t *store;
    refused_t *refused; /* requests whose box refused them; NULL where nobody can be asked (tests) */
    places_t *places;   /* requests that wait for a place at an upstream */
    uses_t *uses;       /* which boxes exchanges use; NULL where there are none (the demo app, tests) */
    access_log_t *log;  /* NULL where no lines are written */
    random_source_t *random;
    http_date_t date;
    counters_t *counters; /* this worker's slot in shared memory */
    shm_t *shm;           /* NULL where nothing is shared (the demo app) */
    relief_t relief;
    backlogs_t *backlogs;   /* connections that stand still; NULL: not counted (the demo app, tests) */
    farewells_t *farewells; /* client connections that have ended; NULL: none (the demo app, tests, drains) */
    list_t clients;         /* client_t.link */
    list_t tunnels;         /* open ones (tunnel.c); zero-filled is valid */
    uint64_t client_count;
    account_root_t memory; /* what exchanges and their connections hold */
    uint64_t
        connection_bytes; /* of `memory`: client connections' TLS, and sessions of idle ones over HTTP/2 */
    slots_t *slots; /* connections to origins by client and box; NULL where there are no bounds (tests) */
    size_t usable_descriptors; /* by the limit that it was started with */
    uint64_t shortage_said_ms; /* of descriptors, in the log; 0: never */
    fault_log_t client_faults, app_faults;
    unsigned wake_streams; /* open ones (wake_events.c) */
    bool draining;
    uint32_t birth; /* process_birth of this process */
    char *scratch;  /* CONN_TURN_BYTES: what one read takes, before it is copied or passed on */
};

#endif
