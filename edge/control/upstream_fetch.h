/* GET by the controller at one server of an upstream, connected and verified as by workers. */
#ifndef BOXEDGE_UPSTREAM_FETCH_H
#define BOXEDGE_UPSTREAM_FETCH_H

#include "address.h"
#include "balance.h"
#include "fetch.h"

#define UPSTREAM_URL_MAX 8192

/* A request and the texts that it points to. Do not copy it. */
typedef struct upstream_fetch {
    fetch_request_t fetch;
    char url[UPSTREAM_URL_MAX];
    char place[ADDRESS_PORT_BYTES];
} upstream_fetch_t;

/*
 * Fills `out` for GET of `path` on a separate connection; the caller sets `timeout_ms` and `most`. `server`
 * is one of `conf`, which must outlive fetch_start. False if the path is too long.
 */
MUST_USE bool upstream_fetch_init(upstream_fetch_t *out, const conf_upstream_t *conf,
                                  const balance_server_t *server, const char *path);

#endif
