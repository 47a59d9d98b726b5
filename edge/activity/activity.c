#include "activity_internal.h"

#include <assert.h>
#include <stdlib.h>

#include "arena.h"
#include "fnv.h"
#include "list.h"
#include "wake.h"
#include "wake_tabs.h"
#include "worker.h"

/* Interval of reports to the controller. */
#define REPORT_MS 1000

/* ---- the table ---- */

/* Ids are checked names, few of which are in use: collisions need no defence. */
static uint64_t hash_id(str_t id)
{
    return fnv_end(fnv_text(FNV_START, id));
}

static active_box_t *find(const activity_t *activity, str_t id, uint64_t hash)
{
    for (active_box_t *box = activity->buckets[hash % ACTIVITY_BUCKETS]; box != NULL; box = box->next)
        if (box->hash == hash && str_eq(str_from(box->id), id))
            return box;
    return NULL;
}

static active_box_t *add(activity_t *activity, const store_box_t *from, uint64_t hash)
{
    active_box_t *box = calloc(1, sizeof(*box));
    assert(box != NULL);
    memcpy(box->id, from->id, sizeof(box->id));
    box->hash = hash;
    box->state = from->state;
    box->generation = from->generation;
    box->address = from->address;
    box->pid = from->pid;
    list_init(&box->entries);
    active_box_t **chain = &activity->buckets[hash % ACTIVITY_BUCKETS];
    box->next = *chain;
    box->prev_next = chain;
    if (box->next != NULL)
        box->next->prev_next = &box->next;
    *chain = box;
    list_insert(&activity->looked, &box->look); /* its record was read in this turn */
    activity->count++;
    return box;
}

void activity_forget(activity_t *activity, active_box_t **boxp)
{
    active_box_t *box = *boxp;
    *boxp = NULL;
    assert(list_is_empty(&box->entries));
    *box->prev_next = box->next;
    if (box->next != NULL)
        box->next->prev_next = box->prev_next;
    list_unlink(&box->link);
    list_unlink(&box->look);
    if (list_is_linked(&box->urgent))
        list_unlink(&box->urgent);
    activity->count--;
    activity->resting_count--;
    free(box);
}

static void forget_oldest(activity_t *activity)
{
    active_box_t *oldest = CONTAINER_OF(active_box_t, link, activity->resting.next);
    activity_forget(activity, &oldest);
}

activity_t *activity_new(worker_t *worker, store_t *store)
{
    activity_t *activity = calloc(1, sizeof(*activity));
    assert(activity != NULL);
    activity->worker = worker;
    activity->store = store;
    activity->now_ms = activity->second_ms = activity->looked_ms = loop_now(worker->context.loop);
    activity->epoch = atomic_load(shm_epoch(worker->context.shm));
    list_init(&activity->used);
    list_init(&activity->resting);
    list_init(&activity->urgent);
    list_init(&activity->looked);
    list_init(&activity->unlooked);
    return activity;
}

void activity_free(activity_t **activity)
{
    if (*activity == NULL)
        return;
    assert(list_is_empty(&(*activity)->used));
    while (!list_is_empty(&(*activity)->resting))
        forget_oldest(*activity);
    loop_undefer(&(*activity)->look_on);
    free(*activity);
    *activity = NULL;
}

void activity_set_channel(activity_t *activity, channel_t *channel)
{
    activity->channel = channel;
    activity->lost = true;
}

void activity_boxes_changed(activity_t *activity)
{
    activity->changed = true;
}

size_t activity_boxes(const activity_t *activity)
{
    return activity->count;
}

void activity_turn(activity_t *activity, uint64_t now_ms)
{
    activity->now_ms = now_ms;
    if (activity->count == 0) {
        activity->second_ms = now_ms;
        activity->lost = false;
        return;
    }
    activity_look(activity);
    if (now_ms - activity->second_ms >= REPORT_MS) {
        activity->second_ms = now_ms;
        activity_report(activity);
    }
    if (!list_is_empty(&activity->urgent))
        activity_report_urgent(activity);
}

/* ---- the entry of one exchange ---- */

static bool rests(const active_box_t *box)
{
    return list_is_empty((list_t *)&box->entries);
}

void activity_begin(exchange_t *ex)
{
    activity_t *activity = worker_of(ex->context)->activity;
    if (ex->box.provider == PROVIDER_STATIC || activity == NULL)
        return;
    assert(ex->activity == NULL);
    str_t id = str_from(ex->box.id);
    uint64_t hash = hash_id(id);
    active_box_t *box = find(activity, id, hash);
    if (box == NULL) {
        box = add(activity, &ex->box, hash);
        list_insert(&activity->used, &box->link);
    } else if (rests(box)) {
        list_unlink(&box->link);
        activity->resting_count--;
        list_insert(&activity->used, &box->link);
    }
    activity_entry_t *entry = arena_alloc(&ex->arena, sizeof(*entry));
    *entry = (activity_entry_t){.ex = ex, .box = box, .idle = !wake_is_wished(ex)};
    list_insert(&box->entries, &entry->link);
    ex->activity = entry;
    if (entry->idle)
        return;
    wake_tabs_went(ex);
    box->touched = true;
    /* Immediately, so that the idle clock does not pause the box before the next report. */
    if (activity->now_ms - box->reported_ms >= REPORT_MS && !list_is_linked(&box->urgent))
        list_insert(&activity->urgent, &box->urgent);
}

bool activity_is_current(const exchange_t *ex)
{
    return ex->activity == NULL || ex->activity->box->generation == ex->box.generation;
}

/* text/event-stream, with any parameters. */
static bool is_event_stream(const exchange_t *ex)
{
    static const str_t name = {"text/event-stream", 17};
    str_t type = fields_value(&ex->response.fields, FIELD_CONTENT_TYPE);
    return type.n >= name.n && str_ieq(str_make(type.p, name.n), name) &&
           (type.n == name.n || type.p[name.n] == ';' || type.p[name.n] == ' ' || type.p[name.n] == '\t');
}

void activity_responds(exchange_t *ex)
{
    activity_entry_t *entry = ex->activity;
    if (entry == NULL || !(ex->response.tunnel || is_event_stream(ex)))
        return;
    entry->streams = true;
    idle_window_open(&entry->window, worker_of(ex->context)->activity->now_ms);
}

void activity_carried(exchange_t *ex, size_t bytes, bool from_client)
{
    activity_t *activity = worker_of(ex->context)->activity;
    activity_entry_t *entry = ex->activity;
    if (entry == NULL)
        return;
    if (entry->streams)
        idle_window_carry(&entry->window, bytes, activity->now_ms);
    if (!from_client || entry->idle)
        return;
    entry->box->client_ms = activity->now_ms;
    entry->box->wake_port = ex->preview->port;
    if (entry->box->state != BOX_RUNNING)
        activity_want_wake(activity, entry->box);
}

void activity_request_body(exchange_t *ex, str_t data)
{
    if (ex->state == EXCHANGE_RESPONSE)
        activity_carried(ex, data.n, true);
}

bool activity_response_body(exchange_t *ex, str_t *data)
{
    if (ex->activity != NULL && ex->activity->streams && ex->state == EXCHANGE_RESPONSE)
        activity_carried(ex, data->n, false);
    return true;
}

void activity_end(exchange_t *ex)
{
    activity_t *activity = worker_of(ex->context)->activity;
    activity_entry_t *entry = ex->activity;
    if (entry == NULL)
        return;
    active_box_t *box = entry->box;
    ex->activity = NULL;
    list_unlink(&entry->link);
    box->touched |= !entry->idle;
    if (!rests(box))
        return;
    box->rested_ms = activity->now_ms;
    list_unlink(&box->link);
    if (activity->resting_count == ACTIVITY_RESTING_MAX)
        forget_oldest(activity);
    list_insert(&activity->resting, &box->link);
    activity->resting_count++;
}
