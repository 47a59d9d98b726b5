/* GET of the controller's own at one server of an upstream, reached and verified as workers do. */
#ifndef BOXEDGE_UPSTREAM_FETCH_H
#define BOXEDGE_UPSTREAM_FETCH_H

#include "address.h"
#include "balance.h"
#include "fetch.h"

#define UPSTREAM_URL_MAX 8192

/* A request and the texts that it points to: not to be copied. */
typedef struct upstream_fetch {
    fetch_request_t fetch;
    char url[UPSTREAM_URL_MAX];
    char place[ADDRESS_PORT_BYTES];
} upstream_fetch_t;

/*
 * Fills `out` for GET of `path` on a connection of its own; `timeout_ms` and `most` are the caller's to set.
 * `conf`, of which `server` is one, must outlive fetch_start. False where the path is too long.
 */
MUST_USE bool upstream_fetch_init(upstream_fetch_t *out, const conf_upstream_t *conf,
                                  const balance_server_t *server, const char *path);

#endif
