/*
 * Writes boxes to the store: one write of a box at a time, each with the state at its start. A box that flaps
 * costs no more than the disk can do.
 */
#include <assert.h>
#include <stdlib.h>

#include "boxes_internal.h"
#include "list.h"
#include "process.h"
#include "process_log.h"

/* Delay before a write is retried: of the first failure, which doubles, and of later ones. */
#define RETRY_MS      50
#define RETRY_MOST_MS 1000
/* Delay before deleting a gone box is retried. */
#define FORGET_RETRY_MS 1000

static void begin_write(box_entry_t *entry);

static void on_retry(loop_timer_t *timer)
{
    begin_write(CONTAINER_OF(box_entry_t, retry, timer));
}

static void run_after(box_entry_t *entry)
{
    while (entry->after != NULL && entry->after->change <= entry->written) {
        box_after_t *after = entry->after;
        entry->after = after->next;
        after->run(entry, after);
        free(after);
    }
}

/* Once a turn for all boxes that changed in it. */
static void nudge_workers(loop_task_t *task)
{
    boxes_t *boxes = CONTAINER_OF(boxes_t, nudge, task);
    worker_links_notify_all(boxes->worker_links, PROCESS_BOXES, 0, STR(""));
}

static void announce(box_entry_t *entry, const store_box_t *old)
{
    boxes_t *boxes = entry->boxes;
    loop_defer(boxes->loop, &boxes->nudge, nudge_workers);
    for (size_t i = 0; i < boxes->listener_count; i++)
        if (boxes->listeners[i].handlers->changed != NULL)
            boxes->listeners[i].handlers->changed(boxes->listeners[i].owner, &entry->stored, old);
}

void boxes_reported(const box_entry_t *entry)
{
    const boxes_t *boxes = entry->boxes;
    for (size_t i = 0; i < boxes->listener_count && !boxes->stopping; i++)
        if (boxes->listeners[i].handlers->reported != NULL)
            boxes->listeners[i].handlers->reported(boxes->listeners[i].owner, str_from(entry->box.id));
}

static void on_written(store_job_t *job)
{
    box_entry_t *entry = CONTAINER_OF(box_entry_t, job, job);
    entry->writing = false;
    if (entry->boxes->stopping)
        return;
    if (entry->job_result != STORE_OK) {
        entry->retry_ms = entry->retry_ms == 0 ? RETRY_MS : entry->retry_ms * 2;
        entry->retry_ms = entry->retry_ms < RETRY_MOST_MS ? entry->retry_ms : RETRY_MOST_MS;
        loop_timer_start(entry->boxes->loop, &entry->retry, entry->retry_ms, on_retry);
        return;
    }
    entry->retry_ms = 0;
    store_box_t old = entry->stored;
    entry->stored = entry->job_box;
    entry->written = entry->job_change;
    entry->missing = entry->taken;
    announce(entry, &old);
    run_after(entry);
    if (entry->written < entry->changes)
        begin_write(entry);
}

static void run_write(store_job_t *job, store_t *store)
{
    box_entry_t *entry = CONTAINER_OF(box_entry_t, job, job);
    entry->job_result = entry->job_skip ? STORE_OK : store_put_box(store, &entry->job_box);
    job->changed = entry->job_result == STORE_OK && !entry->job_skip;
    if (entry->job_result != STORE_OK && !store_in_trouble(store))
        process_log(LOG_STORE_CHANGE_FAILED, "controller", "the state of box %s cannot be recorded: %s",
                    entry->job_box.id, store_error(store));
}

static void begin_write(box_entry_t *entry)
{
    loop_timer_stop(&entry->retry);
    if (entry->writing || entry->boxes->stopping)
        return;
    entry->job = (store_job_t){.run = run_write, .done = on_written};
    entry->job_box = entry->box;
    entry->job_change = entry->changes;
    entry->job_skip = entry->taken;
    entry->writing = store_thread_add(entry->boxes->store, &entry->job);
    if (!entry->writing)
        loop_timer_start(entry->boxes->loop, &entry->retry, RETRY_MS, on_retry);
}

void boxes_changed(box_entry_t *entry)
{
    entry->changes++;
    begin_write(entry);
}

void boxes_after(box_entry_t *entry, box_after_t *after)
{
    box_after_t **end = &entry->after;
    while (*end != NULL)
        end = &(*end)->next;
    after->next = NULL;
    assert(entry->box.state != BOX_UNKNOWN); /* an unknown box has no record */
    *end = after;
    if (entry->written == entry->changes && !entry->missing)
        entry->changes++; /* forces a write of the same record, so that the callback comes from the loop */
    after->change = entry->changes;
    begin_write(entry);
}

/* ---- boxes that are gone ---- */

/* Deletes the previews and the record of one box. */
typedef struct forget_job {
    store_job_t job;
    box_entry_t *entry;
    char id[BOX_ID_MAX + 1];
    size_t count;
    store_change_t changes[64];
} forget_job_t;

static bool collect(const store_preview_t *preview, void *arg)
{
    forget_job_t *forget = arg;
    forget->changes[forget->count++] = (store_change_t){.remove = true, .preview = *preview};
    return forget->count < sizeof(forget->changes) / sizeof(forget->changes[0]);
}

static void run_forget(store_job_t *job, store_t *store)
{
    forget_job_t *forget = CONTAINER_OF(forget_job_t, job, job);
    store_result_t result;
    do {
        forget->count = 0;
        result = store_each_preview_from(store, str_from(forget->id), 0, true, collect, forget);
        if (result == STORE_OK && forget->count > 0)
            result = store_apply(store, forget->changes, forget->count);
        job->changed |= result == STORE_OK && forget->count > 0;
    } while (result == STORE_OK && forget->count > 0);
    if (result == STORE_OK || result == STORE_NOT_FOUND)
        result = store_delete_box(store, str_from(forget->id));
    if (result != STORE_OK && result != STORE_NOT_FOUND && !store_in_trouble(store))
        process_log(LOG_STORE_CHANGE_FAILED, "controller",
                    "the remains of the deleted box %s cannot be removed: %s", forget->id,
                    store_error(store));
}

static void forget_done(store_job_t *job)
{
    forget_job_t *forget = CONTAINER_OF(forget_job_t, job, job);
    box_entry_t *entry = forget->entry;
    entry->writing = false;
    if (!entry->boxes->stopping && entry->box.state == BOX_GONE)
        boxes_remove(entry);
    else if (!entry->boxes->stopping)
        begin_write(entry); /* it came back meanwhile */
    free(forget);
}

static void on_forget_again(loop_timer_t *timer)
{
    box_entry_t *entry = CONTAINER_OF(box_entry_t, gone, timer);
    if (entry->box.state == BOX_GONE && !entry->taken)
        boxes_forget(entry);
}

void boxes_forget(box_entry_t *entry)
{
    if (entry->writing) { /* a write is under way */
        loop_timer_start(entry->boxes->loop, &entry->gone, FORGET_RETRY_MS, on_forget_again);
        return;
    }
    forget_job_t *forget = calloc(1, sizeof(*forget));
    assert(forget != NULL);
    *forget = (forget_job_t){.job = {.run = run_forget, .done = forget_done}, .entry = entry};
    memcpy(forget->id, entry->box.id, sizeof(forget->id));
    if (!store_thread_add(entry->boxes->store, &forget->job)) {
        free(forget);
        loop_timer_start(entry->boxes->loop, &entry->gone, FORGET_RETRY_MS, on_forget_again);
        return;
    }
    entry->writing = true;
    process_log(LOG_BOX_GONE, "controller", "box %s does not come back: its previews are deleted",
                entry->box.id);
}

void boxes_forget_gone(boxes_t *boxes, str_t id)
{
    box_entry_t *entry = name_map_find(&boxes->by_id, id);
    if (entry == NULL || entry->box.state != BOX_GONE || entry->taken)
        return;
    loop_timer_stop(&entry->gone);
    boxes_forget(entry);
}
