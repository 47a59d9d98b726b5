/*
 * The steps that the tables in pipeline.c name, and what steps, replies and tunnels may do to an exchange.
 * For the files that make up the exchange only; codecs use exchange.h.
 */
#ifndef BOXEDGE_STEPS_H
#define BOXEDGE_STEPS_H

#include "exchange.h"
#include "routes.h"

step_result_t step_client(exchange_t *ex);
step_result_t step_host(exchange_t *ex);
step_result_t step_route(exchange_t *ex);
step_result_t step_limit(exchange_t *ex);
step_result_t step_origin(exchange_t *ex);
step_result_t step_api_key(exchange_t *ex);
step_result_t step_api_limit(exchange_t *ex);
step_result_t step_api_deletion(exchange_t *ex);
step_result_t step_api_preview(exchange_t *ex);
step_result_t step_slots(exchange_t *ex);
step_result_t step_api_slots(exchange_t *ex);
step_result_t step_api_pick(exchange_t *ex);
step_result_t step_api_origin(exchange_t *ex);
step_result_t step_redirect(exchange_t *ex);
step_result_t step_health(exchange_t *ex);

/*
 * The preview that the request's host names, with its box. A preview on a box that is not there is as one
 * that was never made. *route is valid until the next call.
 */
MUST_USE routes_result_t exchange_find_route(exchange_t *ex, const route_t **route);
/*
 * Something took time since the exchange was let in: looks again whether the preview is the one that it was
 * judged by, and nothing of it is blocked; an exchange that went to no box yet has the preview and the box as
 * they are now. Answers 403, 404 or 401 and returns false where not. True for
 * exchanges that were not routed.
 */
MUST_USE bool exchange_still_allowed(exchange_t *ex);

/*
 * Asks the client for the request's body, for a step that judges it. True: all of it is in ex->held, or
 * EXCHANGE_BODY_BYTES are. False: the step answers STEP_WAIT, and is run again when the body is there.
 */
MUST_USE bool exchange_await_body(exchange_t *ex);
/* The request goes to an origin from here on; a client that waits for 100 (Continue) gets it, unless
 * ex->origin_ops is set and has no room for a body. */
void exchange_to_origin(exchange_t *ex);
/* Sends ex->response's head as the edge's own answer, in place of whatever origin was asked. */
void exchange_answer(exchange_t *ex);
/* The edge's own answer is complete. */
void exchange_answered(exchange_t *ex);
/* The fields of answers of the edge that pages of other origins may read beside those that they always may.
 */
#define EXPOSED_FIELDS                                                                                       \
    "Retry-After, RateLimit, RateLimit-Policy, X-RateLimit-Limit, X-RateLimit-Remaining, "                   \
    "X-RateLimit-Reset, X-Request-Id"
/* The fields of every answer of the edge's own: Cache-Control, X-Request-Id, and those that let scripts of
 * other origins read it. */
void exchange_add_own_fields(exchange_t *ex, fields_t *fields);
/* Sends on with ex->reply_rest. */
void exchange_reply_more(exchange_t *ex);
/* Gives up a response that cannot be completed. */
void exchange_cut(exchange_t *ex);

#endif
