/*
 * The judgement of the credentials that a request shows for a protected preview. It looks at values only: the
 * access step gathers them and carries the verdict out (docs/access.md).
 */
#ifndef BOXEDGE_VERDICT_H
#define BOXEDGE_VERDICT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "browser.h"
#include "lockout.h"
#include "str.h"

/* The SHA-256 of the secrets of a preview; NULL: the preview does not take that form. */
typedef struct verdict_secrets {
    const uint8_t *bearer;
    const uint8_t *basic;
} verdict_secrets_t;

/* The credentials of a request, before any comparison. Empty: not shown, or not taken by the preview. */
typedef struct verdict_shown {
    str_t authorization; /* the bearer token or "user:password" of Authorization */
    bool basic;          /* `authorization` is "user:password" */
    str_t token;         /* X-Preview-Token */
    str_t query;         /* ?preview_token= of a navigation over TLS */
} verdict_shown_t;

/*
 * The client and the preview whose failures count together (lockout.h). Pages of other origins can make a
 * visitor's browser show wrong secrets. Such failures (`embedded`) count apart: they do not lock the visitor
 * out, and guesses that pretend to be embedded count as well.
 */
typedef struct verdict_guard {
    lockout_t *lockout;         /* NULL: none */
    _Atomic uint64_t *lockouts; /* counts those that begin; NULL: they are not counted */
    const struct in6_addr *client;
    uint64_t preview; /* its version, below 2^63 */
    bool embedded;
    uint64_t now_ms;
} verdict_guard_t;

typedef enum secret_check { SECRET_RIGHT, SECRET_WRONG, SECRET_LOCKED } secret_check_t;

/*
 * Compares a secret with its hash (NULL: nothing matches). A wrong secret counts towards the lockout. During
 * a lockout no secret is compared: SECRET_LOCKED, and `retry_after` gets the seconds to wait.
 */
MUST_USE secret_check_t secret_check(const verdict_guard_t *guard, str_t secret, const uint8_t *sha256,
                                     unsigned *retry_after);

typedef enum verdict_kind {
    VERDICT_PASS,
    VERDICT_SIGN_IN, /* the query's token is right: begin a session, and redirect to the address without it */
    VERDICT_DROP_TOKEN, /* the session counts, the query's token is wrong: redirect to the address without it
                         */
    VERDICT_CROSS_SITE, /* the session alone does not suffice for a request of this origin */
    VERDICT_MISSING,    /* no credentials were shown */
    VERDICT_WRONG,
    VERDICT_LOCKED, /* for `retry_after` seconds */
} verdict_kind_t;

typedef struct verdict {
    verdict_kind_t kind;
    bool own_authorization; /* Authorization matches the preview: the box must not see it */
    bool by_secret;         /* VERDICT_PASS by a token or a password */
    unsigned retry_after;
} verdict_t;

/* With a valid session. Other credentials belong to the app, unless they match as well. `own` and `allowed`
 * as in browser_cookie_suffices. */
verdict_t verdict_of_session(const verdict_shown_t *shown, const verdict_secrets_t *secrets,
                             const browser_request_t *browser, str_t own, str_t allowed);
/* Without a session: a secret must match. The most deliberate form comes first. */
verdict_t verdict_of_secrets(const verdict_shown_t *shown, const verdict_secrets_t *secrets,
                             const verdict_guard_t *guard);

#endif
