/*
 * Signing in to a preview in a browser: the page, its form, the cookie, signing out. All under the reserved
 * path, and without script.
 */
#ifndef BOXEDGE_SIGNIN_H
#define BOXEDGE_SIGNIN_H

/* Of an address below the reserved path at which there is nothing. */
#define RESERVED_NOTHING                                                                                     \
    "Addresses below /.well-known/boxedge/ belong to the edge and never reach the box; there is nothing at " \
    "this one."

#include "exchange.h"

/* Answers a request for a reserved path on a preview's host. */
void signin_answer_reserved(exchange_t *ex);
/* Answers a navigation that has no right credentials with the sign-in page (401). `problem` says what was
 * wrong with the last try; NULL: none was made. */
void signin_answer_page(exchange_t *ex, const char *problem);
/* Redirects to `path` (raw, begins with one '/') on the same host with a new session. */
void signin_answer_signed_in(exchange_t *ex, str_t path);
/* The same without a session of its own: the one that there is goes on. */
void signin_answer_redirect(exchange_t *ex, str_t path);

#endif
