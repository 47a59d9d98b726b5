/*
 * HTTP/2 towards an origin (h2c with prior knowledge, or over TLS), through nghttp2: exchanges to the same
 * target share connections. Trailers pass both ways, so gRPC does.
 */
#ifndef BOXEDGE_HTTP2_CLIENT_H
#define BOXEDGE_HTTP2_CLIENT_H

#include "exchange.h"

/* A worker's connections to HTTP/2 origins. */
typedef struct http2_origins http2_origins_t;

http2_origins_t *http2_origins_new(worker_t *worker);
void http2_origins_free(http2_origins_t **origins);

/* Attaches to an exchange with ex->target and sends its request; whatever happens comes through
 * exchange_response_* or exchange_origin_failed, as with http1_client_start. */
void http2_client_start(exchange_t *ex);

#endif
