/*
 * Who may see a preview: what a worker needs to judge requests (docs/access.md).
 */
#ifndef BOXEDGE_ACCESS_H
#define BOXEDGE_ACCESS_H

#include "exchange.h"
#include "lockout.h"
#include "store.h"

typedef struct access access_t;

/* `store` and `lockout` (NULL: no lockout) outlive it; `epoch` is the shared counter of changes. */
access_t *access_new(store_t *store, const _Atomic uint64_t *epoch, lockout_t *lockout);
void access_free(access_t **access);

/* Counts one more preflight of this client for this preview: true, or it was answered with 429. */
MUST_USE bool access_take_preflight(exchange_t *ex);

typedef enum access_check { ACCESS_RIGHT, ACCESS_WRONG, ACCESS_LOCKED } access_check_t;
/*
 * Judges a secret that a person typed or a URL carried: the bearer token, or "user:password". A wrong one
 * counts towards the lockout; while that is on, nothing is looked at. `retry_after` gets seconds with
 * ACCESS_LOCKED.
 */
access_check_t access_check_bearer(exchange_t *ex, str_t token, unsigned *retry_after);
access_check_t access_check_basic(exchange_t *ex, str_t user_password, unsigned *retry_after);

/* The Set-Cookie value of a new session for the exchange's preview, in its arena; empty where none can be
 * made. */
str_t access_session_cookie(exchange_t *ex);
/* Whether this reader, which passed the auth step, may read how its box failed (failure_details). */
bool access_reads_details(const exchange_t *ex);

/* The request is for the events of a wake, a reserved path that is answered only to those who pass the step.
 */
bool access_asks_for_events(const exchange_t *ex);

/* The step: passes, or answers 401, 403 or 429, or the sign-in pages. */
step_result_t step_access(exchange_t *ex);

/* Hooks (pipeline.h). Of the answer to a preflight without credentials only the head comes back. */
MUST_USE bool access_judge_head(exchange_t *ex);
/* The session that this exchange opened goes to the client. */
void access_response_head(exchange_t *ex);

#endif
