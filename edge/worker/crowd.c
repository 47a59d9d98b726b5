#include "crowd.h"

#include "client.h"
#include "context.h"
#include "list.h"

typedef struct leaver {
    client_t *client;
    uint32_t connections; /* of its address */
    uint64_t since_ms;    /* idle since then */
} leaver_t;

/* Whether `a` closes before `b`. */
static bool goes_before(const leaver_t *a, const leaver_t *b)
{
    if (a->connections != b->connections)
        return a->connections > b->connections;
    return a->since_ms < b->since_ms;
}

/* Keeps the first CROWD_AT_ONCE of all insertions, in order. Returns the new count. */
static size_t put(leaver_t *leavers, size_t count, const leaver_t *one)
{
    if (count == CROWD_AT_ONCE && !goes_before(one, &leavers[count - 1]))
        return count;
    size_t at = count < CROWD_AT_ONCE ? count : count - 1;
    for (; at > 0 && goes_before(one, &leavers[at - 1]); at--)
        leavers[at] = leavers[at - 1];
    leavers[at] = *one;
    return count < CROWD_AT_ONCE ? count + 1 : count;
}

static bool may_go(const client_t *client, crowd_reason_t reason, uint64_t *since_ms)
{
    if (reason == CROWD_MEMORY && client->account.held == 0)
        return false;
    if (client->codec->idle_since == NULL || client->kind == CONF_LISTENER_HEALTH)
        return false;
    return client->codec->idle_since(client, since_ms) && !client_is_proxy(client);
}

bool crowd_make_room(context_t *context, crowd_reason_t reason)
{
    leaver_t leavers[CROWD_AT_ONCE];
    size_t count = 0;
    for (list_t *link = context->clients.next; link != &context->clients; link = link->next) {
        leaver_t one = {.client = CONTAINER_OF(client_t, link, link)};
        if (!may_go(one.client, reason, &one.since_ms))
            continue;
        one.connections = shm_client_count(context->shm, &one.client->address);
        count = put(leavers, count, &one);
    }
    size_t gone = 0;
    for (; gone < count && leavers[gone].connections == leavers[0].connections; gone++)
        leavers[gone].client->codec->close_idle(leavers[gone].client);
    counter_add(&context->counters->connections_given_up_total, gone);
    return gone != 0;
}
