/*
 * What the edge asks the API's upstream itself, on behalf of a caller and with the caller's key.
 */
#ifndef BOXEDGE_API_ASK_H
#define BOXEDGE_API_ASK_H

#include "subrequest.h"

/* Sends `method` `target` without a body for `ex`; `done` as for subrequest_start. */
subrequest_t *api_ask(exchange_t *ex, str_t method, str_t target, subrequest_done_t done, void *arg);
/* The path of a box, by id or name: the segment is encoded. In ex->arena. */
str_t api_box_path(exchange_t *ex, str_t name);
/* Gives the caller the upstream's answer as its own; `status` 0: that was of no use (502). The slices live as
 * long as the arena. */
void api_pass_on(exchange_t *ex, int status, str_t content_type, str_t body);

#endif
