/*
 * The one rule for sending a request a second time (docs/http.md, "Sent again"): only once, only when the
 * connection had been used before (or another server can take the request) and died before any response byte,
 * and only when the origin cannot have acted on it or may act twice.
 */
#ifndef BOXEDGE_RESEND_H
#define BOXEDGE_RESEND_H

#include "str.h"

typedef struct resend_facts {
    str_t method;
    bool websocket;
    bool reused;         /* the connection came from the pool */
    bool elsewhere;      /* another server can take it: then the connection need not have been a used one */
    bool sent_again;     /* this was the second attempt already */
    bool response_began; /* any byte of a response came, 1xx included */
    bool wrote;          /* any byte was handed to the kernel */
    bool body_held;      /* all body bytes taken so far are still here (true without a body) */
} resend_facts_t;

bool resend_allowed(const resend_facts_t *facts);
/* GET, HEAD, OPTIONS, PUT and DELETE: repeating them changes nothing more (RFC 9110 section 9.2.2). */
bool resend_is_idempotent(str_t method);

/* A request that cannot be sent again uses a pooled connection only when it was idle for less than this, and
 * quiet. */
#define RESEND_UNSAFE_IDLE_MS 1000

#endif
