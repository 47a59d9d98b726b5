/*
 * A client connection before HTTP: its PROXY protocol header, if the listener requires one, and its TLS
 * handshake. It is in the worker's list of clients, and so is counted and ended like the others. ALPN decides
 * which HTTP client it becomes.
 *
 * After the header the client has the header's address, for its limit, for logs and for everything else.
 */
#ifndef BOXEDGE_GREETING_H
#define BOXEDGE_GREETING_H

#include "client.h"

/*
 * Takes over `fd`. `header`: a PROXY protocol header is required; a handshake follows it only on listeners of
 * kind tls. timeouts.handshake bounds both together. `accepted` is the client without a connection; it is
 * copied.
 */
void greeting_new(const client_t *accepted, int fd, bool header);

/* Makes the HTTP client (`h2`: HTTP/2) from `accepted`. Drains it immediately if the worker is draining. */
void greeting_finish(const client_t *accepted, bool h2);

#endif
