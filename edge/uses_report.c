/*
 * What a worker tells the controller of the boxes that its exchanges use: that they are active, that they are
 * silent, that they are to be woken.
 */
#include "uses_internal.h"

#include <assert.h>

#include "list.h"
#include "process.h"
#include "worker.h"

/* A box that gives and takes no byte of a request for so long is looked at. */
#define SILENCE_MS 5000
/* How often the controller is asked to look at one box, or to wake it, at most. */
#define LOOK_AGAIN_MS 5000
#define WAKE_AGAIN_MS 1000
/* How much longer than its pooled connections a box without exchanges is remembered. */
#define REST_MS 1000

static bool tell(uses_t *uses, uint32_t type, str_t bytes)
{
    return uses->channel != NULL && channel_send(uses->channel, type, 0, bytes, NULL, 0);
}

/* ---- active ---- */

/* Ids that go out in one message. */
typedef struct report {
    uses_t *uses;
    bool lost;
    size_t n;
    char bytes[IPC_BYTES_MAX];
} report_t;

static void send_report(report_t *report)
{
    if (report->n != 0 && !tell(report->uses, PROCESS_ACTIVE, str_make(report->bytes, report->n)))
        report->lost = true;
    report->n = 0;
}

static void put(report_t *report, box_use_t *box)
{
    str_t id = str_from(box->id);
    if (id.n + 1 > sizeof(report->bytes) - report->n)
        send_report(report);
    memcpy(report->bytes + report->n, id.p, id.n);
    report->bytes[report->n + id.n] = '\n';
    report->n += id.n + 1;
    box->touched = false;
    box->told_ms = report->uses->now_ms;
    if (list_is_linked(&box->urgent))
        list_unlink(&box->urgent);
}

void uses_report_urgent(uses_t *uses)
{
    report_t report;
    report.uses = uses;
    report.lost = false;
    report.n = 0;
    while (!list_is_empty(&uses->urgent))
        put(&report, CONTAINER_OF(box_use_t, urgent, uses->urgent.next));
    send_report(&report);
    uses->lost |= report.lost;
}

/* ---- silent, and to be woken ---- */

/* Nothing has come back for long, and no more of the request goes out. */
static bool is_silent(uses_t *uses, exchange_t *ex)
{
    use_t *use = &ex->use;
    if (ex->state != EXCHANGE_ORIGIN)
        return false;
    if (use->waits_ms == 0 || use->sent_bytes != ex->request_bytes) {
        use->waits_ms = uses->now_ms;
        use->sent_bytes = ex->request_bytes;
    }
    return !use->looked && uses->now_ms - use->waits_ms >= SILENCE_MS;
}

/* True where the controller was told in this turn. */
static bool ask_look(uses_t *uses, box_use_t *box)
{
    bool lately = box->looked_ms != 0 && uses->now_ms - box->looked_ms < LOOK_AGAIN_MS;
    if (!lately && tell(uses, PROCESS_LOOK, str_from(box->id)))
        box->looked_ms = uses->now_ms;
    return box->looked_ms == uses->now_ms;
}

void use_unreachable(exchange_t *ex)
{
    if (ex->use.box != NULL)
        (void)ask_look(worker_of(ex->context)->uses, ex->use.box);
}

static void ask_wake(uses_t *uses, box_use_t *box)
{
    char label[BOX_ID_MAX + 8];
    if (box->wake_asked_ms != 0 && uses->now_ms - box->wake_asked_ms < WAKE_AGAIN_MS)
        return;
    int n = snprintf(label, sizeof(label), "%s-%u", box->id, box->wake_port);
    assert(n > 0 && (size_t)n < sizeof(label));
    if (tell(uses, PROCESS_WAKE, str_make(label, (size_t)n)))
        box->wake_asked_ms = uses->now_ms;
}

void uses_want_wake(uses_t *uses, box_use_t *box)
{
    if (box->state == BOX_GONE)
        return;
    box->wake_until_ms = uses->now_ms + uses->worker->context.conf->wake.timeout;
    ask_wake(uses, box);
}

/* ---- each second ---- */

/* A poller does not keep a box awake, but nobody's answer is cut short. */
static bool holds_box(const uses_t *uses, use_t *use)
{
    bool counts = !use->idle || use->seen;
    use->seen = true;
    return counts && (!use->quiet ||
                      quiet_holds(&use->clock, uses->worker->context.conf->wake.idle_open, uses->now_ms));
}

/* Whether an exchange holds the box; looks at the silence of each. */
static bool scan(uses_t *uses, box_use_t *box)
{
    bool holds = false;
    for (list_t *at = box->uses.next; at != &box->uses; at = at->next) {
        use_t *use = CONTAINER_OF(use_t, link, at);
        holds |= holds_box(uses, use);
        if (!use->quiet && is_silent(uses, CONTAINER_OF(exchange_t, use, use)))
            use->looked = ask_look(uses, box);
    }
    if (box->state != BOX_RUNNING && uses->now_ms < box->wake_until_ms)
        ask_wake(uses, box);
    return holds;
}

void uses_report(uses_t *uses)
{
    report_t report;
    report.uses = uses;
    report.lost = false;
    report.n = 0;
    bool all = uses->lost;
    for (list_t *at = uses->used.next; at != &uses->used; at = at->next) {
        box_use_t *box = CONTAINER_OF(box_use_t, link, at);
        if (scan(uses, box) || box->touched || all)
            put(&report, box);
    }
    uint64_t rest = uses->worker->context.conf->timeouts.pool_idle + REST_MS;
    for (list_t *at = uses->resting.next, *next; at != &uses->resting; at = next) {
        next = at->next;
        box_use_t *box = CONTAINER_OF(box_use_t, link, at);
        if (box->touched || all)
            put(&report, box);
        if (uses->now_ms - box->rested_ms > rest)
            uses_forget(uses, &box);
    }
    send_report(&report);
    uses->lost = report.lost;
}
