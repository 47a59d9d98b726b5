/*
 * A listener whose exchanges are answered within this process: the admin socket and the demo app. It provides
 * the context_t for the HTTP/1 codec and exchanges, without TLS, routes, origins and access log.
 */
#ifndef BOXEDGE_LOCAL_SERVER_H
#define BOXEDGE_LOCAL_SERVER_H

#include "conf.h"
#include "exchange.h"
#include "loop.h"

typedef struct local_server local_server_t;

/*
 * Serves HTTP/1 on `listen_fd` (listening, non-blocking; taken over) with `steps`. Closes connections beyond
 * `max_clients` at once. `loop` and `steps` must outlive it. Takes a reference to `conf` and applies its
 * limits and timeouts. local_server_owner returns `owner`.
 */
local_server_t *local_server_new(loop_t *loop, const conf_t *conf, int listen_fd,
                                 const exchange_step_t *steps, uint64_t max_clients, void *owner);
/* Ends all exchanges, closes all connections, frees and nulls. */
void local_server_free(local_server_t **server);

void local_server_set_conf(local_server_t *server, const conf_t *conf);
/* Stops accepting and drains the open connections. */
void local_server_drain(local_server_t *server);
uint64_t local_server_clients(const local_server_t *server);

/* The owner of the exchange's server. */
void *local_server_owner(const exchange_t *ex);

#endif
