/*
 * A command that serves HTTP/1 in the foreground until SIGTERM or Ctrl-C: the first drains, the second ends
 * immediately.
 */
#ifndef BOXEDGE_SERVE_H
#define BOXEDGE_SERVE_H

#include "local_server.h"

typedef struct serve {
    const char *command; /* its name, for messages */
    struct in6_addr address;
    uint16_t port; /* 0: a free one */
    const exchange_step_t *steps;
    uint64_t requests_max;                   /* local_server_spec_t.max_requests */
    void (*crowded)(void *owner, bool idle); /* local_server_spec_t.crowded; may be NULL */
    /* Called once it listens, at a URL such as "http://127.0.0.1:3000/". `server` is valid until `ended`. */
    void (*begun)(void *owner, loop_t *loop, const local_server_t *server, const char *url);
    /* Called after the last exchange has ended, before the loop is freed. May be NULL. */
    void (*ended)(void *owner);
    void *owner; /* also that of local_server_owner */
} serve_t;

/* Returns after the end; false after an error on stderr if it cannot listen. */
MUST_USE bool serve(const serve_t *spec);

#endif
