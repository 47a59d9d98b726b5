/*
 * The changes to a request on its way to the box, and to a response on its way to the client: drops
 * hop-by-hop fields and sets the fields that only the edge may set (docs/http.md, "Forwarding").
 */
#ifndef BOXEDGE_FORWARD_H
#define BOXEDGE_FORWARD_H

#include "exchange.h"

#include "arena.h"

/*
 * The HTTP/1.1 head for the box, in `pool`: request line with the raw target, Host, the client's fields
 * except those that end here, and the edge's own. `websocket_key` goes with a WebSocket handshake.
 */
str_t forward_request_head(const exchange_t *ex, arena_t *pool, str_t websocket_key);
/* Whether the head has `Connection: close`: no other request follows, and the app may know. */
bool forward_has_close(const exchange_t *ex);
/*
 * The same for HTTP/2, by the same rules, into the empty `fields`: pseudo-fields first, names in any case,
 * and "te: trailers" if the client takes trailers. Slices live in `pool` or as long as ex->request.
 */
void forward_request_fields(const exchange_t *ex, arena_t *pool, fields_t *fields);

/*
 * Filters the request's trailers for HTTP/2, which alone carries them. Drops those that Connection names, and
 * those that an app which reads '_' as '-' could take for a field of the head. In place; idempotent.
 */
void forward_filter_trailers(exchange_t *ex);

/*
 * Drops the fields of a box's response that end here: Connection and the fields that it names, Keep-Alive,
 * Proxy-*, TE, Upgrade. If the box gets localhost as its host, turns its names back (turn_back.h).
 */
void forward_filter_response(exchange_t *ex, fields_t *fields);
/* The client's traceparent if it has one that is valid, else empty. */
str_t forward_inbound_trace(const exchange_t *ex);

#endif
