/*
 * The new runner's side of boxes_message.h: takes the running boxes of the old edge's runner.
 */
#ifndef BOXEDGE_TAKER_H
#define BOXEDGE_TAKER_H

#include "loop.h"
#include "runner_box.h"

typedef struct taker taker_t;

/* Maximum wait for each message. */
#define TAKER_MS 3000

/* The taking has ended, called once. `boxes`, with the configuration of the old edge, and their array
 * become the owner's; none if it failed, and then the old runner keeps its boxes. */
typedef void (*taker_taken_t)(void *owner, runner_box_t **boxes, size_t count);

/* Takes over *channel_fd and sets it to -1. The boxes get `handlers` and `owner`. */
taker_t *taker_new(loop_t *loop, int *channel_fd, const runner_box_handlers_t *handlers, taker_taken_t taken,
                   void *owner);
/* After `taken`: the old runner still has descriptors of the boxes, so that they outlive this process. */
bool taker_shares(const taker_t *taker);
/* Closes the channel, releases boxes that are not the owner's yet, and nulls. NULL is a no-op. */
void taker_free(taker_t **taker);

#endif
