/*
 * The controller's part in deletions of boxes at the API (docs/internals/store.md, "Deleted boxes"). It
 * records each deletion before the call is forwarded, and deletes or restores the previews when the outcome
 * is known. After a call without an outcome it asks the box's provider, and also the API if api.settle_key is
 * set.
 */
#ifndef BOXEDGE_DELETION_SERVICE_H
#define BOXEDGE_DELETION_SERVICE_H

#include "balance.h"
#include "boxes.h"
#include "store_thread.h"
#include "upstreams.h"
#include "worker_links.h"

typedef struct deletion_service deletion_service_t;

/* All must outlive it, `conf` until deletion_service_set_conf. Free it before the store's thread ends, whose
 * jobs refer to it. */
deletion_service_t *deletion_service_new(loop_t *loop, const conf_t *conf, store_thread_t *store,
                                         worker_links_t *worker_links, boxes_t *boxes, balance_t *balance,
                                         const upstreams_t *upstreams);
/* Also rereads the file of api.settle_key. */
void deletion_service_set_conf(deletion_service_t *service, const conf_t *conf);
/* Ends all questions and answers; pending jobs free themselves. Nulls. NULL is allowed. */
void deletion_service_free(deletion_service_t **service);
/* Takes PROCESS_DELETION of worker `index`. */
void deletion_service_take(deletion_service_t *service, unsigned index, uint64_t number, str_t bytes);

#endif
