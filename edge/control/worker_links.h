/*
 * The controller's channels to the workers, and what it tells all of them. A worker that cannot be told now
 * (it does not read, or is being started) is told as soon as it can be; what is kept of it until then is one
 * bit for each worker.
 */
#ifndef BOXEDGE_WORKER_LINKS_H
#define BOXEDGE_WORKER_LINKS_H

#include "ipc.h"
#include "loop.h"

typedef struct worker_links worker_links_t;

/* `loop` outlives it. `message` gets what worker `index` says. */
worker_links_t *worker_links_new(loop_t *loop,
                                 void (*message)(void *owner, unsigned index, ipc_message_t *message),
                                 void *owner);
/* Closes the channels and nulls. */
void worker_links_free(worker_links_t **worker_links);

/* The channel to worker `index` from now on; takes over `*fd` and sets it to -1, unless it is -1 or there is
 * no such worker. */
void worker_links_take(worker_links_t *worker_links, uint64_t index, int *fd);

/* Says something to one worker, or to all. What cannot be said is lost: to be used for what is said again
 * while it matters. */
void worker_links_tell(worker_links_t *worker_links, unsigned index, uint32_t type, uint64_t value,
                       str_t bytes);
void worker_links_tell_all(worker_links_t *worker_links, uint32_t type, uint64_t value, str_t bytes);

/*
 * Has every worker end open tunnels: `which` and `below` are those of PROCESS_TUNNELS. A worker that cannot
 * be told gets "previews" later, which ends the same ones and those of other previews that were replaced or
 * deleted since. "blocks" is told to those who hear it: others see it in the store when their loop turns.
 */
void worker_links_end_tunnels(worker_links_t *worker_links, const char *which, uint64_t below);

#endif
