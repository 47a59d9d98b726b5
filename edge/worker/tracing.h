/*
 * Traces of a worker's requests (docs/tracing.md): decides which to trace, and sends each at its end to the
 * controller. A trace that the channel has no room for is dropped and counted; the worker never waits.
 */
#ifndef BOXEDGE_TRACING_H
#define BOXEDGE_TRACING_H

#include "channel.h"
#include "exchange.h"
#include "trace_message.h"

typedef struct tracing tracing_t;

tracing_t *tracing_new(void);
/* Nulls. */
void tracing_free(tracing_t **tracing);
/* NULL: no controller for now. */
void tracing_set_channel(tracing_t *tracing, channel_t *channel);

/* Hooks (pipeline.h): the decision; the end. */
void tracing_begin(exchange_t *ex);
void tracing_end(exchange_t *ex);

/* The message of an exchange that has ended, with a trace. */
void tracing_message(const exchange_t *ex, trace_message_t *out);

#endif
