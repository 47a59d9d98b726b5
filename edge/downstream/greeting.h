/*
 * A client before HTTP: in its PROXY protocol header, where the listener asks for one, and in its TLS
 * handshake. It is in the worker's list like any client, so that it is counted and ended with the others;
 * becomes an HTTP client by what ALPN says.
 *
 * From the header on, the client has the address that the header gave: for its limit, for logs, for
 * everything.
 */
#ifndef BOXEDGE_GREETING_H
#define BOXEDGE_GREETING_H

#include "client.h"

/*
 * Takes over `fd`. `header`: a PROXY protocol header comes first; the kinds other than tls have no handshake
 * after it. All of it together is bounded by timeouts.handshake. `accepted` is the client without a
 * connection; it is copied.
 */
void greeting_new(const client_t *accepted, int fd, bool header);

/* Makes the HTTP client (`h2`: HTTP/2) from `accepted`, and drains it at once where the worker drains. */
void greeting_finish(const client_t *accepted, bool h2);

#endif
