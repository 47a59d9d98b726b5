/*
 * The controller's part in deletions of boxes at the API (docs/design.md, "Deleted boxes"): it notes which
 * ones were asked for before the call goes up, ends or restores the previews when it is known what came of
 * it, and asks the box's provider, and the API where it has a key for that, where the end of the call did not
 * say.
 */
#ifndef BOXEDGE_DELETION_DESK_H
#define BOXEDGE_DELETION_DESK_H

#include "balance.h"
#include "boxes.h"
#include "store_thread.h"
#include "worker_links.h"

typedef struct deletion_desk deletion_desk_t;

/* All outlive it, `conf` until deletion_desk_set_conf. Free it before the store's thread ends, whose jobs may
 * still come back to it. */
deletion_desk_t *deletion_desk_new(loop_t *loop, const conf_t *conf, store_thread_t *store,
                                   worker_links_t *worker_links, boxes_t *boxes, balance_t *balance);
/* Also reads the file of api.settle_key again. */
void deletion_desk_set_conf(deletion_desk_t *desk, const conf_t *conf);
/* Nothing is asked or answered any more; jobs under way free themselves. Nulls; NULL is allowed. */
void deletion_desk_free(deletion_desk_t **desk);
/* PROCESS_DELETION of worker `index`. */
void deletion_desk_take(deletion_desk_t *desk, unsigned index, uint64_t number, str_t bytes);

#endif
