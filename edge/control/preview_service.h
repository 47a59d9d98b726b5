/*
 * Creates and deletes previews for workers, on behalf of callers of the box API: the store has one writer.
 * The worker has checked the caller's rights.
 */
#ifndef BOXEDGE_PREVIEW_SERVICE_H
#define BOXEDGE_PREVIEW_SERVICE_H

#include "store_thread.h"
#include "worker_links.h"

typedef struct preview_service preview_service_t;

/* Both must outlive it. Free it before the store's thread ends, whose jobs refer to it. */
preview_service_t *preview_service_new(store_thread_t *store, worker_links_t *worker_links);
/* Ends all answers; pending jobs free themselves. Nulls. */
void preview_service_free(preview_service_t **service);
/* Takes PROCESS_PREVIEW of worker `index`. `now_unix` in seconds. */
void preview_service_take(preview_service_t *service, unsigned index, uint64_t number, str_t bytes,
                          uint64_t now_unix);
/*
 * Takes PROCESS_PREVIEW_LINK: begins the session of a link, records its use, or makes or revokes one. The
 * worker has checked its secret, or the caller's rights.
 */
void preview_service_take_link(preview_service_t *service, unsigned index, uint64_t number, str_t bytes,
                               uint64_t now_unix);

#endif
