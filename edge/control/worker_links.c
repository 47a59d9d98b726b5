#include "worker_links.h"

#include <assert.h>
#include <stdlib.h>

#include "channel.h"
#include "list.h"
#include "process.h"

/* Delay before the next try with a worker that does not read its messages. */
#define CATCH_UP_MS 100

typedef struct link {
    worker_links_t *worker_links;
    channel_t *channel; /* NULL: none now */
    bool missed;        /* owes it an end of tunnels */
    bool received;      /* stopping: it has sent its last message */
} worker_link_t;

struct worker_links {
    loop_t *loop;
    void (*message)(void *owner, unsigned index, ipc_message_t *message);
    void *owner;
    bool stopping;         /* no new messages are received */
    loop_timer_t catch_up; /* runs while a worker with a channel is owed one */
    worker_link_t at[SHM_WORKERS_MAX];
};

worker_links_t *worker_links_new(loop_t *loop,
                                 void (*message)(void *owner, unsigned index, ipc_message_t *message),
                                 void *owner)
{
    worker_links_t *worker_links = calloc(1, sizeof(*worker_links));
    assert(worker_links != NULL);
    worker_links->loop = loop;
    worker_links->message = message;
    worker_links->owner = owner;
    return worker_links;
}

void worker_links_free(worker_links_t **worker_links)
{
    if (*worker_links == NULL)
        return;
    loop_timer_stop(&(*worker_links)->catch_up);
    for (unsigned i = 0; i < SHM_WORKERS_MAX; i++)
        channel_free(&(*worker_links)->at[i].channel);
    free(*worker_links);
    *worker_links = NULL;
}

static bool send_tunnels(worker_link_t *link, const char *which, uint64_t below)
{
    return link->channel != NULL &&
           channel_send(link->channel, PROCESS_TUNNELS, below, str_from(which), NULL, 0);
}

static void catch_up(loop_timer_t *timer)
{
    worker_links_t *worker_links = CONTAINER_OF(worker_links_t, catch_up, timer);
    bool again = false;
    for (unsigned i = 0; i < SHM_WORKERS_MAX; i++) {
        worker_link_t *link = &worker_links->at[i];
        if (link->missed && send_tunnels(link, "previews", 0))
            link->missed = false;
        again |= link->missed && link->channel != NULL;
    }
    if (again)
        loop_timer_start(worker_links->loop, timer, CATCH_UP_MS, catch_up);
}

void worker_links_end_tunnels(worker_links_t *worker_links, const char *which, uint64_t below)
{
    bool blocks = strcmp(which, "blocks") == 0, again = false;
    for (unsigned i = 0; i < SHM_WORKERS_MAX; i++) {
        worker_link_t *link = &worker_links->at[i];
        if (send_tunnels(link, which, below) || blocks)
            continue;
        link->missed = true;
        again |= link->channel != NULL;
    }
    if (again && !loop_timer_running(&worker_links->catch_up))
        loop_timer_start(worker_links->loop, &worker_links->catch_up, CATCH_UP_MS, catch_up);
}

bool worker_links_notify(worker_links_t *worker_links, unsigned index, uint32_t type, uint64_t value,
                         str_t bytes)
{
    assert(index < SHM_WORKERS_MAX);
    return worker_links->at[index].channel != NULL &&
           channel_send(worker_links->at[index].channel, type, value, bytes, NULL, 0);
}

void worker_links_notify_all(worker_links_t *worker_links, uint32_t type, uint64_t value, str_t bytes)
{
    for (unsigned i = 0; i < SHM_WORKERS_MAX; i++)
        (void)worker_links_notify(worker_links, i, type, value, bytes);
}

static void on_message(void *owner, ipc_message_t *message)
{
    worker_link_t *link = owner;
    worker_links_t *worker_links = link->worker_links;
    worker_links->message(worker_links->owner, (unsigned)(link - worker_links->at), message);
}

static void on_closed(void *owner)
{
    worker_link_t *link = owner;
    link->received = true;
    if (link->worker_links->stopping)
        return;                   /* answers to its last messages are still to be sent */
    channel_free(&link->channel); /* worker_links_take brings the next one */
}

void worker_links_take(worker_links_t *worker_links, uint64_t index, int *fd)
{
    static const channel_handlers_t handlers = {.message = on_message, .closed = on_closed};
    if (index >= SHM_WORKERS_MAX || *fd < 0)
        return;
    worker_link_t *link = &worker_links->at[index];
    link->worker_links = worker_links;
    channel_free(&link->channel);
    link->channel = channel_new(worker_links->loop, *fd, &handlers, link);
    link->received = false;
    *fd = -1;
    if (worker_links->stopping)
        channel_stop_receiving(link->channel);
    if (link->missed) /* owed to the worker before it, or to this one while it came up */
        catch_up(&worker_links->catch_up);
}

void worker_links_stop_receiving(worker_links_t *worker_links)
{
    worker_links->stopping = true;
    for (unsigned i = 0; i < SHM_WORKERS_MAX; i++)
        if (worker_links->at[i].channel != NULL)
            channel_stop_receiving(worker_links->at[i].channel);
}

bool worker_links_received(const worker_links_t *worker_links)
{
    for (unsigned i = 0; i < SHM_WORKERS_MAX; i++)
        if (worker_links->at[i].channel != NULL && !worker_links->at[i].received)
            return false;
    return true;
}
