/*
 * The controller's channels to the workers, and its messages to all of them. A worker that is unreachable (it
 * does not read, or is starting) gets the end of tunnels later; one bit per worker records the debt.
 */
#ifndef BOXEDGE_WORKER_LINKS_H
#define BOXEDGE_WORKER_LINKS_H

#include "ipc.h"
#include "loop.h"

typedef struct worker_links worker_links_t;

/* `loop` must outlive it. `message` gets the messages of worker `index`. */
worker_links_t *worker_links_new(loop_t *loop,
                                 void (*message)(void *owner, unsigned index, ipc_message_t *message),
                                 void *owner);
/* Closes the channels and nulls. */
void worker_links_free(worker_links_t **worker_links);

/* Sets the channel to worker `index`. Takes over `*fd` and sets it to -1, unless it is -1 or the worker does
 * not exist. */
void worker_links_take(worker_links_t *worker_links, uint64_t index, int *fd);

/* Sends a message to one worker, or to all. An undeliverable message is lost (false): only for messages that
 * are repeated while they matter, or whose loss the caller reports. */
bool worker_links_notify(worker_links_t *worker_links, unsigned index, uint32_t type, uint64_t value,
                         str_t bytes);
void worker_links_notify_all(worker_links_t *worker_links, uint32_t type, uint64_t value, str_t bytes);

/*
 * Makes every worker end open tunnels; `which` and `below` are those of PROCESS_TUNNELS. An unreachable
 * worker gets "previews" later, which ends the same tunnels and those of other previews replaced or deleted
 * since. "blocks" goes only to reachable workers: the others see the store when their loop turns.
 */
void worker_links_end_tunnels(worker_links_t *worker_links, const char *which, uint64_t below);

/* This controller ends: takes the messages that workers have sent already. The workers keep later ones for
 * the next controller. */
void worker_links_stop_receiving(worker_links_t *worker_links);
/* Whether all of the messages were accepted. */
bool worker_links_received(const worker_links_t *worker_links);

#endif
