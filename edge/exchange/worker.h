/*
 * One worker process: the context of its codecs and exchanges, and the opaque parts that its steps use.
 */
#ifndef BOXEDGE_WORKER_H
#define BOXEDGE_WORKER_H

#include "context.h"

typedef struct access access_t;
typedef struct access_log access_log_t;
typedef struct blocks blocks_t;
typedef struct flights flights_t;
typedef struct keys keys_t;
typedef struct links links_t;
typedef struct origin_tls origin_tls_t;
typedef struct upstream_queue upstream_queue_t;
typedef struct preview_client preview_client_t;
typedef struct refused refused_t;
typedef struct routes routes_t;
typedef struct store store_t;
typedef struct activity activity_t;
typedef struct tracing tracing_t;
typedef struct traffic traffic_t;
typedef struct wake_client wake_client_t;
typedef struct worker worker_t;

struct worker {
    context_t context;
    origin_tls_t *origin_tls;         /* of context.conf; NULL if no origin has TLS (tests) */
    routes_t *routes;                 /* host name -> preview and box, over the store */
    access_t *access;                 /* credentials of previews */
    links_t *links;                   /* links of previews; NULL: none (tests) */
    blocks_t *blocks;                 /* blocks set by the operator */
    wake_client_t *wake_client;       /* requests that wait for boxes; NULL if no box can be woken (tests) */
    keys_t *keys;                     /* named API keys */
    preview_client_t *preview_client; /* client of the controller's preview service */
    store_t *store;
    refused_t *refused;                /* requests whose box refused them; NULL: no look-up (tests) */
    upstream_queue_t *upstream_queue;  /* requests that wait for a slot at an upstream */
    activity_t *activity;              /* the use of boxes by exchanges; NULL: none (tests) */
    access_log_t *log;                 /* NULL: no access log */
    traffic_t *traffic;                /* who makes its requests; NULL: does not count (tests) */
    tracing_t *tracing;                /* traces of requests; NULL: none (tests) */
    flights_t *flights;                /* the requests in flight, in the shared segment; NULL: none (tests) */
    unsigned wake_streams;             /* open ones (wake_events.c) */
    uint32_t birth;                    /* process_birth of this process */
    uint8_t plan_cells[MEASURE_PLANS]; /* of each of conf->plans, in measures_t.plans */
};

/* The worker of a context. Steps and hooks run only in workers, whose context is part of a worker_t. */
static inline worker_t *worker_of(context_t *context)
{
    return CONTAINER_OF(worker_t, context, context);
}

#endif
