#include "drain.h"

#include <assert.h>

#include "client.h"
#include "list.h"
#include "tunnel.h"

/* Tunnels that open in a worker that keeps none are cut within this time of their opening. */
#define LATER_TUNNELS_MS 10000

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

/* Those that have not closed in time: in the middle of a frame, or half-ended. Again for later ones. */
static void on_tunnels_deadline(loop_timer_t *timer)
{
    context_t *context = CONTAINER_OF(drain_t, tunnels, timer)->context;
    tunnels_cut(context);
    loop_timer_start(context->loop, timer, LATER_TUNNELS_MS, on_tunnels_deadline);
}

void drain_begin(drain_t *drain, context_t *context, drain_keeps_t keeps)
{
    uint32_t within = context->conf->timeouts.drain, long_within = context->conf->timeouts.drain_tunnels;
    drain->context = context;
    drain->keeps_open = keeps != DRAIN_KEEPS_NOTHING;
    context->tunnels_until_ms = keeps == DRAIN_KEEPS_ALL ? loop_now(context->loop) + long_within : 0;
    for (list_t *link = context->clients.next, *next; link != &context->clients; link = next) {
        client_t *client = CONTAINER_OF(client_t, link, link);
        next = link->next;
        client->codec->drain(client);
    }
    loop_timer_start(context->loop, &drain->deadline, drain->keeps_open ? long_within : within, on_deadline);
    if (keeps == DRAIN_KEEPS_EXCHANGES)
        loop_timer_start(context->loop, &drain->tunnels, within, on_tunnels_deadline);
}

void drain_hasten(drain_t *drain)
{
    context_t *context = drain->context;
    if (context == NULL || !drain->keeps_open)
        return;
    drain->keeps_open = false;
    if (context->tunnels_until_ms != 0) {
        context->tunnels_until_ms = 0;
        tunnels_drain(context);
    }
    loop_timer_start(context->loop, &drain->deadline, context->conf->timeouts.drain, on_deadline);
}

void drain_fini(drain_t *drain)
{
    loop_timer_stop(&drain->deadline);
    loop_timer_stop(&drain->tunnels);
}
