/*
 * The provider of process boxes: the configuration declares them, and the runner (runner_client.h) runs them
 * on this machine, at its loopback address. A stopped or frozen box is paused.
 */
#ifndef BOXEDGE_PROVIDER_PROCESS_H
#define BOXEDGE_PROVIDER_PROCESS_H

#include "loop.h"
#include "process_guests.h"
#include "provider.h"
#include "runner_client.h"

/* Time limit for the first listing to wait for the runner, which may have running boxes already. */
#define PROVIDER_PROCESS_FIRST_MS 1000
/* Time limit for a resume to wait for a missing runner. */
#define PROVIDER_PROCESS_PATIENCE_MS 5000

/*
 * `loop`, `handlers` and `client` must outlive it; takes a reference to `conf`. It is the only listener of
 * `client`. `may_run`: a runner from before may have running boxes; else all boxes are reported as paused at
 * the end of the turn. Calls no handler from within.
 */
provider_t *provider_process_new(loop_t *loop, const conf_t *conf, runner_client_t *client, bool may_run,
                                 const provider_handlers_t *handlers, void *owner);
/* Boxes whose process a caller of the admin socket runs itself. */
process_guests_t *provider_process_guests(provider_t *provider);

#endif
