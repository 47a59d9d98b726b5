/*
 * A listener whose exchanges are answered within this process: the admin socket and the demo app. It brings
 * what the HTTP/1 codec and exchanges ask of a context_t, without TLS, routes, origins and access log.
 */
#ifndef BOXEDGE_LOCAL_SERVER_H
#define BOXEDGE_LOCAL_SERVER_H

#include "conf.h"
#include "exchange.h"
#include "loop.h"

typedef struct local_server local_server_t;

/*
 * Serves HTTP/1 on `listen_fd` (listening, non-blocking; owned from here on) by `steps`. A connection beyond
 * `max_clients` is closed at once. `loop` and `steps` outlive it; a reference to `conf` is taken, whose
 * limits and timeouts hold. `owner` is what local_server_owner returns.
 */
local_server_t *local_server_new(loop_t *loop, const conf_t *conf, int listen_fd,
                                 const exchange_step_t *steps, uint64_t max_clients, void *owner);
/* Ends every exchange, closes every connection, frees and nulls. */
void local_server_free(local_server_t **server);

void local_server_set_conf(local_server_t *server, const conf_t *conf);
/* Takes no more connections, and asks those that are open to end. */
void local_server_drain(local_server_t *server);
uint64_t local_server_clients(const local_server_t *server);

/* The owner of the server that an exchange came in by. */
void *local_server_owner(const exchange_t *ex);

#endif
