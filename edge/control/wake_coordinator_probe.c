/* Probes awaited ports of running boxes until they listen, or clearly do not. */
#include "wake_coordinator_internal.h"

#include <stdio.h>

#include "list.h"

/* Interval of looks at the listening ports of a box during a probe; shorter while the look is pending. */
#define LOOK_MS       2000
#define LOOK_AGAIN_MS 50

void wake_coordinator_stop_probing(port_wake_t *port)
{
    probe_stop(&port->probe);
    deadline_clear(&port->deadline);
    loop_timer_stop(&port->look);
}

static void port_recorded(void *arg)
{
    port_wake_t *port = arg;
    port->recording = false;
    wake_coordinator_finish_port(port, WAKE_OK, NULL);
}

static void on_listening(void *owner)
{
    port_wake_t *port = owner;
    box_wake_t *wake = port->box;
    wake_coordinator_stop_probing(port);
    port->failure = (failure_t){.until_ms = 0};
    wake->failure = (failure_t){.until_ms = 0};
    port->recording = true;
    wake_coordinator_notify_stage(port, WAKE_LISTENING);
    boxes_set_listening(wake->coordinator->boxes, str_from(wake->id), wake->generation, port->port, 0,
                        port_recorded, port);
}

/* Ends the wait for the port; `known` is the reason if known, else "". */
static void give_up_port(port_wake_t *port, const char *known)
{
    box_wake_t *wake = port->box;
    wake_coordinator_t *coordinator = wake->coordinator;
    const store_box_t *box = boxes_find(coordinator->boxes, str_from(wake->id));
    char sentence[WAKE_SENTENCE_MAX + 1];
    (void)snprintf(sentence, sizeof(sentence), "The box runs, but its port %u cannot be reached%s.",
                   port->port, known);
    wake_coordinator_remember(wake, &port->failure, WAKE_FAILED, sentence);
    /* Until then the workers ask here rather than connect, and get this answer. */
    if (box != NULL)
        boxes_set_listening(coordinator->boxes, str_from(wake->id), wake->generation, 0,
                            loop_now(coordinator->loop) + port->failure.last_ms, NULL, NULL);
    wake_coordinator_finish_port(port, WAKE_FAILED, &port->failure);
}

/* The port did not listen in time. */
static void on_port_timeout(deadline_t *deadline)
{
    give_up_port(CONTAINER_OF(port_wake_t, deadline, deadline), "");
}

/* Waiting is pointless if the app listens where only its own box can reach it. */
static void on_look(loop_timer_t *timer)
{
    port_wake_t *port = CONTAINER_OF(port_wake_t, look, timer);
    wake_coordinator_t *coordinator = port->box->coordinator;
    const store_box_t *box = boxes_find(coordinator->boxes, str_from(port->box->id));
    if (box == NULL || box->state != BOX_RUNNING || coordinator->listening == NULL)
        return;
    const box_ports_t *table = box_ports_service_find(coordinator->listening, box);
    const box_port_t *known = table != NULL ? box_ports_find(table->ports, table->count, port->port) : NULL;
    if (known != NULL && known->loopback && box->provider != PROVIDER_PROCESS)
        give_up_port(
            port, ": an app listens on it, but only on the box's loopback address; let it listen on 0.0.0.0");
    else
        loop_timer_start(coordinator->loop, timer, table != NULL ? LOOK_MS : LOOK_AGAIN_MS, on_look);
}

/* Shortly before the first waiter gives up, so that it gets the reason; but after half of the time limit from
 * when the box runs. */
static uint64_t verdict_at(const port_wake_t *port, const store_box_t *box)
{
    const box_wake_t *wake = port->box;
    uint64_t most = store_box_start_ms(box, wake->coordinator->conf->wake.timeout);
    uint64_t first = port->began_ms + most - most / 64, late = wake->running_ms + most / 2;
    return first > late ? first : late;
}

static void probe_port(port_wake_t *port, const store_box_t *box)
{
    wake_coordinator_t *coordinator = port->box->coordinator;
    if (port->probe != NULL || port->recording)
        return;
    wake_coordinator_notify_stage(port, WAKE_STARTING);
    port->probe = probe_start(coordinator->loop, &box->address,
                              box->fixed_port != 0 ? box->fixed_port : port->port, on_listening, port);
    deadline_set(coordinator->loop, &port->deadline, verdict_at(port, box), on_port_timeout);
    loop_timer_start(coordinator->loop, &port->look, LOOK_MS, on_look);
}

void wake_coordinator_probe_all(box_wake_t *wake, const store_box_t *box)
{
    if (wake->generation != box->generation)
        for (port_wake_t *port = wake->ports; port != NULL; port = port->next)
            wake_coordinator_stop_probing(port);
    wake->generation = box->generation;
    if (wake->running_ms == 0)
        wake->running_ms = loop_now(wake->coordinator->loop);
    for (port_wake_t *port = wake->ports; port != NULL; port = port->next)
        if (port->waited)
            probe_port(port, box);
}
