/*
 * The last messages of the edge's own log, in memory that its processes share. One process writes, others
 * read at any time. A reader trusts no number in it, since any process of the edge can write into it.
 */
#ifndef BOXEDGE_MESSAGE_RING_H
#define BOXEDGE_MESSAGE_RING_H

#include <stdatomic.h>

#include "str.h"

#define MESSAGE_RING_BYTES ((size_t)131072)

/* Zero-filled: empty. */
typedef struct message_ring {
    _Atomic uint64_t
        begun; /* bytes whose writing has begun; those before it by MESSAGE_RING_BYTES are lost */
    _Atomic uint64_t written;
    char bytes[MESSAGE_RING_BYTES];
} message_ring_t;

/* Appends, and drops the oldest bytes. Of more than MESSAGE_RING_BYTES, keeps the last ones. */
void message_ring_put(message_ring_t *ring, str_t bytes);
/* Copies the whole lines of the ring, oldest first, into `out`, which has room for
 * MESSAGE_RING_BYTES. Returns their length. */
size_t message_ring_read(const message_ring_t *ring, char *out);

#endif
