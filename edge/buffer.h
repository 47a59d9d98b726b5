/*
 * A queue of bytes that were taken and could not be passed on yet, over h2o_buffer_t. What all buffers of a
 * process hold (their memory, which is more than their bytes) is added up in one figure, by which the edge
 * sheds load. An empty buffer holds no memory. One buffer belongs to one thread.
 */
#ifndef BOXEDGE_BUFFER_H
#define BOXEDGE_BUFFER_H

#include <h2o.h>

#include "str.h"

typedef struct buffer {
    h2o_buffer_t *bytes; /* NULL while empty */
} buffer_t;

/* Appends a copy of `data`; `*held` is the process's figure. */
void buffer_append(buffer_t *buffer, str_t data, uint64_t *held);
/* Drops the first n bytes (n is at most buffer_size); gives memory back when it becomes empty. */
void buffer_consume(buffer_t *buffer, size_t n, uint64_t *held);
void buffer_clear(buffer_t *buffer, uint64_t *held);

static inline size_t buffer_size(const buffer_t *buffer)
{
    return buffer->bytes != NULL ? buffer->bytes->size : 0;
}

static inline str_t buffer_str(const buffer_t *buffer)
{
    return buffer->bytes != NULL ? str_make(buffer->bytes->bytes, buffer->bytes->size) : str_make(NULL, 0);
}

#endif
