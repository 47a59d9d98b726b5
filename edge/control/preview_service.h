/*
 * The controller's answers to workers that have previews created and deleted for callers of the box API: the
 * store has one writer. Who may ask was found out by the worker.
 */
#ifndef BOXEDGE_PREVIEW_SERVICE_H
#define BOXEDGE_PREVIEW_SERVICE_H

#include "store_thread.h"
#include "worker_links.h"

typedef struct preview_service preview_service_t;

/* Both outlive it. Free it before the store's thread ends, whose jobs may still come back to it. */
preview_service_t *preview_service_new(store_thread_t *store, worker_links_t *worker_links);
/* Nothing is answered any more; jobs under way free themselves. Nulls. */
void preview_service_free(preview_service_t **desk);
/* PROCESS_PREVIEW of worker `index`. `now_unix` in seconds. */
void preview_service_take(preview_service_t *desk, unsigned index, uint64_t number, str_t bytes,
                          uint64_t now_unix);

#endif
