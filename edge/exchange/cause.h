/*
 * The cause of a failure as the operator reads it, in the access line (`detail`). Clients never see it, so it
 * may name addresses, errors of the system and reasons of OpenSSL, but no secret. What clients may see too is
 * ex->detail, which comes first.
 */
#ifndef BOXEDGE_CAUSE_H
#define BOXEDGE_CAUSE_H

#include "exchange.h"

/* Maximum bytes of a cause; longer text is cut. */
#define CAUSE_BYTES 256

/* Replaces the cause of an earlier attempt. */
void cause_note(exchange_t *ex, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The connection to the origin failed with this errno. */
void cause_note_connect(exchange_t *ex, int error);
/* Keeps the sentence of an answer of the edge itself with `status`, if the line has no other cause. */
void cause_of_answer(exchange_t *ex, int status, const char *sentence);
/* For the access line; NULL: it has none. */
const char *cause_text(const exchange_t *ex);

#endif
