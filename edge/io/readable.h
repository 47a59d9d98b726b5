/*
 * One descriptor of its owner that the loop watches for readability: bytes, a connection, a signal, a count.
 * The owner reads.
 */
#ifndef BOXEDGE_READABLE_H
#define BOXEDGE_READABLE_H

#include "loop.h"

typedef struct readable readable_t;

/* The descriptor is readable, or has an end or an error to report. The callback may free the readable. */
typedef void (*readable_ready_t)(void *owner);

/* Takes `fd`, which readable_free closes. Watching begins with readable_start. */
readable_t *readable_new(loop_t *loop, int fd, readable_ready_t ready, void *owner);
/* Calls `ready` in each later turn in which the descriptor is readable. */
void readable_start(readable_t *readable);
void readable_stop(readable_t *readable);
/* Nulls. NULL is a no-op. */
void readable_free(readable_t **readable);

#endif
