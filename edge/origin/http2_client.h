/*
 * HTTP/2 to an origin (h2c with prior knowledge, or over TLS), through nghttp2. Exchanges to the same target
 * share connections. Trailers pass both ways, as gRPC needs.
 */
#ifndef BOXEDGE_HTTP2_CLIENT_H
#define BOXEDGE_HTTP2_CLIENT_H

#include "exchange.h"

/* A worker's connections to HTTP/2 origins. */
typedef struct http2_origins http2_origins_t;

http2_origins_t *http2_origins_new(context_t *context);
/* No exchange may use any of them. Nulls; NULL is a no-op. */
void http2_origins_free(http2_origins_t **origins);
/* Stops new requests on a box's connections of all generations but one, and closes each once it has no
 * request. NULL is a no-op. */
void http2_origins_drop(http2_origins_t *origins, str_t name, uint64_t keep_generation);
/* Closes up to `most` connections without a request since `before` (loop_now) or earlier, oldest first. NULL
 * is a no-op. */
void http2_origins_shed(http2_origins_t *origins, uint64_t before, size_t most);
/* The number of connections. */
size_t http2_origins_count(const http2_origins_t *origins);

/* Attaches to an exchange with ex->target and sends its request. Reports every outcome through
 * exchange_response_* or exchange_origin_failed, as http1_client_start does. */
void http2_client_start(exchange_t *ex);

#endif
