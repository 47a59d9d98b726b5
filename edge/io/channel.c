/*
 * See channel.h. A channel takes a bounded number of messages a turn, so a busy peer cannot starve the loop.
 */
#include "channel.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "alloc.h"
#include "descriptors.h"
#include "list.h"
#include "process_log.h"
#include "readable.h"

#define MESSAGES_A_TURN 16
/* The pause before the next attempt to send to a peer that does not read. EPOLLOUT of a message socket
 * depends on a quarter of its buffer being free, which a small message may not need: a timer is simpler. */
#define TRY_AGAIN_MS 5

/* A queued message. */
typedef struct queued {
    struct queued *next;
    uint32_t type;
    uint64_t value;
    size_t len;
    char bytes[];
} queued_t;

struct channel {
    readable_t *readable;
    int fd; /* owned by `readable` */
    const channel_handlers_t *handlers;
    void *owner;
    bool reserve;
    bool *freed; /* set by channel_free while a handler runs, else NULL */
    loop_t *loop;
    loop_timer_t again; /* runs while the queue is not empty */
    queued_t *first;    /* oldest */
    queued_t **end;
    size_t waiting;
};

static void deliver_closed(channel_t *channel)
{
    readable_stop(channel->readable);
    channel->handlers->closed(channel->owner);
}

static ipc_result_t receive(const channel_t *channel, ipc_message_t *message)
{
    if (!channel->reserve)
        return ipc_receive(channel->fd, message);
    descriptors_use_reserve(true);
    ipc_result_t result = ipc_receive(channel->fd, message);
    descriptors_use_reserve(false);
    return result;
}

static void hand_over(channel_t *channel, ipc_result_t result, ipc_message_t *message)
{
    if (result == IPC_LOST && channel->handlers->lost != NULL)
        channel->handlers->lost(channel->owner, message->type, message->value);
    if (result != IPC_OK)
        return; /* malformed: dropped whole */
    channel->handlers->message(channel->owner, message);
    ipc_message_fini(message);
}

static void on_readable(void *owner)
{
    channel_t *channel = owner;
    ipc_message_t message;
    bool freed = false;

    for (int i = 0; i < MESSAGES_A_TURN; i++) {
        ipc_result_t result = receive(channel, &message);
        if (result == IPC_AGAIN)
            return;
        if (result == IPC_CLOSED) {
            deliver_closed(channel);
            return;
        }
        channel->freed = &freed;
        hand_over(channel, result, &message);
        if (freed)
            return;
        channel->freed = NULL;
    }
}

channel_t *channel_new(loop_t *loop, int fd, const channel_handlers_t *handlers, void *owner)
{
    assert(fd >= 0);
    channel_t *channel = mem_alloc(sizeof(*channel));
    *channel = (channel_t){.fd = fd, .handlers = handlers, .owner = owner, .loop = loop};
    channel->end = &channel->first;
    channel->readable = readable_new(loop, fd, on_readable, channel);
    readable_start(channel->readable);
    return channel;
}

void channel_use_reserve(channel_t *channel)
{
    channel->reserve = true;
}

void channel_pause(channel_t *channel)
{
    readable_stop(channel->readable);
}

void channel_resume(channel_t *channel)
{
    readable_start(channel->readable);
}

int channel_fd(const channel_t *channel)
{
    return channel->fd;
}

void channel_stop_receiving(channel_t *channel)
{
    (void)shutdown(channel->fd, SHUT_RD);
}

/* ---- the queue ---- */

static void drop_first(channel_t *channel)
{
    queued_t *first = channel->first;
    channel->first = first->next;
    if (channel->first == NULL)
        channel->end = &channel->first;
    channel->waiting--;
    free(first);
}

static void send_waiting(loop_timer_t *timer)
{
    channel_t *channel = CONTAINER_OF(channel_t, again, timer);
    while (channel->first != NULL) {
        const queued_t *first = channel->first;
        if (ipc_send(channel->fd, first->type, first->value, str_make(first->bytes, first->len), NULL, 0) ==
            IPC_AGAIN) {
            loop_timer_start(channel->loop, timer, TRY_AGAIN_MS, send_waiting);
            return;
        }
        drop_first(channel); /* sent, or the peer is gone: the next read reports that */
    }
}

static bool queue(channel_t *channel, uint32_t type, uint64_t value, str_t bytes)
{
    if (channel->waiting == CHANNEL_QUEUE_MAX)
        return false;
    queued_t *message = mem_alloc(sizeof(*message) + bytes.n);
    *message = (queued_t){.type = type, .value = value, .len = bytes.n};
    if (bytes.n != 0)
        memcpy(message->bytes, bytes.p, bytes.n);
    *channel->end = message;
    channel->end = &message->next;
    channel->waiting++;
    if (!loop_timer_running(&channel->again))
        loop_timer_start(channel->loop, &channel->again, TRY_AGAIN_MS, send_waiting);
    return true;
}

void channel_free(channel_t **channel)
{
    if (*channel == NULL)
        return;
    if ((*channel)->freed != NULL)
        *(*channel)->freed = true;
    loop_timer_stop(&(*channel)->again);
    while ((*channel)->first != NULL)
        drop_first(*channel);
    readable_free(&(*channel)->readable);
    free(*channel);
    *channel = NULL;
}

bool channel_send(channel_t *channel, uint32_t type, uint64_t value, str_t bytes, const int *fds,
                  size_t fd_count)
{
    ipc_result_t result =
        channel->first != NULL ? IPC_AGAIN : ipc_send(channel->fd, type, value, bytes, fds, fd_count);
    if (result != IPC_AGAIN || fd_count != 0)
        return result == IPC_OK;
    return queue(channel, type, value, bytes);
}

bool channel_try(channel_t *channel, uint32_t type, uint64_t value, str_t bytes)
{
    return channel->first == NULL && ipc_send(channel->fd, type, value, bytes, NULL, 0) == IPC_OK;
}

void channel_retry(channel_t *channel, const char *process, uint32_t type, uint64_t value)
{
    process_log(LOG_MESSAGE_LOST, process,
                "a message of type %u cannot be read without a free descriptor; it is requested again",
                (unsigned)type);
    (void)channel_send(channel, IPC_TYPE_LOST, ipc_lost_pack(type, value), STR(""), NULL, 0);
}
