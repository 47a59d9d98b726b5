/*
 * A request that the edge makes for another exchange, through the same steps, balancing and retries. It is a
 * separate exchange whose client is a buffer. It asks the API upstream whether a caller may see a box.
 */
#ifndef BOXEDGE_SUBREQUEST_H
#define BOXEDGE_SUBREQUEST_H

#include "exchange.h"

/* Maximum bytes of a response's body. A longer one fails; that of a status of 300 or more is left out. */
#define SUBREQUEST_BODY_MAX 65536

typedef struct subrequest subrequest_t;

/* `status` 0: the response was cut or too long. Otherwise the status, fields and body, which are in the
 * parent's arena. */
typedef void (*subrequest_done_t)(exchange_t *parent, void *arg, int status, const fields_t *fields,
                                  str_t body);

/*
 * Sends `method` `target` with `fields` (copied) for `parent`, beginning at step `first`. Calls `done` once
 * with `arg`, not within this call, and not after subrequest_cancel.
 */
subrequest_t *subrequest_start(exchange_t *parent, const exchange_step_t *first, str_t method, str_t target,
                               const fields_t *fields, subrequest_done_t done, void *arg);
/* Cancels and nulls; NULL is allowed. */
void subrequest_cancel(subrequest_t **request);

#endif
