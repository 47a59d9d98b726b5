/*
 * A queue of bytes that were received but cannot be passed on yet, over h2o_buffer_t. Its memory, which
 * exceeds its content, counts to an account, always the same one, by which the edge sheds load. An empty
 * buffer holds no memory. A buffer belongs to one thread.
 */
#ifndef BOXEDGE_BUFFER_H
#define BOXEDGE_BUFFER_H

#include <h2o.h>

#include "account.h"
#include "str.h"

typedef struct buffer {
    h2o_buffer_t *bytes; /* NULL while empty */
} buffer_t;

/* Appends a copy of `data`. */
void buffer_append(buffer_t *buffer, str_t data, account_t *account);
/* Drops the first n bytes (at most buffer_size); frees the memory when the buffer becomes empty. */
void buffer_consume(buffer_t *buffer, size_t n, account_t *account);
void buffer_clear(buffer_t *buffer, account_t *account);

static inline size_t buffer_size(const buffer_t *buffer)
{
    return buffer->bytes != NULL ? buffer->bytes->size : 0;
}

static inline str_t buffer_str(const buffer_t *buffer)
{
    return buffer->bytes != NULL ? str_make(buffer->bytes->bytes, buffer->bytes->size) : str_make(NULL, 0);
}

#endif
