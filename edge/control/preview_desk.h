/*
 * The controller's answers to workers that have previews created and deleted for callers of the box API: the
 * store has one writer. Who may ask was found out by the worker.
 */
#ifndef BOXEDGE_PREVIEW_DESK_H
#define BOXEDGE_PREVIEW_DESK_H

#include "peers.h"
#include "store_thread.h"

typedef struct preview_desk preview_desk_t;

/* Both outlive it. Free it before the store's thread ends, whose jobs may still come back to it. */
preview_desk_t *preview_desk_new(store_thread_t *store, peers_t *peers);
/* Nothing is answered any more; jobs under way free themselves. Nulls. */
void preview_desk_free(preview_desk_t **desk);
/* PROCESS_PREVIEW of worker `index`. `now_unix` in seconds. */
void preview_desk_take(preview_desk_t *desk, unsigned index, uint64_t number, str_t bytes, uint64_t now_unix);

#endif
