/*
 * See channel.h. The h2o socket only reports readiness; messages are taken with ipc_receive, a bounded number
 * a turn so that a chatty peer does not hold up the loop.
 */
#include "channel.h"

#include <assert.h>
#include <stdlib.h>

#define MESSAGES_A_TURN 16

struct channel {
    h2o_socket_t *sock;
    int fd; /* owned by sock */
    const channel_handlers_t *handlers;
    void *owner;
    bool *freed; /* set by channel_free while a handler runs, else NULL */
};

static void deliver_closed(channel_t *channel)
{
    h2o_socket_read_stop(channel->sock);
    channel->handlers->closed(channel->owner);
}

static void on_readable(h2o_socket_t *sock, const char *err)
{
    channel_t *channel = sock->data;
    ipc_message_t message;
    bool freed = false;

    if (err != NULL) {
        deliver_closed(channel);
        return;
    }
    for (int i = 0; i < MESSAGES_A_TURN; i++) {
        ipc_result_t result = ipc_receive(channel->fd, &message);
        if (result == IPC_AGAIN)
            return;
        if (result == IPC_FAILED)
            continue; /* not ours: dropped whole */
        if (result == IPC_CLOSED) {
            deliver_closed(channel);
            return;
        }
        channel->freed = &freed;
        channel->handlers->message(channel->owner, &message);
        ipc_message_fini(&message);
        if (freed)
            return;
        channel->freed = NULL;
    }
}

channel_t *channel_new(loop_t *loop, int fd, const channel_handlers_t *handlers, void *owner)
{
    assert(fd >= 0);
    channel_t *channel = h2o_mem_alloc(sizeof(*channel));
    *channel = (channel_t){.fd = fd, .handlers = handlers, .owner = owner};
    channel->sock = h2o_evloop_socket_create(loop_evloop(loop), fd, H2O_SOCKET_FLAG_DONT_READ);
    channel->sock->data = channel;
    h2o_socket_read_start(channel->sock, on_readable);
    return channel;
}

void channel_free(channel_t **channel)
{
    if (*channel == NULL)
        return;
    if ((*channel)->freed != NULL)
        *(*channel)->freed = true;
    h2o_socket_read_stop((*channel)->sock);
    h2o_socket_close((*channel)->sock);
    free(*channel);
    *channel = NULL;
}

bool channel_send(channel_t *channel, uint32_t type, uint64_t value, str_t bytes, const int *fds,
                  size_t fd_count)
{
    return ipc_send(channel->fd, type, value, bytes, fds, fd_count) == IPC_OK;
}
