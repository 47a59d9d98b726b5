/*
 * The field `traceparent` of a request (W3C Trace Context, section 3.2).
 */
#ifndef BOXEDGE_TRACEPARENT_H
#define BOXEDGE_TRACEPARENT_H

#include "str.h"

#define TRACEPARENT_BYTES 55
#define TRACE_ID_BYTES    32
#define TRACE_SPAN_BYTES  16

/* Version 00, 32 and 16 lower-case hex digits that are not all zero, 2 of flags. */
bool traceparent_valid(str_t value);
/* The trace id of a valid value: a slice of it. */
static inline str_t traceparent_id(str_t value)
{
    return str_make(value.p + sizeof("00-") - 1, TRACE_ID_BYTES);
}
/* Whether the caller of a valid value records the trace. */
bool traceparent_sampled(str_t value);

#endif
