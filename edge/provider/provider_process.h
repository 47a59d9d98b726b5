/*
 * The provider of process boxes: those that the configuration declares, run by the runner (runner_client.h)
 * on this machine, at its loopback address. A box that the runner stopped or froze is paused.
 */
#ifndef BOXEDGE_PROVIDER_PROCESS_H
#define BOXEDGE_PROVIDER_PROCESS_H

#include "loop.h"
#include "provider.h"
#include "runner_client.h"

/* How long the first listing waits for the runner, which may have boxes that run since before. */
#define PROVIDER_PROCESS_FIRST_MS 1000
/* How long a resume waits for a runner, while there is none. */
#define PROVIDER_PROCESS_PATIENCE_MS 5000

/*
 * `loop` and `handlers` outlive it; a reference to `conf` is taken. It is the one who listens to `link`,
 * which outlives it. `may_run`: there is a runner since before, so that boxes may be running; else all are
 * told as paused at the end of the turn. Calls no handler from within.
 */
provider_t *provider_process_new(loop_t *loop, const conf_t *conf, runner_client_t *link, bool may_run,
                                 const provider_handlers_t *handlers, void *owner);

#endif
