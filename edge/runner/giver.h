/*
 * The old runner's side of boxes_message.h: gives its running boxes to the runner of a new edge. The
 * owner has suspended the boxes, and continues or frees them afterwards.
 */
#ifndef BOXEDGE_GIVER_H
#define BOXEDGE_GIVER_H

#include "loop.h"
#include "runner_box.h"

typedef struct giver giver_t;

/* The taker left before it had all boxes, or cannot get one. May free the giver. */
typedef void (*giver_failed_t)(void *owner);

/* Takes over *channel_fd and *conf_fd, and sets them to -1. The array `boxes` must outlive the giver. */
giver_t *giver_new(loop_t *loop, int *channel_fd, int *conf_fd, runner_box_t *const *boxes, size_t count,
                   giver_failed_t failed, void *owner);
/* The taker was sent all boxes, and lives: the owner may close its descriptors of them. */
bool giver_is_done(const giver_t *giver);
/* Closes the channel and nulls. NULL is a no-op. */
void giver_free(giver_t **giver);

#endif
