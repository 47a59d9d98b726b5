/*
 * An answer that the edge sends over time, piece by piece, from an origin inside this process (local.h has
 * complete answers). A piece for which the client has no room is dropped, never kept.
 */
#ifndef BOXEDGE_LOCAL_STREAM_H
#define BOXEDGE_LOCAL_STREAM_H

#include "exchange.h"

/*
 * Sends the head of a 200 response of unknown length. For a step, which then returns STEP_DONE. If the
 * exchange ends before local_stream_end (client gone, cut), calls `left` with `arg`, and the stream is over.
 * Discards a request body.
 */
void local_stream_begin(exchange_t *ex, str_t content_type, const fields_t *fields, void (*left)(void *arg),
                        void *arg);
/* Sends all of `data` in one call. Without room for all of it, sends nothing and returns false. */
bool local_stream_send(exchange_t *ex, str_t data);
/* Completes the response, without calling `left`. */
void local_stream_end(exchange_t *ex);

#endif
