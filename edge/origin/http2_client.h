/*
 * HTTP/2 towards an origin (h2c with prior knowledge, or over TLS), through nghttp2: exchanges to the same
 * target share connections. Trailers pass both ways, so gRPC does.
 */
#ifndef BOXEDGE_HTTP2_CLIENT_H
#define BOXEDGE_HTTP2_CLIENT_H

#include "exchange.h"

/* A worker's connections to HTTP/2 origins. */
typedef struct http2_origins http2_origins_t;

http2_origins_t *http2_origins_new(context_t *context);
/* No exchange uses any of them. */
void http2_origins_free(http2_origins_t **origins);
/* A box's connections of every generation but one take no more requests, and close once they have none. NULL
 * is allowed. */
void http2_origins_drop(http2_origins_t *origins, str_t name, uint64_t keep_generation);
/* Closes connections that have had no request since `before` (loop_now), up to `most`, the oldest first. NULL
 * is allowed. */
void http2_origins_shed(http2_origins_t *origins, uint64_t before, size_t most);
/* How many there are. */
size_t http2_origins_count(const http2_origins_t *origins);

/* Attaches to an exchange with ex->target and sends its request; whatever happens comes through
 * exchange_response_* or exchange_origin_failed, as with http1_client_start. */
void http2_client_start(exchange_t *ex);

#endif
