/*
 * A request that the edge makes itself on behalf of another exchange, through the same steps, balancing and
 * retries: an exchange of its own whose client is a buffer. Used to ask the API upstream whether a caller may
 * see a box.
 */
#ifndef BOXEDGE_SUBREQUEST_H
#define BOXEDGE_SUBREQUEST_H

#include "exchange.h"

/* Of a response's body, at most; a longer one fails. */
#define SUBREQUEST_BODY_MAX 65536

typedef struct subrequest subrequest_t;

/* `status` 0: it failed on the way (the response was cut or too long); else the status, fields and body,
 * which live until this returns. */
typedef void (*subrequest_done_t)(exchange_t *parent, void *arg, int status, const fields_t *fields,
                                  str_t body);

/*
 * Sends `method` `target` with `fields` (copied) for `parent`, beginning at step `first`. `done` is called
 * once with `arg`, not from within this call, and not after subrequest_cancel.
 */
subrequest_t *subrequest_start(exchange_t *parent, const exchange_step_t *first, str_t method, str_t target,
                               const fields_t *fields, subrequest_done_t done, void *arg);
/* Nulls; NULL is allowed. */
void subrequest_cancel(subrequest_t **request);

#endif
