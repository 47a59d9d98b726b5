/*
 * The way of traces out of the edge: a bounded queue of those that workers sent, and calls of the receiver
 * with many of them, one at a time (OTLP over HTTP, otlp.h). A call that fails is not repeated: its traces
 * are dropped and counted. After a failure the next call waits, for Retry-After if the receiver names one.
 */
#ifndef BOXEDGE_TRACE_SERVICE_H
#define BOXEDGE_TRACE_SERVICE_H

#include "conf.h"
#include "loop.h"
#include "str.h"

/* Maximum traces that wait, and those of a call. */
#define TRACE_QUEUE_MAX 1024
#define TRACE_BATCH     64
/* Maximum wait of a trace for others while no call is under way, and the wait after a failure. */
#define TRACE_GATHER_MS 1000
#define TRACE_PAUSE_MS  5000
/* Upper limit applied to Retry-After. */
#define TRACE_RETRY_MAX_MS 60000

typedef struct trace_service trace_service_t;

/* Since the controller started. */
typedef struct trace_figures {
    uint64_t sent;
    uint64_t over;     /* requests that were not traced because of tracing.per_second */
    uint64_t lost;     /* that a worker could not send to the controller */
    uint64_t crowded;  /* the queue was full */
    uint64_t failed;   /* the receiver did not take the call */
    uint64_t rejected; /* spans of calls that it took in part */
} trace_figures_t;

/* `conf` must live until trace_service_set_conf or trace_service_free. */
trace_service_t *trace_service_new(loop_t *loop, const conf_t *conf);
void trace_service_set_conf(trace_service_t *service, const conf_t *conf);
/* The edge ends: no trace waits for others any more, or for a receiver that has failed. After TRACE_LAST_MS
 * all are dropped, since requests at a new edge may wait for the end of this one. */
#define TRACE_LAST_MS 1000
void trace_service_hurry(trace_service_t *service);
/* Nothing waits, and no call is under way. */
bool trace_service_is_empty(const trace_service_t *service);
/* Drops what waits, and nulls. */
void trace_service_free(trace_service_t **service);

/* A message of a worker (trace_message.h). Ignores an invalid one. */
void trace_service_take(trace_service_t *service, str_t bytes);
trace_figures_t trace_service_figures(const trace_service_t *service);

#endif
