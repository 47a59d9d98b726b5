/*
 * A client in its TLS handshake: in the worker's list like any client, so that it is counted and ended with
 * the others; becomes an HTTP client by what ALPN says.
 */
#ifndef BOXEDGE_GREETING_H
#define BOXEDGE_GREETING_H

#include "client.h"

/*
 * Takes over `fd` and starts the handshake, bounded by timeouts.handshake. `accepted` is the client without a
 * connection; it is copied. False where there is no memory: `fd` is closed and nothing was counted down.
 */
MUST_USE bool greeting_new(const client_t *accepted, int fd);

/* Makes the HTTP client (`h2`: HTTP/2) from `accepted`, and drains it at once where the worker drains. */
void greeting_finish(const client_t *accepted, bool h2);

#endif
