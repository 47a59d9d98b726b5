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

static void on_deadline(loop_timer_t *timer)
{
    clients_destroy(CONTAINER_OF(drain_t, deadline, timer)->context);
}

void drain_begin(drain_t *drain, context_t *context, bool keeps_open)
{
    const conf_t *conf = context->conf;
    drain->context = context;
    context->open_until_ms = keeps_open ? loop_now(context->loop) + conf->timeouts.drain_tunnels : 0;
    for (list_t *link = context->clients.next, *next; link != &context->clients; link = next) {
        client_t *client = CONTAINER_OF(client_t, link, link);
        next = link->next;
        client->codec->drain(client);
    }
    loop_timer_start(context->loop, &drain->deadline,
                     keeps_open ? conf->timeouts.drain_tunnels : conf->timeouts.drain, on_deadline);
}

void drain_hasten(drain_t *drain)
{
    context_t *context = drain->context;
    if (context == NULL || context->open_until_ms == 0)
        return;
    context->open_until_ms = 0;
    tunnels_drain(context);
    loop_timer_start(context->loop, &drain->deadline, context->conf->timeouts.drain, on_deadline);
}

void drain_fini(drain_t *drain)
{
    loop_timer_stop(&drain->deadline);
}
