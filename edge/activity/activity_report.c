/*
 * A worker's reports to the controller about the boxes that its exchanges use: active ones, silent ones, and
 * those to be woken.
 */
#include "activity_internal.h"

#include <assert.h>

#include "list.h"
#include "process.h"
#include "worker.h"

/* Time without a byte of a request or its answer after which the controller checks the box. */
#define SILENCE_MS 5000
/* Minimum intervals between checks of one box, and between requests to wake it. */
#define LOOK_AGAIN_MS 5000
#define WAKE_AGAIN_MS 1000
/* A box without exchanges is remembered this much longer than its pooled connections. */
#define REST_MS 1000

static bool notify(activity_t *activity, uint32_t type, str_t bytes)
{
    return activity->channel != NULL && channel_send(activity->channel, type, 0, bytes, NULL, 0);
}

/* ---- active ---- */

/* The ids of one message. */
typedef struct report {
    activity_t *activity;
    bool lost;
    size_t n;
    char bytes[IPC_BYTES_MAX];
} report_t;

static void send_report(report_t *report)
{
    if (report->n != 0 && !notify(report->activity, PROCESS_ACTIVE, str_make(report->bytes, report->n)))
        report->lost = true;
    report->n = 0;
}

static void put(report_t *report, active_box_t *box)
{
    str_t id = str_from(box->id);
    if (id.n + 1 > sizeof(report->bytes) - report->n)
        send_report(report);
    memcpy(report->bytes + report->n, id.p, id.n);
    report->bytes[report->n + id.n] = '\n';
    report->n += id.n + 1;
    box->touched = false;
    box->reported_ms = report->activity->now_ms;
    if (list_is_linked(&box->urgent))
        list_unlink(&box->urgent);
}

void activity_report_urgent(activity_t *activity)
{
    report_t report;
    report.activity = activity;
    report.lost = false;
    report.n = 0;
    while (!list_is_empty(&activity->urgent))
        put(&report, CONTAINER_OF(active_box_t, urgent, activity->urgent.next));
    send_report(&report);
    activity->lost |= report.lost;
}

/* ---- silent boxes, and boxes to be woken ---- */

/* Nothing of an answer has come for SILENCE_MS, and no more of the request goes out. */
static bool is_silent(activity_t *activity, exchange_t *ex)
{
    activity_entry_t *entry = ex->activity;
    if (ex->state != EXCHANGE_ORIGIN)
        return false;
    if (entry->waits_ms == 0 || entry->sent_bytes != ex->request_bytes) {
        entry->waits_ms = activity->now_ms;
        entry->sent_bytes = ex->request_bytes;
    }
    return !entry->looked && activity->now_ms - entry->waits_ms >= SILENCE_MS;
}

/* Requests a check of the box. True if this turn sent the request. */
static bool request_look(activity_t *activity, active_box_t *box)
{
    bool lately = box->looked_ms != 0 && activity->now_ms - box->looked_ms < LOOK_AGAIN_MS;
    if (!lately && notify(activity, PROCESS_LOOK, str_from(box->id)))
        box->looked_ms = activity->now_ms;
    return box->looked_ms == activity->now_ms;
}

void activity_unreachable(exchange_t *ex)
{
    if (ex->activity != NULL)
        (void)request_look(worker_of(ex->context)->activity, ex->activity->box);
}

static void request_wake(activity_t *activity, active_box_t *box)
{
    char label[BOX_ID_MAX + 8];
    if (box->wake_requested_ms != 0 && activity->now_ms - box->wake_requested_ms < WAKE_AGAIN_MS)
        return;
    int n = snprintf(label, sizeof(label), "%s-%u", box->id, box->wake_port);
    assert(n > 0 && (size_t)n < sizeof(label));
    if (notify(activity, PROCESS_WAKE, str_make(label, (size_t)n)))
        box->wake_requested_ms = activity->now_ms;
}

void activity_want_wake(activity_t *activity, active_box_t *box)
{
    if (box->state == BOX_GONE)
        return;
    box->wake_until_ms = activity->now_ms + activity->worker->context.conf->wake.timeout;
    request_wake(activity, box);
}

/* ---- each second ---- */

/* A poller does not keep a box awake, but an answer that takes long is not cut short. */
static bool holds_box(const activity_t *activity, activity_entry_t *entry)
{
    bool counts = !entry->idle || entry->seen;
    entry->seen = true;
    return counts && (!entry->streams ||
                      idle_window_holds(&entry->window, activity->worker->context.conf->wake.idle_open,
                                        activity->now_ms));
}

/* Whether an exchange holds the box. Checks each one for silence. */
static bool scan(activity_t *activity, active_box_t *box)
{
    bool holds = false;
    for (list_t *at = box->entries.next; at != &box->entries; at = at->next) {
        activity_entry_t *entry = CONTAINER_OF(activity_entry_t, link, at);
        holds |= holds_box(activity, entry);
        if (!entry->streams && is_silent(activity, entry->ex))
            entry->looked = request_look(activity, box);
    }
    if (box->state != BOX_RUNNING && activity->now_ms < box->wake_until_ms)
        request_wake(activity, box);
    return holds;
}

void activity_report(activity_t *activity)
{
    report_t report;
    report.activity = activity;
    report.lost = false;
    report.n = 0;
    bool all = activity->lost;
    for (list_t *at = activity->used.next; at != &activity->used; at = at->next) {
        active_box_t *box = CONTAINER_OF(active_box_t, link, at);
        if (scan(activity, box) || box->touched || all)
            put(&report, box);
    }
    uint64_t rest = activity->worker->context.conf->timeouts.pool_idle + REST_MS;
    for (list_t *at = activity->resting.next, *next; at != &activity->resting; at = next) {
        next = at->next;
        active_box_t *box = CONTAINER_OF(active_box_t, link, at);
        if (box->touched || all)
            put(&report, box);
        if (activity->now_ms - box->rested_ms > rest)
            activity_forget(activity, &box);
    }
    send_report(&report);
    activity->lost = report.lost;
}
