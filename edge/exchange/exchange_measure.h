/*
 * An exchange in the histograms and tables of counters (measures.h), at its end.
 */
#ifndef BOXEDGE_EXCHANGE_MEASURE_H
#define BOXEDGE_EXCHANGE_MEASURE_H

#include "context.h"
#include "exchange.h"

measure_kind_t exchange_kind(const exchange_t *ex);
measure_protocol_t exchange_protocol(const exchange_t *ex);
/* No-op for exchanges of local servers and of the edge itself, and for those whose head never was complete.
 */
void exchange_measure(const exchange_t *ex);

static inline measures_t *exchange_measures(const exchange_t *ex)
{
    return &ex->context->counters->measures;
}

/* Its preview refused it; `reason` is a MEASURE_ACCESS_*. */
static inline void exchange_measure_access(const exchange_t *ex, unsigned reason)
{
    counter_add(&exchange_measures(ex)->access[reason], 1);
}

#endif
