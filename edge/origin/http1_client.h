/*
 * HTTP/1.1 to an origin: sends the exchange's request on a pooled or a new connection, reads the response,
 * and returns the connection. The origin is not trusted: an ambiguous response leads to a 502 and a closed
 * connection.
 */
#ifndef BOXEDGE_HTTP1_CLIENT_H
#define BOXEDGE_HTTP1_CLIENT_H

#include "exchange.h"

/* Attaches to a routed exchange and sends its request. Reports every outcome through exchange_response_* or
 * exchange_origin_failed. */
void http1_client_start(exchange_t *ex);

#endif
