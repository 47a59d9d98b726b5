/*
 * Descriptors that belong to a library (libcurl, c-ares) and that the loop watches for it. The loop watches a
 * duplicate of each, so that neither closes what the other uses.
 */
#ifndef BOXEDGE_WATCH_H
#define BOXEDGE_WATCH_H

#include "loop.h"

#include "list.h"

#define WATCH_READ  1u
#define WATCH_WRITE 2u

typedef struct watch watch_t;

/* `fd` is ready for `what`: one of WATCH_READ and WATCH_WRITE. The watch may be freed from within. */
typedef void (*watch_ready_t)(void *owner, int fd, unsigned what);

/* Nothing is watched for yet. Becomes a member of `list`, an anchor of the caller's. NULL: there is no
 * descriptor to be had. */
watch_t *watch_new(loop_t *loop, list_t *list, int fd, watch_ready_t ready, void *owner);
/* From now on for these: any of WATCH_READ | WATCH_WRITE; again and again as long as it is ready. */
void watch_set(watch_t *watch, unsigned what);
/* Nulls. Before `fd` is closed, or after. */
void watch_free(watch_t **watch);

/* The member of `list` that watches `fd`, or NULL. */
watch_t *watch_find(const list_t *list, int fd);
void watch_free_all(list_t *list);

#endif
