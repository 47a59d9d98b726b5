#include "buffer.h"

#include <assert.h>

/* The process runs out of memory, not of content: a buffer of one byte counts with its whole capacity. */
static uint64_t footprint(const buffer_t *buffer)
{
    return buffer->bytes != NULL ? buffer->bytes->capacity : 0;
}

void buffer_append(buffer_t *buffer, str_t data, account_t *account)
{
    if (data.n == 0)
        return;
    uint64_t before = footprint(buffer);
    if (buffer->bytes == NULL)
        h2o_buffer_init(&buffer->bytes, &h2o_socket_buffer_prototype);
    h2o_iovec_t space = h2o_buffer_reserve(&buffer->bytes, data.n);
    assert(space.base != NULL && space.len >= data.n);
    memcpy(space.base, data.p, data.n);
    buffer->bytes->size += data.n;
    account_move(account, before, footprint(buffer));
}

void buffer_consume(buffer_t *buffer, size_t n, account_t *account)
{
    assert(n <= buffer_size(buffer));
    if (n == 0)
        return;
    if (n == buffer_size(buffer))
        buffer_clear(buffer, account);
    else
        h2o_buffer_consume(&buffer->bytes, n);
}

void buffer_clear(buffer_t *buffer, account_t *account)
{
    if (buffer->bytes == NULL)
        return;
    account_sub(account, footprint(buffer));
    h2o_buffer_dispose(&buffer->bytes);
}
