/*
 * The trace of a sampled exchange: its ids, and the times of its phases. It lies in the exchange's arena. An
 * exchange that is not sampled has none, and costs a comparison for each step.
 *
 * The forwarded request names the edge's span in `traceparent`. Times are microseconds since the head was
 * complete; 0: did not happen.
 */
#ifndef BOXEDGE_TRACE_H
#define BOXEDGE_TRACE_H

#include "arena.h"
#include "random_id.h"
#include "traceparent.h"

/* Maximum steps of an exchange, over all of its tables. */
#define TRACE_STEPS_MAX 24

typedef struct trace_step {
    const char *name;
    uint32_t from_us, to_us; /* from its first run until the next step began, or an origin or an answer */
} trace_step_t;

typedef struct trace {
    char parent[TRACEPARENT_BYTES];   /* the client's field, if `has_parent` */
    char outgoing[TRACEPARENT_BYTES]; /* for the origin: the same trace, with the edge's span */
    bool has_parent;
    trace_step_t steps[TRACE_STEPS_MAX];
    unsigned step_count;
    uint32_t origin_us;      /* an origin was chosen: the edge connects */
    uint32_t unreachable_us; /* the last attempt to connect failed */
    uint32_t head_us;        /* the response's head went to the client */
} trace_t;

/* Makes a part of the trace of `inbound`, a valid traceparent, or a new trace if that is empty. */
trace_t *trace_new(arena_t *arena, random_source_t *random, str_t inbound);

/* The trace id; the id of the span that a traceparent names. */
static inline str_t trace_id(const trace_t *trace)
{
    return traceparent_id(str_make(trace->outgoing, TRACEPARENT_BYTES));
}
static inline str_t trace_span(const char traceparent[TRACEPARENT_BYTES])
{
    return str_make(traceparent + 36, TRACE_SPAN_BYTES);
}

/* The time since `start_us` (loop_precise_us), as a trace has it: never 0. */
uint32_t trace_us(uint64_t start_us, uint64_t now_us);
/* Step `name` (a constant) is about to run, for the first time or after a wait. */
void trace_step_runs(trace_t *trace, const char *name, uint32_t us);
/* The last step has ended. */
void trace_steps_end(trace_t *trace, uint32_t us);

#endif
