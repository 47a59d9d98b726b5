/*
 * Maps a host name to its preview and box, read from the store. Results are cached by host name and
 * discarded when the store's epoch changes, so the next request on every worker sees a change.
 */
#ifndef BOXEDGE_ROUTES_H
#define BOXEDGE_ROUTES_H

#include <sys/socket.h>

#include "shared_preview.h"
#include "store.h"
#include "str.h"

typedef struct routes routes_t;

typedef enum routes_result {
    ROUTES_FOUND,      /* a preview; route->box.state tells whether its box is known and running */
    ROUTES_NO_PREVIEW, /* under the preview domain, but no preview (also if malformed): 404 */
    ROUTES_FOREIGN,    /* not a host of this edge: 421 */
    ROUTES_DAMAGED,    /* a record of the preview or its box cannot be read (store_bad_record): 503 */
    ROUTES_FAILED,     /* the store cannot be read: 503 */
} routes_result_t;

typedef struct route {
    const store_preview_t *preview; /* for longer than the route: preview_hold */
    store_box_t box;
    uint64_t epoch; /* at or before their reading */
} route_t;

/* `store` must outlive the result; `domain` is the preview domain; `epoch` is the shared counter of
 * changes. */
routes_t *routes_new(store_t *store, str_t domain, const _Atomic uint64_t *epoch);
void routes_free(routes_t **routes);
/* A preview that has expired by `now_unix` is not found. `authority` is the client's text (any
 * case, port, trailing dot). *route is valid until the next call. */
MUST_USE routes_result_t routes_find(routes_t *routes, str_t authority, uint64_t now_unix,
                                     const route_t **route);
/* Whether a found preview is served: its box is neither gone nor expired, or a control plane may know it
 * (`asks_control_plane`: one exists). Without it, requests get the answer of ROUTES_NO_PREVIEW. */
bool routes_box_exists(const store_box_t *box, bool asks_control_plane, uint64_t now_unix);
/* The sentence of the last ROUTES_DAMAGED or ROUTES_FAILED (store_error). */
const char *routes_error(const routes_t *routes);

#endif
