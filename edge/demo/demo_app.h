/*
 * The demo app: a small web app that shows each path through the edge (a page, headers, a live stream, a
 * WebSocket, an upload). It runs as a separate process behind a preview, like any app in a box.
 *
 *   /             a page that shows the request as it came, and tries everything below
 *   /headers      the request as JSON
 *   /events       server-sent events: the time, once a second
 *   /echo         a WebSocket that sends every message back
 *   /upload       POST: counts and hashes the body as it comes, answers JSON
 *   /bytes?n=N    N bytes; with &chunked of unknown length
 *   /status/CODE  an answer with that status, 200-599
 *   /slow?ms=N    answers after N milliseconds, at most 60000
 */
#ifndef BOXEDGE_DEMO_APP_H
#define BOXEDGE_DEMO_APP_H

#include "local_server.h"

/* Maximum concurrent connections. */
#define DEMO_CLIENTS_MAX 4096

/* The steps of the demo app's exchanges. */
extern const exchange_step_t demo_app_steps[];

#endif
