/*
 * The controller's channels to the workers, and what it tells all of them. A worker that cannot be told now
 * (it does not read, or is being started) is told as soon as it can be; what is kept of it until then is one
 * bit for each worker.
 */
#ifndef BOXEDGE_PEERS_H
#define BOXEDGE_PEERS_H

#include "ipc.h"
#include "loop.h"

typedef struct peers peers_t;

/* `loop` outlives it. `message` gets what worker `index` says. */
peers_t *peers_new(loop_t *loop, void (*message)(void *owner, unsigned index, ipc_message_t *message),
                   void *owner);
/* Closes the channels and nulls. */
void peers_free(peers_t **peers);

/* The channel to worker `index` from now on; takes over `*fd` and sets it to -1, unless it is -1 or there is
 * no such worker. */
void peers_take(peers_t *peers, uint64_t index, int *fd);

/* Says something to one worker, or to all. What cannot be said is lost: to be used for what is said again
 * while it matters. */
void peers_tell(peers_t *peers, unsigned index, uint32_t type, uint64_t value, str_t bytes);
void peers_tell_all(peers_t *peers, uint32_t type, uint64_t value, str_t bytes);

/*
 * Has every worker end open tunnels: `which` and `below` are those of PROCESS_TUNNELS. A worker that cannot
 * be told gets "previews" later, which ends the same ones and those of other previews that were replaced or
 * deleted since. "blocks" is told to those who hear it: others see it in the store when their loop turns.
 */
void peers_end_tunnels(peers_t *peers, const char *which, uint64_t below);

#endif
