#include "relief.h"

#include <stdio.h>

#include "address.h"
#include "budget.h"
#include "client.h"
#include "context.h"
#include "crowd.h"
#include "http2_client.h"
#include "list.h"
#include "origin_pool.h"
#include "process_log.h"

/* One of the client addresses that hold most. */
typedef struct holder {
    struct in6_addr address;
    uint64_t held; /* by all workers */
} holder_t;

typedef struct round {
    context_t *context;
    uint64_t before; /* no progress since then means stalled */
    uint64_t share;
    bool full;                          /* limits.memory is reached: shares protect no address */
    holder_t holders[RELIEF_ADDRESSES]; /* the largest first */
    size_t count;
} round_t;

static void note_holder(round_t *round, const struct in6_addr *address, uint64_t held)
{
    size_t at = 0;
    for (size_t i = 0; i < round->count; i++)
        if (address_same_owner(&round->holders[i].address, address))
            return;
    while (at < round->count && round->holders[at].held >= held)
        at++;
    if (at == RELIEF_ADDRESSES)
        return;
    if (round->count < RELIEF_ADDRESSES)
        round->count++;
    memmove(&round->holders[at + 1], &round->holders[at], (round->count - at - 1) * sizeof(holder_t));
    round->holders[at] = (holder_t){.address = *address, .held = held};
}

/* Whether the connection has been idle for long and its end frees memory. */
static bool is_idle(client_t *client, uint64_t before)
{
    uint64_t since_ms;
    const client_codec_t *codec = client->codec;
    return client->account.held != 0 && codec->idle_since != NULL && budget_may_close(client) &&
           codec->idle_since(client, &since_ms) && since_ms <= before && codec->stalled(client, before) == 0;
}

/* Bytes that relief can take from a connection. */
static uint64_t takeable(const round_t *round, client_t *client)
{
    uint64_t stalled = client->codec->stalled(client, round->before);
    return stalled == 0 && is_idle(client, round->before) ? client->account.held : stalled;
}

/* Finds the addresses from which relief can take bytes. A trusted proxy's address has no share, since it
 * holds for many. */
static void find_holders(round_t *round)
{
    context_t *context = round->context;
    for (list_t *link = context->clients.next; link != &context->clients; link = link->next) {
        client_t *client = CONTAINER_OF(client_t, link, link);
        if (client->codec->stalled == NULL || client->local)
            continue;
        uint64_t takes = takeable(round, client);
        if (takes == 0)
            continue;
        uint64_t held = budget_client(client);
        if (round->full || held > round->share)
            note_holder(round, &client->address, held != 0 ? held : takes);
    }
}

/* Closes idle connections of an address, as many as needed, before its exchanges end. */
static void take_idle(const round_t *round, const struct in6_addr *address)
{
    context_t *context = round->context;
    list_t *next;
    for (list_t *link = context->clients.next; link != &context->clients && budget_is_tight(context);
         link = next) {
        client_t *client = CONTAINER_OF(client_t, link, link);
        next = link->next;
        if (client->local || !address_same_owner(address, &client->address) ||
            !is_idle(client, round->before))
            continue;
        counter_add(&context->counters->connections_given_up_total, 1);
        client->codec->close_idle(client);
    }
}

/* Ends all stalled exchanges of one address; NULL: of boxes over their share, for any address. */
static void take_from(round_t *round, const struct in6_addr *address)
{
    context_t *context = round->context;
    list_t *next;
    context->relieving = true;
    for (list_t *link = context->clients.next; link != &context->clients; link = next) {
        client_t *client = CONTAINER_OF(client_t, link, link);
        next = link->next;
        if (client->codec->relieve == NULL || client->local)
            continue;
        if (address == NULL || address_same_owner(address, &client->address))
            client->codec->relieve(client, round->before, address != NULL ? 0 : round->share);
    }
    context->relieving = false;
}

static void shed_idle(context_t *context, uint64_t now)
{
    if (now < RELIEF_IDLE_MS)
        return;
    if (context->origins != NULL)
        (void)origin_pool_shed(context->origins, now - RELIEF_IDLE_MS, RELIEF_IDLE_MOST);
    http2_origins_shed(context->http2_origins, now - RELIEF_IDLE_MS, RELIEF_IDLE_MOST);
    bool more = true;
    for (int i = 0; i < RELIEF_CROWDS && more && budget_is_crowded(context); i++)
        more = crowd_make_room(context, CROWD_MEMORY);
}

static void log_memory(const context_t *context, log_code_t code, const char *text)
{
    char name[24];
    (void)snprintf(name, sizeof(name), "worker %u", context->index);
    process_log(code, name, "%s", text);
}

/* One line when memory becomes short, and one when it has not been for RELIEF_QUIET_MS. */
static void note_shortage(context_t *context, uint64_t now)
{
    char text[256];
    context->memory_short_ms = now;
    if (context->memory_short_logged)
        return;
    context->memory_short_logged = true;
    (void)snprintf(
        text, sizeof(text),
        "memory is short: %llu of the %llu bytes of limits.memory are held. Clients and boxes over "
        "their share get 503 (boxedge_shed_total); raise limits.memory if they are no attack",
        (unsigned long long)context->memory.held, (unsigned long long)context->conf->limits.memory_bytes);
    log_memory(context, LOG_MEMORY_SHORT, text);
}

static void note_room(context_t *context, uint64_t now)
{
    if (!context->memory_short_logged || now - context->memory_short_ms < RELIEF_QUIET_MS)
        return;
    context->memory_short_logged = false;
    log_memory(context, LOG_MEMORY_ENOUGH, "memory is no longer short");
}

void relief_turn(context_t *context)
{
    const conf_t *conf = context->conf;
    uint64_t now = loop_now(context->loop);
    if (!budget_is_tight(context)) {
        note_room(context, now);
        return;
    }
    if (now < context->relief_ms + RELIEF_PERIOD_MS)
        return;
    context->relief_ms = now;
    shed_idle(context, now);
    if (!budget_is_tight(context))
        return;
    note_shortage(context, now);
    round_t round = {.context = context,
                     .before = now > EXCHANGE_STALL_MS ? now - EXCHANGE_STALL_MS : 0,
                     .share = budget_share(conf),
                     .full = context->memory.held >= conf->limits.memory_bytes};
    take_from(&round, NULL);
    find_holders(&round);
    for (size_t i = 0; i < round.count && budget_is_tight(context); i++) {
        take_idle(&round, &round.holders[i].address);
        if (budget_is_tight(context))
            take_from(&round, &round.holders[i].address);
    }
}
