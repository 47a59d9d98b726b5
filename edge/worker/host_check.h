/*
 * Apps that refuse a host which they do not know (docs/http.md, "auto"). A person's navigation whose answer
 * has the signature of such a refusal (host_signature.h) is sent again with the next mode, if the preview is
 * private and lets the edge try. The mode that works is noted for all workers (host_modes.h). Where none
 * works, and on a public preview, the edge answers with the server's words and the remedy.
 */
#ifndef BOXEDGE_HOST_CHECK_H
#define BOXEDGE_HOST_CHECK_H

#include "exchange.h"

/* Hooks (pipeline.h). */
MUST_USE bool host_check_judge_head(exchange_t *ex);
/* False: the live channel of the app refused its handshake, which goes out again. */
MUST_USE bool host_check_origin_left(exchange_t *ex, const origin_failure_t *failure);

#endif
