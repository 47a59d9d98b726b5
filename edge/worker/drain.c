#include "drain.h"

#include <assert.h>

#include "client.h"
#include "list.h"
#include "tunnel.h"

void clients_destroy(context_t *context)
{
    while (!list_is_empty(&context->clients)) {
        client_t *client = CONTAINER_OF(client_t, link, context->clients.next);
        uint64_t before = context->client_count;
        client->codec->destroy(client);
        assert(context->client_count < before);
        (void)before;
    }
}

/* An HTTP/2 connection with a tunnel keeps its other streams. */
static void destroy_tunnelless(context_t *context)
{
    tunnels_mark_clients(context);
    for (list_t *link = context->clients.next, *next; link != &context->clients; link = next) {
        client_t *client = CONTAINER_OF(client_t, link, link);
        next = link->next; /* `destroy` frees no other client */
        if (!client->tunnelled)
            client->codec->destroy(client);
    }
}

static void on_deadline(loop_timer_t *timer)
{
    drain_t *drain = CONTAINER_OF(drain_t, deadline, timer);
    context_t *context = drain->context;
    uint64_t until = context->tunnels_until_ms, now = loop_now(context->loop);
    if (until <= now) {
        clients_destroy(context);
        return;
    }
    drain->only_tunnels = true;
    destroy_tunnelless(context);
    loop_timer_start(context->loop, timer, (uint32_t)(until - now), on_deadline);
}

void drain_begin(drain_t *drain, context_t *context, bool keeps_tunnels)
{
    drain->context = context;
    context->tunnels_until_ms =
        keeps_tunnels ? loop_now(context->loop) + context->conf->timeouts.drain_tunnels : 0;
    for (list_t *link = context->clients.next, *next; link != &context->clients; link = next) {
        client_t *client = CONTAINER_OF(client_t, link, link);
        next = link->next;
        client->codec->drain(client);
    }
    loop_timer_start(context->loop, &drain->deadline, context->conf->timeouts.drain, on_deadline);
}

void drain_hasten(drain_t *drain)
{
    context_t *context = drain->context;
    if (context == NULL || context->tunnels_until_ms == 0)
        return;
    context->tunnels_until_ms = 0;
    tunnels_drain(context);
    loop_timer_start(context->loop, &drain->deadline, context->conf->timeouts.drain, on_deadline);
}

void drain_turn(drain_t *drain)
{
    if (drain->only_tunnels)
        destroy_tunnelless(drain->context);
}

void drain_fini(drain_t *drain)
{
    loop_timer_stop(&drain->deadline);
}
