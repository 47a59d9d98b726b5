/*
 * The steps that belong to no single feature. The tables of pipeline.c name them.
 */
#ifndef BOXEDGE_STEPS_H
#define BOXEDGE_STEPS_H

#include "exchange.h"

/* Counts the request to its client: passes, or answers 429. */
step_result_t step_client(exchange_t *ex);
/* Whether the name is one of this edge's, and nothing is blocked; goes over to the API's steps for its hosts.
 */
step_result_t step_host(exchange_t *ex);
/* Whether there is memory for it, and whether it has been here before. */
step_result_t step_limit(exchange_t *ex);
/* Waits until the client and the box, or the client of the API, may have one more connection to origins. */
step_result_t step_slots(exchange_t *ex);
step_result_t step_api_slots(exchange_t *ex);
/* Sends the request to the box, or to the server that was picked. */
step_result_t step_origin(exchange_t *ex);
step_result_t step_api_origin(exchange_t *ex);

/* Hook (pipeline.h). An exchange that is neither routed nor with the API always is. */
MUST_USE bool steps_still_allowed(exchange_t *ex);

/* The only step of other listeners. */
step_result_t step_redirect(exchange_t *ex);
step_result_t step_health(exchange_t *ex);

#endif
