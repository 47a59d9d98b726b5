/*
 * One descriptor of its owner that the loop watches for something to read: bytes, a connection, a signal, a
 * count. The owner reads.
 */
#ifndef BOXEDGE_READABLE_H
#define BOXEDGE_READABLE_H

#include "loop.h"

typedef struct readable readable_t;

/* There is something to read, an end or an error among it. The readable may be freed from within. */
typedef void (*readable_ready_t)(void *owner);

/* Takes `fd`: readable_free closes it. Nothing is watched for before readable_start. */
readable_t *readable_new(loop_t *loop, int fd, readable_ready_t ready, void *owner);
/* From now on `ready` is called in each turn in which there is something to read. */
void readable_start(readable_t *readable);
void readable_stop(readable_t *readable);
/* Nulls; NULL is fine. */
void readable_free(readable_t **readable);

#endif
