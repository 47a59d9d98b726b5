/*
 * Shared by metrics*.c only: the parts of the metrics, by subject. Each writes its families also if nothing
 * of theirs exists, so that the reference is whole; `input` is then without a configuration and a store.
 */
#ifndef BOXEDGE_METRICS_INTERNAL_H
#define BOXEDGE_METRICS_INTERNAL_H

#include "metrics.h"
#include "metrics_writer.h"

static inline uint64_t metrics_load(const _Atomic uint64_t *cell)
{
    return atomic_load_explicit(cell, memory_order_relaxed);
}

void metrics_workers(metrics_writer_t *w, const metrics_input_t *input);
void metrics_requests(metrics_writer_t *w, const metrics_input_t *input);
void metrics_processes(metrics_writer_t *w, const metrics_input_t *input);
void metrics_upstreams(metrics_writer_t *w, const metrics_input_t *input);

#endif
