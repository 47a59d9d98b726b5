/*
 * `boxedge status --open`: serves the status page and its figures to a browser on 127.0.0.1, and passes them
 * on from the admin socket. Its link works once; the session that it begins is a cookie. Only GET for a fixed
 * list of addresses reaches the admin socket, so that no request of a browser changes anything.
 */
#ifndef BOXEDGE_STATUS_LINK_H
#define BOXEDGE_STATUS_LINK_H

#include "str.h"

/* `idle_ms` of the command. */
#define STATUS_LINK_IDLE_MS (15 * 60000)

/* Prints the link to a page about the edge at the admin socket, and returns after Ctrl-C or `idle_ms` without
 * a request of the page; false after an error on stderr if it cannot listen. `command`: its name, for
 * messages.
 */
MUST_USE bool status_link_serve(const char *command, const char *socket, uint32_t idle_ms);

#endif
