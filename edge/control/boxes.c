/*
 * Turns reports of providers into records: assigns generations and checks addresses. A box belongs to the
 * provider that reported it first, as long as that provider has it.
 */
#include "boxes.h"

#include <assert.h>
#include <stdlib.h>

#include "address.h"
#include "boxes_internal.h"
#include "list.h"
#include "process_log.h"
#include "record.h"

/* Delay before the previews of a gone box are deleted: a container that is made again keeps them, and a brief
 * error of a control plane costs no preview. */
#define GONE_MS (5 * 60 * 1000)

/* A box that begins to run settles this long after the last of its probes ends, whose verdict then counts. */
#define SETTLE_MORE_MS 1000

/* ---- the table ---- */

static box_entry_t *find(const boxes_t *boxes, str_t id)
{
    return name_map_find(&boxes->by_id, id);
}

/* NULL if BOXES_MAX exist. */
static box_entry_t *add(boxes_t *boxes, const char *id)
{
    if (boxes->by_id.count == BOXES_MAX) {
        if (!boxes->full_logged)
            process_log(LOG_BOXES_TOO_MANY, "controller",
                        "there are more than %d boxes: %s and others are left out", BOXES_MAX, id);
        boxes->full_logged = true;
        return NULL;
    }
    box_entry_t *entry = calloc(1, sizeof(*entry));
    assert(entry != NULL);
    entry->boxes = boxes;
    entry->missing = true;
    memcpy(entry->box.id, id, strlen(id) + 1);
    memcpy(entry->stored.id, id, strlen(id) + 1);
    name_map_add(&boxes->by_id, entry);
    return entry;
}

static void free_entry(void *item)
{
    box_entry_t *entry = item;
    loop_timer_stop(&entry->retry);
    loop_timer_stop(&entry->gone);
    assert(!entry->writing);
    boxes_leave_endpoint(entry);
    while (entry->after != NULL) {
        box_after_t *after = entry->after;
        entry->after = after->next;
        free(after);
    }
    free(entry);
}

static void on_gone_long(loop_timer_t *timer);

static int by_generation(const void *a, const void *b)
{
    const box_entry_t *x = *(box_entry_t *const *)a, *y = *(box_entry_t *const *)b;
    return (x->box.generation > y->box.generation) - (x->box.generation < y->box.generation);
}

/* Boxes that ran before join their endpoints in the order of their generations. */
static void join_endpoints(box_entry_t **entries, size_t count)
{
    qsort(entries, count, sizeof(*entries), by_generation);
    for (size_t i = 0; i < count; i++)
        boxes_join_endpoint(entries[i]);
}

boxes_t *boxes_new(loop_t *loop, const conf_t *conf, store_thread_t *store, worker_links_t *worker_links,
                   const store_box_t *known, size_t count, uint64_t now_us)
{
    boxes_t *boxes = calloc(1, sizeof(*boxes));
    assert(boxes != NULL);
    *boxes = (boxes_t){
        .loop = loop,
        .conf = conf_acquire(conf),
        .store = store,
        .worker_links = worker_links,
        .by_id = NAME_MAP(box_entry_t, box.id),
        .by_endpoint = boxes_no_endpoints(),
        .by_host = boxes_no_hosts(),
        .last_generation = now_us,
    };
    boxes->results_end = &boxes->results;
    box_entry_t **running = calloc(count + 1, sizeof(*running));
    size_t running_count = 0;
    assert(running != NULL);
    for (size_t i = 0; i < count; i++) {
        if (known[i].generation > boxes->last_generation)
            boxes->last_generation = known[i].generation;
        box_entry_t *entry = known[i].provider != PROVIDER_STATIC ? add(boxes, known[i].id) : NULL;
        if (entry == NULL)
            continue;
        entry->box = entry->stored = known[i];
        entry->missing = false;
        if (entry->box.state == BOX_GONE) /* the previous controller did not finish its delay */
            loop_timer_start(loop, &entry->gone, GONE_MS, on_gone_long);
        if (entry->box.state == BOX_RUNNING && entry->box.provider != PROVIDER_PROCESS)
            running[running_count++] = entry;
    }
    join_endpoints(running, running_count);
    free(running);
    return boxes;
}

static box_result_t *pop_result(boxes_t *boxes)
{
    box_result_t *first = boxes->results;
    boxes->results = first->next;
    if (boxes->results == NULL)
        boxes->results_end = &boxes->results;
    return first;
}

void boxes_free(boxes_t **boxes)
{
    boxes_t *b = *boxes;
    *boxes = NULL;
    if (b == NULL)
        return;
    while (b->results != NULL)
        free(pop_result(b));
    name_map_clear(&b->by_id, free_entry);
    conf_release(&b->conf);
    free(b);
}

void boxes_stop(boxes_t *boxes)
{
    boxes->stopping = true;
    loop_undefer(&boxes->nudge);
    loop_undefer(&boxes->notify);
}

void boxes_subscribe(boxes_t *boxes, const boxes_handlers_t *handlers, void *owner)
{
    assert(boxes->listener_count < BOXES_LISTENERS_MAX);
    boxes->listeners[boxes->listener_count++] = (boxes_subscriber_t){handlers, owner};
}

static bool untake_one(void *item, void *arg)
{
    box_entry_t *entry = item;
    (void)arg;
    entry->taken = false;
    return true;
}

void boxes_set_conf(boxes_t *boxes, const conf_t *conf)
{
    name_map_each(&boxes->by_id, untake_one, NULL);
    for (size_t i = 0; i < conf->box_count; i++) {
        box_entry_t *entry = find(boxes, str_from(conf->boxes[i].id));
        if (entry != NULL)
            entry->taken = entry->missing = true; /* a later report writes it again */
    }
    conf_release(&boxes->conf);
    boxes->conf = conf_acquire(conf);
    for (size_t i = 0; i < PROVIDER_KINDS; i++)
        if (boxes->providers[i] != NULL)
            boxes->providers[i]->set_conf(boxes->providers[i], boxes->conf);
}

const store_box_t *boxes_find(const boxes_t *boxes, str_t id)
{
    const box_entry_t *entry = find(boxes, id);
    return entry != NULL ? &entry->box : NULL;
}

uint64_t boxes_reported_ms(const boxes_t *boxes, str_t id)
{
    const box_entry_t *entry = find(boxes, id);
    return entry != NULL ? entry->reported_ms : 0;
}

const store_box_t *boxes_recorded(const boxes_t *boxes, str_t id)
{
    const box_entry_t *entry = find(boxes, id);
    return entry != NULL && !entry->missing ? &entry->stored : NULL;
}

typedef struct walk {
    bool (*each)(const store_box_t *, void *);
    void *arg;
} walk_t;

static bool walk_one(void *item, void *arg)
{
    const walk_t *walk = arg;
    const box_entry_t *entry = item;
    return walk->each(&entry->box, walk->arg);
}

void boxes_each(const boxes_t *boxes, bool (*each)(const store_box_t *, void *), void *arg)
{
    walk_t walk = {each, arg};
    name_map_each(&boxes->by_id, walk_one, &walk);
}

/* ---- reports of providers ---- */

static bool is_static(const boxes_t *boxes, const char *id)
{
    for (size_t i = 0; i < boxes->conf->box_count; i++)
        if (strcmp(boxes->conf->boxes[i].id, id) == 0)
            return true;
    return false;
}

static bool same_endpoint(const store_box_t *a, const store_box_t *b)
{
    return a->fixed_port == b->fixed_port && memcmp(&a->address, &b->address, sizeof(a->address)) == 0 &&
           (a->pid == 0 || b->pid == 0 || a->pid == b->pid);
}

/* The record that follows from a report and the previous record. */
static store_box_t make_box(boxes_t *boxes, const box_entry_t *entry, box_provider_t kind,
                            const provider_box_t *report)
{
    const store_box_t *old = &entry->box;
    store_box_t box = {.state = BOX_UNKNOWN};
    memcpy(box.id, old->id, sizeof(box.id));
    box.state = report->state == BOX_RUNNING && entry->refusal != NULL ? BOX_PAUSED : report->state;
    box.address = report->address;
    box.fixed_port = report->fixed_port;
    box.provider = kind;
    box.keep_alive = report->keep_alive;
    box.ephemeral = report->ephemeral;
    box.expires_at = report->expires_at;
    box.idle_ms = report->idle_ms;
    box.start_ms = report->start_ms;
    box.pid = report->pid;
    box.port_count = report->port_count;
    memcpy(box.ports, report->ports, sizeof(box.ports));
    bool fresh =
        report->renewed || box.state != old->state || !same_endpoint(&box, old) || old->provider != kind;
    box.generation = fresh ? ++boxes->last_generation : old->generation;
    if (!fresh) {
        box.settles_at_ms = old->settles_at_ms;
        memcpy(box.listening, old->listening, sizeof(box.listening));
        box.listening_count = old->listening_count;
    } else if (box.state == BOX_RUNNING) {
        box.settles_at_ms =
            loop_now(boxes->loop) + store_box_start_ms(&box, boxes->conf->wake.timeout) + SETTLE_MORE_MS;
    }
    return box;
}

static void on_gone_long(loop_timer_t *timer)
{
    box_entry_t *entry = CONTAINER_OF(box_entry_t, gone, timer);
    if (entry->box.state == BOX_UNKNOWN || entry->taken)
        boxes_remove(entry); /* no provider reported it, or the configuration has it now */
    else
        boxes_forget(entry);
}

void boxes_remove(box_entry_t *entry)
{
    boxes_t *boxes = entry->boxes;
    if (entry->writing || entry->after != NULL || entry->changes != entry->written) {
        loop_timer_start(boxes->loop, &entry->gone, GONE_MS, on_gone_long);
        return;
    }
    name_map_remove(&boxes->by_id, entry);
    free_entry(entry);
}

/* Compares records: the structs have padding. */
static bool is_same(const store_box_t *a, const store_box_t *b)
{
    char one[RECORD_BOX_BYTES], other[RECORD_BOX_BYTES];
    record_encode_box(a, one);
    record_encode_box(b, other);
    return memcmp(one, other, sizeof(one)) == 0;
}

/* Updates the box from a report. */
static void take(box_entry_t *entry, box_provider_t kind, const provider_box_t *report)
{
    boxes_t *boxes = entry->boxes;
    const char *refusal = boxes_refusal(boxes, kind, report);
    char text[INET6_ADDRSTRLEN];
    if (refusal != NULL && entry->refusal == NULL)
        process_log(LOG_BOX_REFUSED, "controller", "box %s at %.*s is not used: %s", report->id,
                    STR_ARG(address_text(&report->address, text)), refusal);
    entry->refusal = refusal;
    uint64_t reported_us = report->requested_us != 0 ? report->requested_us : loop_wall_us(boxes->loop);
    entry->reported_ms = reported_us / 1000;
    store_box_t box = make_box(boxes, entry, kind, report);
    /* A doubt from the future was made before the clock was set back: it ends with the report. */
    bool is_newer = reported_us < entry->doubted_us && entry->doubted_us <= loop_wall_us(boxes->loop);
    box.doubted = box.state == BOX_RUNNING && entry->box.doubted && is_newer;
    if (!entry->missing && is_same(&box, &entry->box))
        return;
    bool was_gone = entry->box.state == BOX_GONE;
    entry->box = box;
    if (box.state != BOX_GONE)
        loop_timer_stop(&entry->gone);
    else if (!was_gone)
        loop_timer_start(boxes->loop, &entry->gone, GONE_MS, on_gone_long);
    boxes_join_endpoint(
        entry); /* first: the doubts about other boxes at the address are written before this box */
    boxes_changed(entry);
}

static bool report_is_valid(const provider_box_t *report)
{
    return box_id_valid(str_from(report->id)) && report->port_count <= STORE_BOX_PORTS_MAX &&
           (report->state == BOX_RUNNING || report->state == BOX_PAUSED || report->state == BOX_GONE);
}

static void take_report(boxes_t *boxes, box_provider_t kind, const provider_box_t *report)
{
    if (!report_is_valid(report) || is_static(boxes, report->id))
        return;
    box_entry_t *entry = find(boxes, str_from(report->id));
    if (entry == NULL)
        entry = add(boxes, report->id);
    if (entry == NULL)
        return;
    bool taken = entry->box.state != BOX_UNKNOWN && entry->box.state != BOX_GONE &&
                 entry->box.provider != kind && boxes->providers[entry->box.provider] != NULL;
    if (taken)
        return; /* the box belongs to another provider */
    entry->sync = boxes->sync[kind];
    take(entry, kind, report);
    boxes_reported(entry);
}

static void on_box(void *owner, provider_t *provider, const provider_box_t *report)
{
    take_report(owner, provider->kind, report);
}

static void on_sync_began(void *owner, provider_t *provider)
{
    boxes_t *boxes = owner;
    boxes->sync[provider->kind]++;
}

typedef struct leavers {
    boxes_t *boxes;
    box_provider_t kind;
    bool all;
} leavers_t;

static bool leave_one(void *item, void *arg)
{
    const leavers_t *leavers = arg;
    box_entry_t *entry = item;
    if (entry->box.provider != leavers->kind || entry->box.state == BOX_GONE ||
        (!leavers->all && entry->sync == leavers->boxes->sync[leavers->kind]))
        return true;
    provider_box_t gone = {.state = BOX_GONE};
    memcpy(gone.id, entry->box.id, sizeof(gone.id));
    take(entry, leavers->kind, &gone);
    return true;
}

static void on_sync_ended(void *owner, provider_t *provider)
{
    leavers_t leavers = {owner, provider->kind, false};
    name_map_each(&leavers.boxes->by_id, leave_one, &leavers);
}

/* ---- calls to providers ---- */

static void announce_resumed(boxes_t *boxes, str_t id, provider_result_t result, const char *sentence)
{
    for (size_t i = 0; i < boxes->listener_count; i++)
        if (boxes->listeners[i].handlers->resumed != NULL)
            boxes->listeners[i].handlers->resumed(boxes->listeners[i].owner, id, result, sentence);
}

static void notify_resumed(box_entry_t *entry, box_after_t *after)
{
    announce_resumed(entry->boxes, str_from(entry->box.id), after->result, after->sentence);
}

static void notify_results(loop_task_t *task)
{
    boxes_t *boxes = CONTAINER_OF(boxes_t, notify, task);
    while (boxes->results != NULL && !boxes->stopping) {
        box_result_t *first = pop_result(boxes);
        announce_resumed(boxes, str_from(first->id), first->result, first->sentence);
        free(first);
    }
}

/* Notifies at the end of the turn: the caller is not done yet, and may be walking over the boxes. */
static void resumed_soon(boxes_t *boxes, str_t id, provider_result_t result, const char *sentence)
{
    box_result_t *results = calloc(1, sizeof(*results));
    assert(results != NULL && id.n <= BOX_ID_MAX);
    results->result = result;
    memcpy(results->id, id.p, id.n);
    snprintf(results->sentence, sizeof(results->sentence), "%s", sentence != NULL ? sentence : "");
    *boxes->results_end = results;
    boxes->results_end = &results->next;
    loop_defer(boxes->loop, &boxes->notify, notify_results);
}

/* Notifies once the store has the provider's last report. */
static void resumed(box_entry_t *entry, provider_result_t result, const char *sentence)
{
    if (entry->box.state == BOX_UNKNOWN) {
        resumed_soon(entry->boxes, str_from(entry->box.id), result, sentence);
        return;
    }
    box_after_t *after = calloc(1, sizeof(*after));
    assert(after != NULL);
    after->run = notify_resumed;
    after->result = result;
    snprintf(after->sentence, sizeof(after->sentence), "%s", sentence != NULL ? sentence : "");
    boxes_after(entry, after);
}

static void on_resumed(void *owner, provider_t *provider, str_t id, provider_result_t result,
                       const char *sentence)
{
    (void)provider;
    box_entry_t *entry = find(owner, id);
    if (entry == NULL || entry->boxes->stopping)
        return;
    entry->resuming_provider = NULL;
    if (result == PROVIDER_OK && entry->refusal != NULL)
        resumed(entry, PROVIDER_FAILED, entry->refusal);
    else
        resumed(entry, result, sentence);
}

/* Its provider is removed and will not answer. */
static bool give_up_one(void *item, void *arg)
{
    box_entry_t *entry = item;
    if (entry->resuming_provider != arg)
        return true;
    entry->resuming_provider = NULL;
    resumed(entry, PROVIDER_GONE, NULL);
    return true;
}

void boxes_set_provider(boxes_t *boxes, box_provider_t kind, provider_t *provider)
{
    assert(kind != PROVIDER_STATIC && kind < PROVIDER_KINDS);
    provider_t *before = boxes->providers[kind];
    boxes->providers[kind] = provider;
    if (provider != NULL || before == NULL)
        return;
    leavers_t leavers = {boxes, kind, true};
    name_map_each(&boxes->by_id, leave_one, &leavers);
    name_map_each(&boxes->by_id, give_up_one, before);
}

const provider_handlers_t boxes_provider_handlers = {
    .box = on_box, .sync_began = on_sync_began, .sync_ended = on_sync_ended, .resumed = on_resumed};

/* The provider to ask about a box, or NULL. */
static provider_t *provider_of(const boxes_t *boxes, const box_entry_t *entry)
{
    if (entry == NULL || entry->box.state == BOX_UNKNOWN || entry->box.state == BOX_GONE)
        return boxes->providers[PROVIDER_HTTP];
    return boxes->providers[entry->box.provider];
}

provider_t *boxes_provider(const boxes_t *boxes, str_t id)
{
    const box_entry_t *entry = find(boxes, id);
    bool known = entry != NULL && entry->box.state != BOX_UNKNOWN && entry->box.state != BOX_GONE;
    return known ? boxes->providers[entry->box.provider] : NULL;
}

void boxes_request_resume(boxes_t *boxes, str_t id)
{
    char name[BOX_ID_MAX + 1];
    assert(id.n <= BOX_ID_MAX);
    memcpy(name, id.p, id.n);
    name[id.n] = '\0';
    box_entry_t *entry = find(boxes, id);
    provider_t *provider = provider_of(boxes, entry);
    if (entry == NULL && (entry = add(boxes, name)) != NULL)
        loop_timer_start(boxes->loop, &entry->gone, GONE_MS,
                         on_gone_long); /* stopped by the first report that is not "gone" */
    if (entry == NULL) {
        resumed_soon(boxes, id, PROVIDER_UNAVAILABLE, "This edge has too many boxes already.");
        return;
    }
    if (provider != NULL) {
        entry->resuming_provider = provider;
        provider->resume(provider, str_from(entry->box.id));
        return;
    }
    provider_box_t gone = {.state = BOX_GONE};
    memcpy(gone.id, name, sizeof(gone.id));
    take(entry, PROVIDER_HTTP, &gone);
    resumed(entry, PROVIDER_GONE, NULL);
}

void boxes_request_pause(boxes_t *boxes, str_t id)
{
    const box_entry_t *entry = find(boxes, id);
    provider_t *provider = provider_of(boxes, entry);
    if (entry != NULL && provider != NULL && provider->kind == entry->box.provider && !entry->box.keep_alive)
        provider->pause(provider, id);
}

void boxes_request_report(boxes_t *boxes, str_t id)
{
    const box_entry_t *entry = find(boxes, id);
    provider_t *provider = provider_of(boxes, entry);
    if (provider != NULL)
        provider->look(provider, id);
}

void boxes_active(boxes_t *boxes, str_t ids)
{
    provider_t *provider = boxes->providers[PROVIDER_HTTP];
    if (provider == NULL || ids.n == 0)
        return;
    char *its = malloc(ids.n); /* only boxes of this provider */
    assert(its != NULL);
    size_t n = 0;
    while (ids.n > 0) {
        const char *end = memchr(ids.p, '\n', ids.n);
        str_t id = str_make(ids.p, end != NULL ? (size_t)(end - ids.p) : ids.n);
        const box_entry_t *entry = find(boxes, id);
        size_t line = end != NULL ? id.n + 1 : id.n;
        if (entry != NULL && entry->box.provider == PROVIDER_HTTP && entry->box.state == BOX_RUNNING) {
            memcpy(its + n, ids.p, line);
            n += line;
        }
        ids = str_from_offset(ids, line);
    }
    if (n > 0)
        provider->activity(provider, str_make(its, n));
    free(its);
}

static void notify_recorded(box_entry_t *entry, box_after_t *after)
{
    (void)entry;
    after->done(after->arg);
}

void boxes_when_recorded(boxes_t *boxes, str_t id, void (*done)(void *arg), void *arg)
{
    box_entry_t *entry = find(boxes, id);
    assert(entry != NULL && entry->box.state != BOX_UNKNOWN);
    box_after_t *after = calloc(1, sizeof(*after));
    assert(after != NULL);
    after->run = notify_recorded;
    after->done = done;
    after->arg = arg;
    boxes_after(entry, after);
}

static void note_listening(store_box_t *box, uint16_t port)
{
    if (!store_box_listens(box, port) && box->listening_count < STORE_BOX_PORTS_MAX)
        box->listening[box->listening_count++] = port;
}

void boxes_set_listening(boxes_t *boxes, str_t id, uint64_t generation, uint16_t port, uint64_t settles_at_ms,
                         void (*done)(void *arg), void *arg)
{
    box_entry_t *entry = find(boxes, id);
    assert(entry != NULL);
    if (entry->box.generation == generation && entry->box.state == BOX_RUNNING) {
        if (port != 0)
            note_listening(&entry->box, port);
        if (settles_at_ms != 0)
            entry->box.settles_at_ms = settles_at_ms;
        boxes_changed(entry);
    }
    if (done != NULL)
        boxes_when_recorded(boxes, id, done, arg);
}
