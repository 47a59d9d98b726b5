/*
 * The controller's care of upstreams: resolves their servers' names (c-ares, again on their TTL, the last
 * good answer kept when that fails), asks each server whether it is well, and says all that in the shared
 * balance.
 */
#ifndef BOXEDGE_UPSTREAMS_H
#define BOXEDGE_UPSTREAMS_H

#include "balance.h"
#include "loop.h"

typedef struct upstreams upstreams_t;

/* `balance` outlives it. Takes a reference of `conf`. */
upstreams_t *upstreams_new(loop_t *loop, const conf_t *conf, balance_t *balance);
void upstreams_free(upstreams_t **upstreams);
/* What is in both configurations goes on as it was. */
void upstreams_set_conf(upstreams_t *upstreams, const conf_t *conf);

#endif
