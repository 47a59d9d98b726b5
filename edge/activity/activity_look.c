/*
 * Handles exchanges whose box was paused, moved or removed while they were open (docs/internals/wake.md).
 *
 * An exchange without a response head is answered or begun again, since a paused box may never answer. One
 * with a head keeps its connection, since a frozen box continues where it was, unless the box has left its
 * address.
 */
#include "activity_internal.h"

#include <assert.h>
#include <stdatomic.h>

#include "activity.h"
#include "http2_client.h"
#include "list.h"
#include "origin_pool.h"
#include "refused.h"
#include "shm.h"
#include "step.h"
#include "store.h"
#include "tunnel.h"
#include "wake.h"
#include "worker.h"

/* Interval of checks of the store without a notice of changed boxes. */
#define LOOK_MS 250
/* With a notice: maximum lookups per ms. */
#define LOOKS_A_MS 64
/* A box may not have read client bytes that came this shortly before its pause. */
#define UNTAKEN_MS 500

/* Going Away and Service Restart (RFC 6455 section 7.4). */
#define CLOSE_GOING_AWAY      1001
#define CLOSE_SERVICE_RESTART 1012

static bool same_address(const store_box_t *a, const store_box_t *b)
{
    return a->fixed_port == b->fixed_port && memcmp(&a->address, &b->address, sizeof(a->address)) == 0;
}

/* The box as the store has it now. False if the store cannot be read. */
static bool read_box(activity_t *activity, str_t id, store_box_t *out)
{
    store_result_t result = store_get_box(activity->store, id, out);
    if (result == STORE_NOT_FOUND)
        *out = (store_box_t){.state = BOX_GONE};
    return result == STORE_OK || result == STORE_NOT_FOUND;
}

/* No byte was sent for the exchange yet: begins it again, once, towards the box as it is `now`. */
static bool begin_again(exchange_t *ex, const store_box_t *now, uint64_t epoch)
{
    if (now->state != BOX_RUNNING || now->doubted || ex->sent_again || ex->origin_ops == NULL ||
        ex->origin_ops->again == NULL || !store_box_exposes(now, ex->preview->port))
        return false;
    return ex->origin_ops->again(ex, now, epoch);
}

static void answer(exchange_t *ex, const store_box_t *now)
{
    if (now->state == BOX_GONE)
        exchange_reply_error(ex, 502, "box_gone", "The box was removed while this request was open.", 0);
    else if (now->state == BOX_RUNNING && now->doubted)
        exchange_reply_error(ex, 503, "box_in_doubt",
                             "The box may have been deleted: the edge is checking. Try again.", 1);
    else
        exchange_reply_error(ex, 502, "box_paused",
                             "The box was paused or moved while this request was open; the next request "
                             "wakes it.",
                             0);
}

/* The command of a process box has ended, and with it its connections. */
static bool has_ended(const exchange_t *ex, const store_box_t *now)
{
    return ex->box.provider == PROVIDER_PROCESS && ex->box.pid != 0 && now->pid != ex->box.pid &&
           now->state != BOX_GONE;
}

/* The box of an exchange has changed. */
static void box_changed(exchange_t *ex, const store_box_t *now, uint64_t epoch)
{
    bool gone = now->state == BOX_GONE;
    switch (ex->state) {
    case EXCHANGE_ORIGIN:
        if (!begin_again(ex, now, epoch))
            answer(ex, now);
        break;
    case EXCHANGE_RESPONSE:
        if (ex->origin_ops != NULL && (gone || !same_address(&ex->box, now)))
            answer(ex, now);
        break;
    case EXCHANGE_TUNNEL:
        if (gone)
            tunnel_end(ex, "box_gone", CLOSE_GOING_AWAY, STR("the box was removed"));
        else if (ex->box.pid != 0 && now->pid != ex->box.pid) /* its sockets ended with its process */
            tunnel_end(ex, "box_paused", CLOSE_GOING_AWAY, STR("the box was stopped"));
        else if (!same_address(&ex->box, now))
            tunnel_end(ex, "box_paused", CLOSE_SERVICE_RESTART, STR("the box was stopped or moved"));
        break;
    default:
        break; /* the exchange is over */
    }
}

/* Whether the box sleeps in place, as far as known: it reads its sockets when it continues. A stopped box has
 * no sockets. */
static bool is_frozen(const active_box_t *box, const store_box_t *now)
{
    return now->state == BOX_PAUSED && now->pid == box->pid &&
           memcmp(&now->address, &box->address, sizeof(now->address)) == 0;
}

static void look_at(activity_t *activity, active_box_t *box, uint64_t epoch)
{
    store_box_t now;
    if (!read_box(activity, str_from(box->id), &now)) {
        activity->epoch = ~epoch; /* the next check in LOOK_MS repeats the lookup */
        return;
    }
    if (now.generation == box->generation && now.state == box->state)
        return;
    bool frozen = box->state == BOX_RUNNING && is_frozen(box, &now);
    box->state = now.state;
    box->generation = now.generation;
    box->address = now.address;
    box->pid = now.pid;
    if (now.state == BOX_RUNNING)
        box->wake_until_ms = 0; /* it is awake; a later sleep is another matter */
    origin_pool_drop(activity->worker->context.origins, str_from(box->id), now.generation);
    http2_origins_drop(activity->worker->context.http2_origins, str_from(box->id), now.generation);
    for (list_t *at = box->entries.next, *next; at != &box->entries; at = next) {
        next = at->next; /* exchanges end at the end of a turn only, so the next one stays */
        exchange_t *ex = CONTAINER_OF(activity_entry_t, link, at)->ex;
        /* After a crash, the closed connection and the log explain more than a pause would. */
        if (ex->state == EXCHANGE_ORIGIN && (has_ended(ex, &now) || refused_waits(ex)))
            continue;
        if (now.state != BOX_RUNNING || now.generation != ex->box.generation)
            box_changed(ex, &now, epoch);
    }
    if (frozen && box->client_ms != 0 && activity->now_ms - box->client_ms < UNTAKEN_MS)
        activity_want_wake(activity, box);
}

/* Queues all boxes for lookup if the store changed, on average at most LOOKS_A_MS of them per ms. */
static void begin_looks(activity_t *activity)
{
    uint64_t wait = activity->changed ? activity->count / LOOKS_A_MS : LOOK_MS;
    if (activity->now_ms - activity->looked_ms < (wait < LOOK_MS ? wait : LOOK_MS))
        return;
    /* Read before the store, so that the next check sees a change made meanwhile. */
    uint64_t epoch = atomic_load_explicit(shm_epoch(activity->worker->context.shm), memory_order_acquire);
    activity->looked_ms = activity->now_ms;
    if (epoch == activity->epoch && !activity->changed)
        return;
    activity->epoch = activity->look_epoch = epoch;
    activity->changed = false;
    list_insert_all(&activity->unlooked, &activity->looked);
}

static void nothing(loop_task_t *task)
{
    (void)task;
}

void activity_look(activity_t *activity)
{
    begin_looks(activity);
    for (unsigned n = 0; n < ACTIVITY_LOOKS_A_TURN && !list_is_empty(&activity->unlooked); n++) {
        active_box_t *box = CONTAINER_OF(active_box_t, look, activity->unlooked.next);
        list_unlink(&box->look);
        list_insert(&activity->looked, &box->look);
        look_at(activity, box, activity->look_epoch);
    }
    if (!list_is_empty(&activity->unlooked))
        loop_defer_next(activity->worker->context.loop, &activity->look_on, nothing);
}

bool activity_still_there(exchange_t *ex)
{
    activity_t *activity = worker_of(ex->context)->activity;
    store_box_t now;
    if (ex->activity == NULL)
        return true;
    uint64_t epoch = atomic_load_explicit(shm_epoch(ex->context->shm), memory_order_acquire);
    if (epoch == ex->box_epoch)
        return true;
    if (!read_box(activity, str_from(ex->box.id), &now)) {
        exchange_reply_error(ex, 503, "store_unavailable", "The edge cannot read its store right now.", 5);
        return false;
    }
    if (!exchange_still_allowed(
            ex)) /* its preview may have ended with its box, whose address is another's then */
        return false;
    if (now.state == BOX_RUNNING && now.generation == ex->box.generation && !now.doubted) {
        ex->box_epoch = epoch;
        return true;
    }
    box_changed(ex, &now, epoch);
    return false;
}
