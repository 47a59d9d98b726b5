/*
 * From the name of a preview to its record and its box, as the store has them.
 */
#ifndef BOXEDGE_ROUTE_H
#define BOXEDGE_ROUTE_H

#include "blocks.h"
#include "exchange.h"
#include "routes.h"

/* Answers blocked requests, and all requests while the list of blocks is unknown. True where it answered. */
MUST_USE bool route_refuses(exchange_t *ex, blocks_answer_t answer);

/*
 * The preview that the request's host names, with its box. A preview on a box that is not there is as one
 * that was never made. *route is valid until the next call.
 */
MUST_USE routes_result_t route_find(exchange_t *ex, const route_t **route);

/* The step: finds ex->preview and ex->box, or answers 404. */
step_result_t step_route(exchange_t *ex);
/*
 * Looks again whether the preview of a routed exchange is the one that it was judged by, and nothing of it is
 * blocked; an exchange that went to no box yet gets the preview and the box as they are now. Answers 403, 404
 * or 401 and returns false where not.
 */
MUST_USE bool route_still_allowed(exchange_t *ex);

#endif
