/*
 * The controller: the only process that writes the store. It records what the provider says of boxes, and
 * serves the admin API. controller_run is declared in process.h.
 */
#ifndef BOXEDGE_CONTROLLER_H
#define BOXEDGE_CONTROLLER_H

#include "conf.h"
#include "store.h"

/*
 * Makes the store's boxes those of `conf` (the static provider: always running, at a fixed address). A box
 * whose address changed, or that is new, gets a generation above all others, at least `now_us` (wall clock):
 * pooled connections are kept by generation, so that a number may never come back. Static boxes that
 * `conf` lacks are removed; boxes of other providers are not looked at. *changed is set where anything was
 * written. Stops at the first error.
 */
MUST_USE store_result_t controller_put_boxes(store_t *store, const conf_t *conf, uint64_t now_us,
                                             bool *changed);

/*
 * By the clock (controller_maintenance.c). Makes the first key of session cookies, or a new one where the
 * current is a day old (or of the future). *rotated is set where one was made.
 */
MUST_USE store_result_t controller_rotate_cookie_keys(store_t *store, uint64_t now_unix, bool *rotated);
/* A walk over all previews in pieces; zero-filled it begins. */
typedef struct controller_sweep {
    char id[BOX_ID_MAX + 1]; /* where it goes on; empty: at the start */
    uint16_t port;
    bool done; /* it has been everywhere */
} controller_sweep_t;
/* Previews that one call of controller_sweep looks at. */
#define CONTROLLER_SWEEP_MAX 1024
/* Goes on with a walk that is not done, and deletes what it finds expired: readers take it for gone already.
 * *deleted is set where anything was. */
MUST_USE store_result_t controller_sweep(store_t *store, uint64_t now_unix, controller_sweep_t *sweep,
                                         bool *deleted);

#endif
