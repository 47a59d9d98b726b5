/*
 * An origin inside this process: answers of the admin socket, the health listener and the demo app. A step
 * attaches a local handler instead of connecting anywhere; request bodies are collected up to a bound or
 * streamed.
 */
#ifndef BOXEDGE_LOCAL_H
#define BOXEDGE_LOCAL_H

#include "exchange.h"

/* Called once with the whole request body; must answer with exchange_reply, now or later. */
typedef void (*local_handler_t)(exchange_t *ex, str_t body, void *arg);

/*
 * Collects the request body, at most `max` bytes (more is answered 413), then calls `handler`. To be called
 * from a step, which then returns STEP_DONE. The handler may run before this returns (no body to wait for).
 */
void local_collect(exchange_t *ex, size_t max, local_handler_t handler, void *arg);

#endif
