/*
 * The admin API's requests to the controller (admin_controls_t).
 */
#include "controller_internal.h"
#include "process.h"
#include "provider_process.h"

static bool notify_supervisor(controller_t *controller, process_message_t message)
{
    return controller->supervisor != NULL &&
           channel_send(controller->supervisor, (uint32_t)message, 0, STR(""), NULL, 0);
}

static bool request_reload(void *owner)
{
    return notify_supervisor(owner, PROCESS_RELOAD);
}

static bool request_drain(void *owner)
{
    return notify_supervisor(owner, PROCESS_DRAIN);
}

static bool request_upgrade(void *owner, bool now)
{
    controller_t *controller = owner;
    return controller->supervisor != NULL &&
           channel_send(controller->supervisor, PROCESS_UPGRADE, now, STR(""), NULL, 0);
}

static void end_tunnels(void *owner, const char *which, uint64_t below)
{
    controller_t *controller = owner;
    worker_links_end_tunnels(controller->worker_links, which, below);
}

static const char *push_box(void *owner, const control_box_t *box, void (*done)(void *arg), void *arg)
{
    controller_t *controller = owner;
    str_t id = str_from(box->box.id);
    if (!providers_push(controller->providers, box))
        return "The configuration has no control plane (control_plane.url).";
    const store_box_t *known = boxes_find(controller->boxes, id);
    if (known == NULL || known->provider != PROVIDER_HTTP)
        return "The edge knows a box of this id from another source, or too many boxes.";
    boxes_when_recorded(controller->boxes, id, done, arg);
    return NULL;
}

static bool when_recorded(void *owner, str_t id, void (*done)(void *arg), void *arg)
{
    controller_t *controller = owner;
    const store_box_t *box = boxes_find(controller->boxes, id);
    bool known = box != NULL && box->state != BOX_UNKNOWN;
    if (known)
        boxes_when_recorded(controller->boxes, id, done, arg);
    return known;
}

static void box_ordered(void *owner, str_t id, bool runs)
{
    controller_t *controller = owner;
    wake_coordinator_order(controller->coordinator, id, runs);
}

static bool conf_has_box(const conf_t *conf, str_t id)
{
    for (size_t i = 0; i < conf->box_count; i++)
        if (str_eq(str_from(conf->boxes[i].id), id))
            return true;
    return false;
}

static bool conf_has_process(const conf_t *conf, str_t id)
{
    for (size_t i = 0; i < conf->process_count; i++)
        if (str_eq(str_from(conf->processes[i].id), id))
            return true;
    return false;
}

static bool find_box(void *owner, str_t id, box_provider_t *kind, provider_t **provider)
{
    const controller_t *controller = owner;
    bool is_static = conf_has_box(controller->conf, id);
    *provider = is_static ? NULL : boxes_provider(controller->boxes, id);
    if (*provider == NULL && !is_static && conf_has_process(controller->conf, id))
        *provider = controller->processes; /* a process box without a report yet */
    *kind = *provider != NULL ? (*provider)->kind : PROVIDER_STATIC;
    return is_static || *provider != NULL;
}

static const char *put_guest(void *owner, const process_guest_t *guest, bool *fresh)
{
    controller_t *controller = owner;
    str_t id = str_from(guest->id);
    const store_box_t *known = boxes_find(controller->boxes, id);
    bool lives = known != NULL && known->state != BOX_UNKNOWN && known->state != BOX_GONE;
    if (conf_has_box(controller->conf, id) || conf_has_process(controller->conf, id) ||
        (lives && known->provider != PROVIDER_PROCESS))
        return "box_taken";
    return process_guests_put(provider_process_guests(controller->processes), guest, fresh);
}

static bool is_guest(void *owner, str_t id)
{
    const controller_t *controller = owner;
    return process_guests_has(provider_process_guests(controller->processes), id);
}

static bool drop_guest(void *owner, str_t id, str_t lease)
{
    controller_t *controller = owner;
    if (!process_guests_drop(provider_process_guests(controller->processes), id, lease))
        return false;
    boxes_forget_gone(controller->boxes, id);
    return true;
}

const admin_controls_t controller_controls = {.reload = request_reload,
                                              .drain = request_drain,
                                              .upgrade = request_upgrade,
                                              .end_tunnels = end_tunnels,
                                              .push_box = push_box,
                                              .when_recorded = when_recorded,
                                              .find_box = find_box,
                                              .box_ordered = box_ordered,
                                              .put_guest = put_guest,
                                              .drop_guest = drop_guest,
                                              .is_guest = is_guest};
