/*
 * The one rule for sending a request again (docs/http.md, "Sent again"). It is sent again only
 * once, and only if the connection died before any response byte. The connection must have been
 * used before, unless another server can take the request. The origin must also have been unable to
 * act on the request, or be free to act twice.
 */
#ifndef BOXEDGE_RESEND_H
#define BOXEDGE_RESEND_H

#include "str.h"

typedef struct resend_facts {
    str_t method;
    bool websocket;
    bool reused;     /* the connection came from the pool */
    bool elsewhere;  /* another server can take the request, so the connection need not have been a reused one
                      */
    bool sent_again; /* this was already the second attempt */
    bool response_began; /* any byte of a response arrived, 1xx included */
    bool wrote;          /* any byte was passed to the kernel */
    bool body_held;      /* all body bytes taken so far are still in memory (true without a body) */
} resend_facts_t;

bool resend_allowed(const resend_facts_t *facts);
/* GET, HEAD, OPTIONS, PUT and DELETE: a repetition changes nothing more (RFC 9110 section 9.2.2). */
bool resend_is_idempotent(str_t method);

/* A request that cannot be sent again uses a pooled connection only if it was idle for less than
 * this, and has neither input nor an end. */
#define RESEND_UNSAFE_IDLE_MS 1000

#endif
