/*
 * HTTP/1.1 towards a port in a box: sends the exchange's request on a pooled or a fresh connection, reads the
 * response, and gives the connection back. What a box sends is not trusted: what could be read in two ways
 * ends in a 502 and a closed connection.
 */
#ifndef BOXEDGE_HTTP1_CLIENT_H
#define BOXEDGE_HTTP1_CLIENT_H

#include "exchange.h"

/* Attaches to a routed exchange and sends its request; whatever happens comes through exchange_response_* or
 * exchange_origin_failed. */
void http1_client_start(exchange_t *ex);

#endif
