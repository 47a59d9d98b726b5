/*
 * The controller's care of upstreams. It resolves their servers' names (c-ares, again on their TTL; a failure
 * keeps the last good answer), checks the health of each server, and writes the results to the shared
 * balance.
 */
#ifndef BOXEDGE_UPSTREAMS_H
#define BOXEDGE_UPSTREAMS_H

#include "balance.h"
#include "loop.h"
#include "resolver.h"

typedef struct upstreams upstreams_t;

/* `balance` must outlive it. Takes a reference to `conf`. */
upstreams_t *upstreams_new(loop_t *loop, const conf_t *conf, balance_t *balance);
void upstreams_free(upstreams_t **upstreams);
/* Servers in both configurations keep their state. */
void upstreams_set_conf(upstreams_t *upstreams, const conf_t *conf);
/* How the names of servers resolve. */
resolver_figures_t upstreams_names(const upstreams_t *upstreams);
/*
 * Whether `server`, as of balance_look, has the address and the port that this process itself has for it:
 * from the configuration, or by resolving its name. Other processes can write the balance. A secret may go to
 * such a server only.
 */
MUST_USE bool upstreams_have(const upstreams_t *upstreams, unsigned upstream, const balance_server_t *server);

#endif
