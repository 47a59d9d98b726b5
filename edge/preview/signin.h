/*
 * Browser sign-in to a preview: the page, its form, the cookie, sign-out. All paths are below the reserved
 * path.
 */
#ifndef BOXEDGE_SIGNIN_H
#define BOXEDGE_SIGNIN_H

/* The message for an unknown address below the reserved path. */
#define RESERVED_NOTHING                                                                                     \
    "Addresses below /.well-known/boxedge/ belong to the edge and never reach the box; there is nothing at " \
    "this one."

#include "exchange.h"

/* Answers a request for a reserved path on a preview's host. */
void signin_answer_reserved(exchange_t *ex);
/* Answers a navigation without valid credentials with the sign-in page (401). `problem` explains why the last
 * attempt failed; NULL: no attempt. */
void signin_answer_page(exchange_t *ex, const char *problem);
/* Opens a session and redirects to `path` (raw) on the same host; an unsafe path becomes "/". */
void signin_answer_signed_in(exchange_t *ex, str_t path);
/* Redirects to `path` (raw) on the same host, with a Set-Cookie if it is not empty. */
void signin_redirect(exchange_t *ex, str_t path, str_t set_cookie);
/* Whether the edge takes a form of this request: its page is of this preview. False: answered. */
MUST_USE bool signin_takes_form(exchange_t *ex);
/* Answers a method that these paths do not take. */
void signin_answer_method(exchange_t *ex);
/* The same without a new session: the current one stays. */
void signin_answer_redirect(exchange_t *ex, str_t path);

#endif
