#include "uses_internal.h"

#include <assert.h>
#include <stdlib.h>

#include "fnv.h"
#include "list.h"
#include "wake.h"
#include "wake_tabs.h"
#include "worker.h"

/* How often the controller is told what is active. */
#define REPORT_MS 1000

/* ---- the table ---- */

/* Ids are checked names, few of which are in use: nobody gains by collisions. */
static uint64_t hash_id(str_t id)
{
    return fnv_end(fnv_text(FNV_START, id));
}

static box_use_t *find(const uses_t *uses, str_t id, uint64_t hash)
{
    for (box_use_t *box = uses->buckets[hash % USES_BUCKETS]; box != NULL; box = box->next)
        if (box->hash == hash && str_eq(str_from(box->id), id))
            return box;
    return NULL;
}

static box_use_t *add(uses_t *uses, const store_box_t *from, uint64_t hash)
{
    box_use_t *box = calloc(1, sizeof(*box));
    assert(box != NULL);
    memcpy(box->id, from->id, sizeof(box->id));
    box->hash = hash;
    box->state = from->state;
    box->generation = from->generation;
    box->address = from->address;
    box->pid = from->pid;
    list_init(&box->uses);
    box_use_t **chain = &uses->buckets[hash % USES_BUCKETS];
    box->next = *chain;
    box->prev_next = chain;
    if (box->next != NULL)
        box->next->prev_next = &box->next;
    *chain = box;
    list_insert(&uses->looked, &box->look); /* its record was read in this turn */
    uses->count++;
    return box;
}

void uses_forget(uses_t *uses, box_use_t **boxp)
{
    box_use_t *box = *boxp;
    *boxp = NULL;
    assert(list_is_empty(&box->uses));
    *box->prev_next = box->next;
    if (box->next != NULL)
        box->next->prev_next = box->prev_next;
    list_unlink(&box->link);
    list_unlink(&box->look);
    if (list_is_linked(&box->urgent))
        list_unlink(&box->urgent);
    uses->count--;
    uses->resting_count--;
    free(box);
}

static void forget_oldest(uses_t *uses)
{
    box_use_t *oldest = CONTAINER_OF(box_use_t, link, uses->resting.next);
    uses_forget(uses, &oldest);
}

uses_t *uses_new(worker_t *worker, store_t *store)
{
    uses_t *uses = calloc(1, sizeof(*uses));
    assert(uses != NULL);
    uses->worker = worker;
    uses->store = store;
    uses->now_ms = uses->second_ms = uses->looked_ms = loop_now(worker->context.loop);
    uses->epoch = atomic_load(shm_epoch(worker->context.shm));
    list_init(&uses->used);
    list_init(&uses->resting);
    list_init(&uses->urgent);
    list_init(&uses->looked);
    list_init(&uses->unlooked);
    return uses;
}

void uses_free(uses_t **uses)
{
    if (*uses == NULL)
        return;
    assert(list_is_empty(&(*uses)->used));
    while (!list_is_empty(&(*uses)->resting))
        forget_oldest(*uses);
    loop_undefer(&(*uses)->look_on);
    free(*uses);
    *uses = NULL;
}

void uses_set_channel(uses_t *uses, channel_t *channel)
{
    uses->channel = channel;
    uses->lost = true;
}

void uses_boxes_changed(uses_t *uses)
{
    uses->changed = true;
}

size_t uses_boxes(const uses_t *uses)
{
    return uses->count;
}

void uses_turn(uses_t *uses, uint64_t now_ms)
{
    uses->now_ms = now_ms;
    if (uses->count == 0) {
        uses->second_ms = now_ms;
        uses->lost = false;
        return;
    }
    uses_look(uses);
    if (now_ms - uses->second_ms >= REPORT_MS) {
        uses->second_ms = now_ms;
        uses_report(uses);
    }
    if (!list_is_empty(&uses->urgent))
        uses_report_urgent(uses);
}

/* ---- the use of one exchange ---- */

static bool rests(const box_use_t *box)
{
    return list_is_empty((list_t *)&box->uses);
}

void use_begin(exchange_t *ex)
{
    uses_t *uses = worker_of(ex->context)->uses;
    use_t *use = &ex->use;
    if (ex->box.provider == PROVIDER_STATIC || uses == NULL)
        return;
    assert(use->box == NULL);
    str_t id = str_from(ex->box.id);
    uint64_t hash = hash_id(id);
    box_use_t *box = find(uses, id, hash);
    if (box == NULL) {
        box = add(uses, &ex->box, hash);
        list_insert(&uses->used, &box->link);
    } else if (rests(box)) {
        list_unlink(&box->link);
        uses->resting_count--;
        list_insert(&uses->used, &box->link);
    }
    list_insert(&box->uses, &use->link);
    use->box = box;
    use->idle = !wake_is_wished(ex);
    if (use->idle)
        return;
    wake_tabs_went(ex);
    box->touched = true;
    /* At once, so that the idle clock does not pause it in the second until the next report. */
    if (uses->now_ms - box->told_ms >= REPORT_MS && !list_is_linked(&box->urgent))
        list_insert(&uses->urgent, &box->urgent);
}

bool use_is_current(const exchange_t *ex)
{
    return ex->use.box == NULL || ex->use.box->generation == ex->box.generation;
}

/* text/event-stream, whatever its parameters. */
static bool is_event_stream(const exchange_t *ex)
{
    static const str_t name = {"text/event-stream", 17};
    str_t type = fields_value(&ex->response.fields, FIELD_CONTENT_TYPE);
    return type.n >= name.n && str_ieq(str_make(type.p, name.n), name) &&
           (type.n == name.n || type.p[name.n] == ';' || type.p[name.n] == ' ' || type.p[name.n] == '\t');
}

void use_responds(exchange_t *ex)
{
    use_t *use = &ex->use;
    if (use->box == NULL || !(ex->response.tunnel || is_event_stream(ex)))
        return;
    use->quiet = true;
    quiet_open(&use->clock, worker_of(ex->context)->uses->now_ms);
}

void use_carried(exchange_t *ex, size_t bytes, bool from_client)
{
    uses_t *uses = worker_of(ex->context)->uses;
    use_t *use = &ex->use;
    if (use->box == NULL)
        return;
    if (use->quiet)
        quiet_carry(&use->clock, bytes, uses->now_ms);
    if (!from_client || use->idle)
        return;
    use->box->client_ms = uses->now_ms;
    use->box->wake_port = ex->preview.port;
    if (use->box->state != BOX_RUNNING)
        uses_want_wake(uses, use->box);
}

void use_request_body(exchange_t *ex, str_t data)
{
    if (ex->state == EXCHANGE_RESPONSE)
        use_carried(ex, data.n, true);
}

bool use_response_body(exchange_t *ex, str_t *data)
{
    if (ex->use.quiet && ex->state == EXCHANGE_RESPONSE)
        use_carried(ex, data->n, false);
    return true;
}

void use_end(exchange_t *ex)
{
    uses_t *uses = worker_of(ex->context)->uses;
    box_use_t *box = ex->use.box;
    if (box == NULL)
        return;
    ex->use.box = NULL;
    list_unlink(&ex->use.link);
    box->touched |= !ex->use.idle;
    if (!rests(box))
        return;
    box->rested_ms = uses->now_ms;
    list_unlink(&box->link);
    if (uses->resting_count == USES_RESTING_MAX)
        forget_oldest(uses);
    list_insert(&uses->resting, &box->link);
    uses->resting_count++;
}
