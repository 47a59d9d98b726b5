/*
 * Asks the API whether boxes still exist after a deletion of unknown outcome (api.settle_key): GET of
 * /v2/box/{id} at a server of the API that is up. It asks one question at a time over all boxes, at most ten
 * a second. An answer that settles nothing doubles the delay of its box; an API that fails or refuses doubles
 * a pause for all boxes. Without the key it asks nothing.
 */
#ifndef BOXEDGE_DELETION_POLLER_H
#define BOXEDGE_DELETION_POLLER_H

#include "balance.h"
#include "loop.h"
#include "upstreams.h"

/* Maximum number of boxes that wait for an answer; each sweep of the deletion service names the others again.
 */
#define DELETION_POLLER_BOXES 256

typedef struct deletion_poller deletion_poller_t;

/*
 * `id` is gone, or exists. This settles deletions that were closed before `reported_ms` (unix ms).
 * `requested_at_ms` is the argument of deletion_poller_add.
 */
typedef void deletion_poller_done_t(void *owner, str_t id, uint64_t requested_at_ms, uint64_t reported_ms,
                                    bool gone);

/* `balance` and `upstreams` must outlive it; `conf` must be valid until deletion_poller_set_conf. */
deletion_poller_t *deletion_poller_new(loop_t *loop, const conf_t *conf, balance_t *balance,
                                       const upstreams_t *upstreams, deletion_poller_done_t *done,
                                       void *owner);
/* Cancels the question under way and nulls. NULL is allowed. */
void deletion_poller_free(deletion_poller_t **poller);
/* Also rereads the key's file. Drops all boxes; the next sweeps name them again. */
void deletion_poller_set_conf(deletion_poller_t *poller, const conf_t *conf);
/* Reports a deletion, requested at `requested_at_ms`, that ended at `closed_at_ms` (unix ms) without an
 * outcome. Idempotent. Never calls back from within. */
void deletion_poller_add(deletion_poller_t *poller, str_t id, uint64_t requested_at_ms,
                         uint64_t closed_at_ms);

#endif
