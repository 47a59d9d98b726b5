/*
 * One preview's record for all that read it: the cache of routes and the exchanges of a worker. Each
 * holds a reference. An idle tunnel would otherwise keep a copy of nearly 900 bytes. Not for more than
 * one thread.
 */
#ifndef BOXEDGE_SHARED_PREVIEW_H
#define BOXEDGE_SHARED_PREVIEW_H

#include "store.h"

/* All zero, for those that have no preview. Its references are not counted. */
extern const store_preview_t preview_none;

/* A shared copy, with one reference. */
const store_preview_t *preview_share(const store_preview_t *preview);
/* Another reference to a shared record. */
const store_preview_t *preview_hold(const store_preview_t *preview);
/* Gives a reference back and sets `*preview` to preview_none. The last one frees the record. */
void preview_drop(const store_preview_t **preview);

#endif
