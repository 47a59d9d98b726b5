/*
 * Descriptors that belong to a library (libcurl, c-ares) and that the loop watches for it. The loop watches a
 * duplicate of each, so neither closes a descriptor that the other uses.
 */
#ifndef BOXEDGE_WATCH_H
#define BOXEDGE_WATCH_H

#include "loop.h"

#include "list.h"

#define WATCH_READ  1u
#define WATCH_WRITE 2u

typedef struct watch watch_t;

/* `fd` is ready for `what`: either WATCH_READ or WATCH_WRITE. The callback may free the watch. */
typedef void (*watch_ready_t)(void *owner, int fd, unsigned what);

/* Makes a watch for nothing yet and adds it to `list`, an anchor of the caller. NULL if no descriptor is
 * free. */
watch_t *watch_new(loop_t *loop, list_t *list, int fd, watch_ready_t ready, void *owner);
/* Sets the watched conditions: any of WATCH_READ | WATCH_WRITE. Level-triggered. */
void watch_set(watch_t *watch, unsigned what);
/* Nulls. May be called before or after `fd` is closed. */
void watch_free(watch_t **watch);

/* The member of `list` that watches `fd`, or NULL. */
watch_t *watch_find(const list_t *list, int fd);
void watch_free_all(list_t *list);

#endif
