/* See readable.h. */
#include "readable.h"

#include <assert.h>
#include <stdlib.h>

#include "alloc.h"
#include "loop_internal.h"

struct readable {
    h2o_socket_t *sock; /* owns the descriptor */
    readable_ready_t ready;
    void *owner;
};

static void on_readable(h2o_socket_t *sock, const char *err)
{
    (void)err; /* the socket does not read, so it reports no error */
    const readable_t *readable = sock->data;
    readable->ready(readable->owner);
}

readable_t *readable_new(loop_t *loop, int fd, readable_ready_t ready, void *owner)
{
    assert(fd >= 0);
    readable_t *readable = mem_alloc(sizeof(*readable));
    *readable = (readable_t){.ready = ready, .owner = owner};
    readable->sock = h2o_evloop_socket_create(loop_evloop(loop), fd, H2O_SOCKET_FLAG_DONT_READ);
    readable->sock->data = readable;
    return readable;
}

void readable_start(readable_t *readable)
{
    h2o_socket_read_start(readable->sock, on_readable);
}

void readable_stop(readable_t *readable)
{
    h2o_socket_read_stop(readable->sock);
}

void readable_free(readable_t **readable)
{
    readable_t *r = *readable;
    *readable = NULL;
    if (r == NULL)
        return;
    h2o_socket_read_stop(r->sock);
    h2o_socket_close(r->sock);
    free(r);
}
