/*
 * An origin inside this process: answers of the admin socket, the health listener and the demo app. A step
 * attaches a local handler instead of a connection. The handler gets the request body, collected up to a
 * bound.
 */
#ifndef BOXEDGE_LOCAL_H
#define BOXEDGE_LOCAL_H

#include "exchange.h"

/* Called once with the whole request body. Must answer with exchange_reply, now or later. */
typedef void (*local_handler_t)(exchange_t *ex, str_t body, void *arg);

/*
 * Collects at most `max` bytes of the request body (answers 413 to a longer one), then calls `handler`. For a
 * step, which then returns STEP_DONE. `handler` may run before this returns (no body to wait for).
 */
void local_collect(exchange_t *ex, size_t max, local_handler_t handler, void *arg);

/*
 * Takes no more of the request's body, and waits for the answer. Calls `left` with `arg` if the exchange ends
 * earlier (client gone, answered otherwise). For a step, which then returns STEP_DONE, and for a
 * local_handler_t.
 */
void local_wait(exchange_t *ex, void (*left)(void *arg), void *arg);
/* Ends the wait without calling `left`; the caller answers. */
void local_wait_end(exchange_t *ex);

/* Operations (origin_ops_t) of an origin that discards the request's body. */
size_t local_discard_room(const exchange_t *ex);
void local_discard_body(exchange_t *ex, str_t data);
/* A no-op for origin_ops_t. */
void local_do_nothing(exchange_t *ex);

#endif
