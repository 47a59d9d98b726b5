/*
 * From a host name to what serves it: the preview and its box, read from the store. Answers are cached by
 * host name and thrown away when the store's epoch changes, so that a change is seen by the next request on
 * every worker.
 */
#ifndef BOXEDGE_ROUTES_H
#define BOXEDGE_ROUTES_H

#include <sys/socket.h>

#include "store.h"
#include "str.h"

typedef struct routes routes_t;

typedef enum routes_result {
    ROUTES_FOUND,      /* a preview; route->box.state says whether its box is known and running */
    ROUTES_NO_PREVIEW, /* under the preview domain, and nothing there (also where the name is malformed): 404
                        */
    ROUTES_FOREIGN,    /* a host that is none of ours: 421 */
    ROUTES_FAILED,     /* the store cannot be read: 503 */
} routes_result_t;

typedef struct route {
    store_preview_t preview;
    store_box_t box;
    uint64_t epoch; /* when they were read, or before */
} route_t;

/* `store` outlives it; `domain` is the preview domain; `epoch` is the shared counter of changes. */
routes_t *routes_new(store_t *store, str_t domain, const _Atomic uint64_t *epoch);
void routes_free(routes_t **routes);
/* A preview that has expired by `now_unix` is none. `authority` as it came (any case, port, trailing dot).
 * *route is valid until the next call. */
MUST_USE routes_result_t routes_find(routes_t *routes, str_t authority, uint64_t now_unix,
                                     const route_t **route);

#endif
