/*
 * The calls that a step, a hook or an answer of the edge itself may make on its exchange, beside those of
 * codecs (exchange.h).
 */
#ifndef BOXEDGE_STEP_H
#define BOXEDGE_STEP_H

#include "exchange.h"

/*
 * Re-checks after a wait whether the exchange may continue (hook `still_allowed` of pipeline.h). False: it
 * was answered.
 */
MUST_USE bool exchange_still_allowed(exchange_t *ex);

/*
 * Asks the client for the request's body, for a step that judges it. True: ex->held has all of it, or
 * EXCHANGE_BODY_BYTES. False: the step must return STEP_WAIT, and runs again when the body has arrived.
 */
MUST_USE bool exchange_await_body(exchange_t *ex);
/* Hands the request to an origin. A client that waits for 100 (Continue) gets it, unless ex->origin_ops is
 * set and has no room for a body. */
void exchange_to_origin(exchange_t *ex);
/* The origin's answer passes to the client (withheld.h): its head, and bytes of its body, as far as the
 * client has room. */
void exchange_pass_head(exchange_t *ex);
void exchange_pass_body(exchange_t *ex, str_t data);
/* Gives up the origin, if any. Calls nothing back. */
void exchange_leave_origin(exchange_t *ex);
/* Sends ex->response's head as the edge's own answer, in place of the origin's. */
void exchange_answer(exchange_t *ex);
/* Completes the edge's own answer. */
void exchange_answered(exchange_t *ex);
/* The fields of the edge's answers that pages of other origins may read, beside the always-readable ones. */
#define EXPOSED_FIELDS                                                                                       \
    "Retry-After, RateLimit, RateLimit-Policy, X-RateLimit-Limit, X-RateLimit-Remaining, "                   \
    "X-RateLimit-Reset, X-Request-Id"
/* Adds the fields of every answer of the edge itself: Cache-Control, X-Request-Id, and those that let scripts
 * of other origins read it. */
void exchange_add_own_fields(exchange_t *ex, fields_t *fields);
/* Continues to send ex->reply_rest. */
void exchange_reply_more(exchange_t *ex);
/* Cuts a response that cannot be completed. */
void exchange_cut(exchange_t *ex);

#endif
