/*
 * Asks the API whether boxes are still there whose deletion has ended without a word (api.settle_key): GET of
 * /v2/box/{id} at a server of the API that is up. One question at a time over all boxes, at most ten a
 * second. Each question that settles nothing doubles its box's delay; one that the API cannot or will not
 * answer doubles a pause for all. Without the key nothing is asked.
 */
#ifndef BOXEDGE_DELETION_ASKER_H
#define BOXEDGE_DELETION_ASKER_H

#include "balance.h"
#include "loop.h"

/* Boxes that wait for an answer, at most; the deletion desk names further ones again with each sweep. */
#define DELETION_ASKER_BOXES 256

typedef struct deletion_asker deletion_asker_t;

/*
 * `id` is gone, or there. That settles deletions that were closed before `heard_ms` (unix ms). `asked_at_ms`
 * is that of deletion_asker_want.
 */
typedef void deletion_asker_done_t(void *owner, str_t id, uint64_t asked_at_ms, uint64_t heard_ms, bool gone);

/* `balance` outlives it; `conf` is valid until deletion_asker_set_conf. */
deletion_asker_t *deletion_asker_new(loop_t *loop, const conf_t *conf, balance_t *balance,
                                     deletion_asker_done_t *done, void *owner);
/* Asks no more, and nulls. NULL is allowed. */
void deletion_asker_free(deletion_asker_t **asker);
/* Also reads the key's file again. What is under way is asked again with the new key, or not at all. */
void deletion_asker_set_conf(deletion_asker_t *asker, const conf_t *conf);
/* A deletion of the box, asked for at `asked_at_ms`, ended at `closed_at_ms` (unix ms) without a word.
 * Idempotent. Never calls back from within. */
void deletion_asker_want(deletion_asker_t *asker, str_t id, uint64_t asked_at_ms, uint64_t closed_at_ms);

#endif
