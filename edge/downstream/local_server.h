/*
 * A listener whose exchanges are answered within this process: the admin socket, listeners of kind metrics
 * and the demo app. It provides the context_t for the HTTP/1 codec and exchanges, without routes, origins and
 * access log.
 */
#ifndef BOXEDGE_LOCAL_SERVER_H
#define BOXEDGE_LOCAL_SERVER_H

#include "conf.h"
#include "counters.h"
#include "exchange.h"
#include "loop.h"

typedef struct local_server local_server_t;

/* Connections above max_requests, so that a request beside max_requests others can get the reason. */
#define LOCAL_SERVER_SPARE 16

typedef struct local_server_spec {
    const exchange_step_t *steps; /* must outlive the server */
    uint64_t max_requests;        /* at a time; local_server_is_busy tells a step of more */
    /*
     * All connections are in use, at the first of them that has no place, and again after at least half of
     * them were free: `idle` if one without a request was closed for it. May be NULL.
     */
    void (*crowded)(void *owner, bool idle);
    void *owner;     /* also that of local_server_owner */
    struct tls *tls; /* taken over (tls_offer_http1); NULL: no TLS */
} local_server_spec_t;

/*
 * Serves HTTP/1 on `listen_fd` (listening, non-blocking; taken over). At the bound of connections,
 * max_requests and LOCAL_SERVER_SPARE, the one without a request for longest closes for a new one, or else
 * the oldest in its TLS handshake. If all have a request, the new one is closed. `loop` must outlive it.
 * Takes a reference to `conf` and applies its limits and timeouts.
 */
local_server_t *local_server_new(loop_t *loop, const conf_t *conf, int listen_fd,
                                 const local_server_spec_t *spec);
/* Ends all exchanges, closes all connections, frees and nulls. */
void local_server_free(local_server_t **server);

void local_server_set_conf(local_server_t *server, const conf_t *conf);
/* New connections of a server with TLS use `tls`, which is taken over. */
void local_server_set_tls(local_server_t *server, struct tls *tls);
/* Stops accepting and drains the open connections. */
void local_server_drain(local_server_t *server);
uint64_t local_server_clients(const local_server_t *server);
/* connections_given_up_total and connections_refused_total are those of the bound, shed_total the requests
 * that local_server_is_busy refused. */
const counters_t *local_server_counters(const local_server_t *server);

/* The exchange's server, and its owner. */
const local_server_t *local_server_of(const exchange_t *ex);
void *local_server_owner(const exchange_t *ex);
/* For a step: more than max_requests are open, so that it refuses this one. Counts the refusal. */
MUST_USE bool local_server_is_busy(const exchange_t *ex);

#endif
