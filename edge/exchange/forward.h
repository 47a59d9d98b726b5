/*
 * What changes between the client's request and the one that the box gets, and between the box's response and
 * the one that the client gets: hop-by-hop fields go, fields that only the edge may say are set
 * (docs/http.md, "Forwarding").
 */
#ifndef BOXEDGE_FORWARD_H
#define BOXEDGE_FORWARD_H

#include "exchange.h"

#include "arena.h"

/*
 * The HTTP/1.1 head for the box, in `pool`: request line with the raw target, Host, the client's fields
 * without those that end here, and ours. `websocket_key` is sent with a WebSocket handshake.
 */
str_t forward_request_head(const exchange_t *ex, arena_t *pool, str_t websocket_key);
/* The head says `Connection: close`: nothing else is asked for on the connection, and the app may know. */
bool forward_says_close(const exchange_t *ex);
/*
 * The same for HTTP/2, by the same rules, into empty `fields`: pseudo-fields first, names in any case, and
 * "te: trailers" where the client takes trailers. Slices live in `pool` or as long as ex->request.
 */
void forward_request_fields(const exchange_t *ex, arena_t *pool, fields_t *fields);

/*
 * The request's trailers for HTTP/2, which alone carries them: without those that Connection names, and
 * without those that an app which reads '_' as '-' could take for a field of the head. In place; idempotent.
 */
void forward_filter_trailers(exchange_t *ex);

/*
 * Takes out of a box's response what must not pass: Connection and what it names, Keep-Alive, Proxy-*, TE,
 * Upgrade. For a box that is told it is on localhost, a Location there becomes one on the preview's host.
 */
void forward_filter_response(exchange_t *ex, fields_t *fields);

#endif
