/*
 * The controller: the only process that writes the store. It records the providers' reports of boxes, and
 * serves the admin API. process.h declares controller_run.
 */
#ifndef BOXEDGE_CONTROLLER_H
#define BOXEDGE_CONTROLLER_H

#include "conf.h"
#include "loop.h"
#include "store.h"
#include "wall_clock.h"

/*
 * Makes the store's static boxes those of `conf` (always running, at a fixed address), and removes others;
 * leaves boxes of other providers alone. A new box, or one whose address changed, gets a generation above all
 * others, at least `now_us` (wall clock): pooled connections are kept by generation, so that a number must
 * never come back. Sets *changed after any write. Stops at the first error.
 */
MUST_USE store_result_t controller_put_boxes(store_t *store, const conf_t *conf, uint64_t now_us,
                                             bool *changed);

/*
 * Makes the previews that `conf` declares and the store lacks, with secrets in files below state_dir
 * (process_previews_dir). Never changes or deletes one. Sets *changed after any write; logs failures.
 */
void controller_make_previews(store_t *store, const conf_t *conf, uint64_t now_unix, bool *changed);

/*
 * Makes the first key of session cookies, or a new one if the current key was a day old, or of the future,
 * for all of `span` (controller_maintenance.c). Sets *rotated after making one, and *lost if it replaces
 * damaged ones.
 */
MUST_USE store_result_t controller_rotate_cookie_keys(store_t *store, uint64_t now_unix, wall_span_t span,
                                                      bool *rotated, bool *lost);
/* The same with messages; returns whether it made one. */
bool controller_refresh_cookie_keys(store_t *store, uint64_t now_unix, wall_span_t span);
/* Notes the time, with a message if the wall clock has jumped. */
void controller_look_at_clock(wall_clock_t *clock, const loop_t *loop);
/* A walk over all previews in pieces; zero-filled it begins. */
typedef struct controller_sweep {
    char id[BOX_ID_MAX + 1]; /* the next piece begins here; empty: at the start */
    uint16_t port;
    bool done; /* the walk is complete */
} controller_sweep_t;
/* Maximum previews in one call of controller_sweep. */
#define CONTROLLER_SWEEP_MAX 1024
/* Continues a walk that is not done, and deletes the previews that were expired at `until` (unix seconds),
 * the earliest time of the last hour. Readers treat an expired one as gone immediately. Sets *deleted after
 * any deletion. */
MUST_USE store_result_t controller_sweep(store_t *store, uint64_t until, controller_sweep_t *sweep,
                                         bool *deleted);

#endif
