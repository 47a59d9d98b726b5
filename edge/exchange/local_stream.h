/*
 * An answer that the edge makes over time, piece by piece: an origin inside this process (local.h has answers
 * that are complete at once). What the client has no room for is not sent, and never kept.
 */
#ifndef BOXEDGE_LOCAL_STREAM_H
#define BOXEDGE_LOCAL_STREAM_H

#include "exchange.h"

/*
 * Sends the head of a 200 response whose length is not known. To be called from a step, which then returns
 * STEP_DONE. When the exchange ends before local_stream_end (client gone, cut), `left` is called with `arg`
 * and the stream is over. A request body is thrown away.
 */
void local_stream_begin(exchange_t *ex, str_t content_type, const fields_t *fields, void (*left)(void *arg),
                        void *arg);
/* Sends `data` at once; false, with nothing sent: the client has no room for all of it now, and does without.
 */
bool local_stream_send(exchange_t *ex, str_t data);
/* The response is complete; `left` is not called. */
void local_stream_end(exchange_t *ex);

#endif
