/*
 * The progress of a wake as server-sent events below the reserved path (docs/http.md, "Waking"). The request
 * needs access to the preview, is no activity, and wakes nothing.
 *
 *   event: stage    {"stage": "resuming"|"starting"|"listening", "elapsed_ms": n}    at least each second
 *   event: ready    {"elapsed_ms": n}    the port listens: the last event
 *   event: failed   {"sentence": "…", "retry_after": s}    the last event
 *   event: asleep   {}    nothing wakes it: the last event
 */
#ifndef BOXEDGE_WAKE_EVENTS_H
#define BOXEDGE_WAKE_EVENTS_H

#include "exchange.h"

/* Maximum concurrent streams of one worker. */
#define WAKE_EVENTS_MAX 1024

/* The step, after the access step: answers requests for the events, and passes all others. */
step_result_t step_wake_events(exchange_t *ex);

#endif
