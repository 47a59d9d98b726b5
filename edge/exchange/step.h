/*
 * What a step, a hook or an answer of the edge's own may do with its exchange, beside what codecs may
 * (exchange.h).
 */
#ifndef BOXEDGE_STEP_H
#define BOXEDGE_STEP_H

#include "exchange.h"

/*
 * Something took time since the exchange was let in: looks again whether it still may go on (the hook
 * `still_allowed` of pipeline.h). Answers it and returns false where not.
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
