/*
 * The steps that belong to no single feature. pipeline.c has the tables.
 */
#ifndef BOXEDGE_STEPS_H
#define BOXEDGE_STEPS_H

#include "exchange.h"

/* Counts the request to its client: passes, or answers 429. */
step_result_t step_client(exchange_t *ex);
/* Whether the edge serves the name, and no block applies. Switches to the API's steps for its hosts. */
step_result_t step_host(exchange_t *ex);
/* Whether memory suffices (503), and the request comes here for the first time (508). */
step_result_t step_limit(exchange_t *ex);
/* Waits until the client and the box, or the client of the API, may have another connection to origins. */
step_result_t step_slots(exchange_t *ex);
step_result_t step_api_slots(exchange_t *ex);
/* Sends the request to the box, or to the picked server. */
step_result_t step_origin(exchange_t *ex);
step_result_t step_api_origin(exchange_t *ex);

/* Hook (pipeline.h). Always true for an exchange that is neither routed nor with the API. */
MUST_USE bool steps_still_allowed(exchange_t *ex);

/* The only steps of other listeners. */
step_result_t step_redirect(exchange_t *ex);
step_result_t step_health(exchange_t *ex);

#endif
