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

/*
 * The answer comes later, and no more of the request's body is taken. `left` is called with `arg` when the
 * exchange ends before that (client gone, answered otherwise). For a step, which then returns STEP_DONE, and
 * for a local_handler_t.
 */
void local_wait(exchange_t *ex, void (*left)(void *arg), void *arg);
/* The answer has come: ends the wait without calling `left`; the caller answers. */
void local_wait_end(exchange_t *ex);

/* Operations of an origin (origin_ops_t) that throws the request's body away. */
size_t local_discard_room(const exchange_t *ex);
void local_discard_body(exchange_t *ex, str_t data);
/* One that has nothing to do. */
void local_do_nothing(exchange_t *ex);

#endif
