/*
 * Finds the record and the box of a preview in the store, by the name of the preview.
 */
#ifndef BOXEDGE_ROUTE_H
#define BOXEDGE_ROUTE_H

#include "blocks.h"
#include "exchange.h"
#include "routes.h"

/* Answers blocked requests, and all requests while the list of blocks is unknown. True: answered. */
MUST_USE bool route_refuses(exchange_t *ex, blocks_answer_t answer);

/*
 * Finds the preview that the request's host names, with its box. A preview whose box does not exist is not
 * found. *route is valid until the next call.
 */
MUST_USE routes_result_t route_find(exchange_t *ex, const route_t **route);

/* The step: finds ex->preview and ex->box, or answers 403, 404 or 503. */
step_result_t step_route(exchange_t *ex);
/*
 * Re-checks a routed exchange: no block applies to it, and the preview has the version that the access step
 * judged, or asks for no credentials. An exchange without an origin gets the current preview and box. False:
 * answered with 401, 403, 404 or 503.
 */
MUST_USE bool route_still_allowed(exchange_t *ex);

#endif
