/*
 * Access to previews: a worker judges the credentials that requests show (docs/access.md).
 */
#ifndef BOXEDGE_ACCESS_H
#define BOXEDGE_ACCESS_H

#include "exchange.h"
#include "links.h"
#include "lockout.h"
#include "session.h"
#include "store.h"
#include "verdict.h"

typedef struct access access_t;

/* `store` and `lockout` outlive the result. `lockout` NULL: no lockout. `epoch` is the store's epoch. */
access_t *access_new(store_t *store, const _Atomic uint64_t *epoch, lockout_t *lockout);
void access_free(access_t **access);

/* Counts a preflight of this client for this preview. False: over the rate, and answered with 429. */
MUST_USE bool access_take_preflight(exchange_t *ex);

/* secret_check (verdict.h) of a secret for the exchange's preview: the bearer token, or "user:password". */
MUST_USE secret_check_t access_check_bearer(const exchange_t *ex, str_t token, unsigned *retry_after);
MUST_USE secret_check_t access_check_link(const exchange_t *ex, str_t secret, const uint8_t *sha256,
                                          unsigned *retry_after);
MUST_USE secret_check_t access_check_basic(const exchange_t *ex, str_t user_password, unsigned *retry_after);

/* The Set-Cookie value of a new session for the exchange's preview, in ex->arena. Empty if the store yields
 * no cookie keys. */
str_t access_session_cookie(exchange_t *ex);
/* The same for a session of a link. It ends with its link, and after SESSION_SECONDS. */
str_t access_link_cookie(exchange_t *ex, session_link_t *session);
/* Whether the request has a session of the preview's own credentials; of a link (fills *use). */
MUST_USE bool access_own_session(exchange_t *ex);
MUST_USE bool access_link_session(exchange_t *ex, link_use_t *use);
/* Whether this client, which passed the access step, may read how its box failed (failure_details). */
bool access_reads_details(const exchange_t *ex);

/* Whether the request is for the events of a wake: the one reserved path that needs access to the preview. */
bool access_is_events_request(const exchange_t *ex);

/* The step: passes, or answers 401, 403 or 429, or serves the sign-in pages and their redirects. */
step_result_t step_access(exchange_t *ex);

/* Hooks (pipeline.h). A preflight that passed without credentials gets only the head of the box's answer. */
MUST_USE bool access_judge_head(exchange_t *ex);
/* Adds the cookie of the session that this exchange opened. */
void access_response_head(exchange_t *ex);

#endif
