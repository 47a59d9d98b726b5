#include "peers.h"

#include <assert.h>
#include <stdlib.h>

#include "channel.h"
#include "list.h"
#include "process.h"

/* How long a worker that does not read its messages is left alone before the next try. */
#define CATCH_UP_MS 100

typedef struct peer {
    peers_t *peers;
    channel_t *channel; /* NULL: none now */
    bool missed;        /* it was not told of tunnels that are to end */
} peer_t;

struct peers {
    loop_t *loop;
    void (*message)(void *owner, unsigned index, ipc_message_t *message);
    void *owner;
    loop_timer_t catch_up; /* runs where a worker that has a channel missed something */
    peer_t at[SHM_WORKERS_MAX];
};

peers_t *peers_new(loop_t *loop, void (*message)(void *owner, unsigned index, ipc_message_t *message),
                   void *owner)
{
    peers_t *peers = calloc(1, sizeof(*peers));
    assert(peers != NULL);
    peers->loop = loop;
    peers->message = message;
    peers->owner = owner;
    return peers;
}

void peers_free(peers_t **peers)
{
    if (*peers == NULL)
        return;
    loop_timer_stop(&(*peers)->catch_up);
    for (unsigned i = 0; i < SHM_WORKERS_MAX; i++)
        channel_free(&(*peers)->at[i].channel);
    free(*peers);
    *peers = NULL;
}

static bool tell(peer_t *peer, const char *which, uint64_t below)
{
    return peer->channel != NULL &&
           channel_send(peer->channel, PROCESS_TUNNELS, below, str_from(which), NULL, 0);
}

static void catch_up(loop_timer_t *timer)
{
    peers_t *peers = CONTAINER_OF(peers_t, catch_up, timer);
    bool again = false;
    for (unsigned i = 0; i < SHM_WORKERS_MAX; i++) {
        peer_t *peer = &peers->at[i];
        if (peer->missed && tell(peer, "previews", 0))
            peer->missed = false;
        again |= peer->missed && peer->channel != NULL;
    }
    if (again)
        loop_timer_start(peers->loop, timer, CATCH_UP_MS, catch_up);
}

void peers_end_tunnels(peers_t *peers, const char *which, uint64_t below)
{
    bool blocks = strcmp(which, "blocks") == 0, again = false;
    for (unsigned i = 0; i < SHM_WORKERS_MAX; i++) {
        peer_t *peer = &peers->at[i];
        if (tell(peer, which, below) || blocks)
            continue;
        peer->missed = true;
        again |= peer->channel != NULL;
    }
    if (again && !loop_timer_running(&peers->catch_up))
        loop_timer_start(peers->loop, &peers->catch_up, CATCH_UP_MS, catch_up);
}

void peers_tell(peers_t *peers, unsigned index, uint32_t type, uint64_t value, str_t bytes)
{
    assert(index < SHM_WORKERS_MAX);
    if (peers->at[index].channel != NULL)
        (void)channel_send(peers->at[index].channel, type, value, bytes, NULL, 0);
}

void peers_tell_all(peers_t *peers, uint32_t type, uint64_t value, str_t bytes)
{
    for (unsigned i = 0; i < SHM_WORKERS_MAX; i++)
        peers_tell(peers, i, type, value, bytes);
}

static void on_message(void *owner, ipc_message_t *message)
{
    peer_t *peer = owner;
    peers_t *peers = peer->peers;
    peers->message(peers->owner, (unsigned)(peer - peers->at), message);
}

static void on_closed(void *owner)
{
    peer_t *peer = owner;
    channel_free(&peer->channel); /* peers_take brings the next one */
}

void peers_take(peers_t *peers, uint64_t index, int *fd)
{
    static const channel_handlers_t handlers = {.message = on_message, .closed = on_closed};
    if (index >= SHM_WORKERS_MAX || *fd < 0)
        return;
    peer_t *peer = &peers->at[index];
    peer->peers = peers;
    channel_free(&peer->channel);
    peer->channel = channel_new(peers->loop, *fd, &handlers, peer);
    *fd = -1;
    if (peer->missed) /* by the worker before it, or by this one while it came up */
        catch_up(&peers->catch_up);
}
