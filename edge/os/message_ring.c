/*
 * See message_ring.h.
 */
#include "message_ring.h"

#include <string.h>

void message_ring_put(message_ring_t *ring, str_t bytes)
{
    if (bytes.n > MESSAGE_RING_BYTES)
        bytes = str_from_offset(bytes, bytes.n - MESSAGE_RING_BYTES);
    uint64_t at = atomic_load(&ring->written);
    atomic_store(&ring->begun, at + bytes.n);
    size_t from = (size_t)(at % MESSAGE_RING_BYTES), first = MESSAGE_RING_BYTES - from;
    first = first < bytes.n ? first : bytes.n;
    memcpy(ring->bytes + from, bytes.p, first);
    memcpy(ring->bytes, bytes.p + first, bytes.n - first);
    atomic_store(&ring->written, at + bytes.n);
}

size_t message_ring_read(const message_ring_t *ring, char *out)
{
    uint64_t end = atomic_load(&ring->written);
    size_t len = end < MESSAGE_RING_BYTES ? (size_t)end : MESSAGE_RING_BYTES;
    uint64_t begin = end - len;
    size_t from = (size_t)(begin % MESSAGE_RING_BYTES), first = MESSAGE_RING_BYTES - from;
    first = first < len ? first : len;
    memcpy(out, ring->bytes + from, first);
    memcpy(out + first, ring->bytes, len - first);
    /* The writer has gone on meanwhile: it wrote over the oldest bytes. */
    uint64_t over = atomic_load(&ring->begun) - begin;
    size_t lost = over <= MESSAGE_RING_BYTES ? 0 : (size_t)(over - MESSAGE_RING_BYTES);
    lost = lost < len ? lost : len;
    if (begin == 0 && lost == 0)
        return len;
    const char *line = lost < len ? memchr(out + lost, '\n', len - lost) : NULL;
    size_t skip = line != NULL ? (size_t)(line - out) + 1 : len;
    memmove(out, out + skip, len - skip);
    return len - skip;
}
