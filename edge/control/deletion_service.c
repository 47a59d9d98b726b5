#include "deletion_service.h"

#include <assert.h>
#include <stdlib.h>

#include "deletion_poller.h"
#include "deletion_store.h"
#include "list.h"
#include "process.h"
#include "process_log.h"

/* Interval of sweeps: while a call is under way or ended lately; else. */
#define SWEEP_MS      1000
#define SLOW_SWEEP_MS 30000

typedef struct deletion_job deletion_job_t;

struct deletion_service {
    loop_t *loop;
    store_thread_t *store;
    worker_links_t *worker_links;
    boxes_t *boxes;
    deletion_poller_t *poller;
    list_t waiting; /* deletion_job_t, for boxes to be recorded */
    size_t jobs;    /* jobs at the store */
    bool stopped, freed;
    loop_timer_t timer;
    uint64_t due_ms; /* of `timer`, if it runs (loop_now) */
    bool sweeping;
    uint64_t sweep_ms; /* unix ms of its start */
    store_job_t sweep_job;
    deletion_sweep_t sweep;
    /* Of the last sweep: those whose providers have not reported. */
    deletion_open_end_t unreported[DELETION_SWEEP_MAX];
    size_t unreported_count;
};

/* A worker's message, or a report about a box, on its way to the store. */
struct deletion_job {
    store_job_t job;
    deletion_service_t *service;
    list_t link;         /* in service->waiting */
    unsigned unrecorded; /* boxes whose current state the store does not have yet */
    unsigned worker;
    uint64_t number;
    uint64_t now_ms;
    uint64_t reported_ms; /* of the provider's or API's report; 0: a worker's message */
    bool gone;
    deletion_call_t call;
    preview_answer_t answer;
    size_t deleted;
    bool trouble; /* the store's thread has logged that its disk refuses changes */
};

static uint64_t wall_ms(const deletion_service_t *service)
{
    return loop_wall_us(service->loop) / 1000;
}

static void free_if_over(deletion_service_t *service)
{
    if (service->freed && service->jobs == 0 && !service->sweeping)
        free(service);
}

/* ---- jobs ---- */

static void run(store_job_t *base, store_t *store)
{
    deletion_job_t *job = CONTAINER_OF(deletion_job_t, job, base);
    bool changed = false;
    if (job->reported_ms != 0)
        deletion_store_report(store, str_from(job->call.ids[0]), job->reported_ms, job->gone, &job->deleted,
                              &changed);
    else
        deletion_store_take(store, &job->call, job->now_ms, &job->answer, &job->deleted, &changed);
    job->job.changed = changed;
    job->trouble = store_in_trouble(store);
}

static void log_result(const deletion_job_t *job)
{
    const char *id = job->call.ids[0];
    if (job->deleted != 0)
        process_log(LOG_BOX_DELETED, "controller", "box %s%s was deleted with %zu previews", id,
                    job->call.count > 1 ? " (and others)" : "", job->deleted);
    else if (job->answer.status != 200 && job->reported_ms == 0 && !job->trouble)
        process_log(LOG_STORE_CHANGE_FAILED, "controller", "the deletion of box %s cannot be recorded: %s",
                    id, job->answer.sentence);
}

static void answer(const deletion_job_t *job)
{
    if (job->reported_ms == 0 && !job->service->stopped)
        worker_links_notify(job->service->worker_links, job->worker, PROCESS_PREVIEW_DONE, job->number,
                            str_make((const char *)&job->answer, sizeof(job->answer)));
}

static void sweep_soon(deletion_service_t *service, uint32_t ms);

/* The call ended without an outcome: the search for it begins immediately. */
static bool is_open_end(const deletion_job_t *job)
{
    return job->reported_ms == 0 && job->call.op == DELETION_END && job->call.outcome == DELETION_UNKNOWN;
}

static void done(store_job_t *base)
{
    deletion_job_t *job = CONTAINER_OF(deletion_job_t, job, base);
    deletion_service_t *service = job->service;
    log_result(job);
    answer(job);
    if (is_open_end(job))
        sweep_soon(service, 0);
    service->jobs--;
    free(job);
    free_if_over(service);
}

static void to_store(deletion_job_t *job)
{
    deletion_service_t *service = job->service;
    job->job = (store_job_t){.run = run, .done = done};
    if (store_thread_add(service->store, &job->job)) {
        service->jobs++;
        return;
    }
    job->answer =
        (preview_answer_t){.status = 503,
                           .code = "store_busy",
                           .sentence = "Too many changes wait for the store of this edge: try again "
                                       "shortly."};
    answer(job); /* a lost report comes again */
    free(job);
}

/* ---- boxes that stay ---- */

static void on_recorded(void *arg)
{
    deletion_job_t *job = arg;
    assert(job->unrecorded != 0);
    if (--job->unrecorded != 0)
        return;
    list_unlink(&job->link);
    to_store(job);
}

/* Before the previews of a box return: doubts the box unless its provider has reported since `since_ms`, so
 * that its address stays unused until then. */
static void doubt_first(deletion_job_t *job, uint64_t since_ms)
{
    deletion_service_t *service = job->service;
    job->unrecorded = 1;
    list_insert(&service->waiting, &job->link);
    for (uint32_t i = 0; i < job->call.count; i++) {
        str_t id = str_from(job->call.ids[i]);
        if (!boxes_doubt(service->boxes, id, since_ms))
            continue;
        job->unrecorded++;
        boxes_when_recorded(service->boxes, id, on_recorded, job);
    }
    on_recorded(job);
}

/* ---- unknown outcomes ---- */

static deletion_job_t *report_new(deletion_service_t *service, str_t id, uint64_t reported_ms, bool gone)
{
    deletion_job_t *job = calloc(1, sizeof(*job));
    assert(job != NULL && id.n <= BOX_ID_MAX);
    *job = (deletion_job_t){.service = service, .reported_ms = reported_ms, .gone = gone, .call.count = 1};
    memcpy(job->call.ids[0], id.p, id.n);
    return job;
}

/* The previews return once workers see the address of the box. */
static void bring_back(deletion_job_t *job)
{
    job->unrecorded = 1;
    list_insert(&job->service->waiting, &job->link);
    boxes_when_recorded(job->service->boxes, str_from(job->call.ids[0]), on_recorded, job);
}

static void request_reports(deletion_service_t *service, const deletion_open_end_t *end)
{
    boxes_request_report(service->boxes, str_from(end->id));
    deletion_poller_add(service->poller, str_from(end->id), end->requested_at_ms, end->closed_at_ms);
    if (service->unreported_count < DELETION_SWEEP_MAX)
        service->unreported[service->unreported_count++] = *end;
}

/* A report of the provider since the end of the call settles it: the box is gone, or it exists after the API
 * has had DELETION_LIVING_MS to delete it. */
static bool is_settled(deletion_service_t *service, const deletion_open_end_t *end)
{
    str_t id = str_from(end->id);
    const store_box_t *box = boxes_find(service->boxes, id);
    uint64_t reported_ms = boxes_reported_ms(service->boxes, id);
    if (box == NULL || reported_ms <= end->closed_at_ms || box->state == BOX_UNKNOWN)
        return false;
    if (box->state == BOX_GONE)
        to_store(report_new(service, id, reported_ms, true));
    else if (reported_ms - end->closed_at_ms > DELETION_LIVING_MS)
        bring_back(report_new(service, id, reported_ms - DELETION_LIVING_MS, false));
    else
        return false;
    return true;
}

/* Asks the provider and the API unless such a report exists. */
static void settle(deletion_service_t *service, const deletion_open_end_t *end)
{
    if (!is_settled(service, end))
        request_reports(service, end);
}

/* The provider has reported. If that settles nothing, the next sweep asks again. */
static void on_reported(void *owner, str_t id)
{
    deletion_service_t *service = owner;
    for (size_t i = 0; i < service->unreported_count; i++) {
        deletion_open_end_t end = service->unreported[i];
        if (!str_eq(str_from(end.id), id))
            continue;
        if (is_settled(service, &end))
            service->unreported[i] = service->unreported[--service->unreported_count];
        return;
    }
}

static const boxes_handlers_t boxes_handlers = {.reported = on_reported};

/* The API's report. */
static void on_polled(void *owner, str_t id, uint64_t requested_at_ms, uint64_t reported_ms, bool gone)
{
    deletion_job_t *job = report_new(owner, id, reported_ms, gone);
    job->call.requested_at_ms = requested_at_ms;
    if (gone)
        to_store(job);
    else
        doubt_first(job, requested_at_ms);
}

static void run_sweep(store_job_t *job, store_t *store)
{
    deletion_service_t *service = CONTAINER_OF(deletion_service_t, sweep_job, job);
    bool changed = false;
    deletion_store_sweep(store, service->sweep_ms, &service->sweep, &changed);
    job->changed = changed;
}

static void swept(store_job_t *job)
{
    deletion_service_t *service = CONTAINER_OF(deletion_service_t, sweep_job, job);
    service->sweeping = false;
    if (service->stopped) {
        free_if_over(service);
        return;
    }
    service->unreported_count = 0;
    for (size_t i = 0; i < service->sweep.count; i++)
        settle(service, &service->sweep.at[i]);
    if (service->sweep.after[0] != '\0' || service->sweep.fresh)
        sweep_soon(service, SWEEP_MS);
    else if (service->sweep.any)
        sweep_soon(service, SLOW_SWEEP_MS);
}

static void on_time(loop_timer_t *timer)
{
    deletion_service_t *service = CONTAINER_OF(deletion_service_t, timer, timer);
    service->sweep_ms = wall_ms(service);
    service->sweep_job = (store_job_t){.run = run_sweep, .done = swept};
    service->sweeping = store_thread_add(service->store, &service->sweep_job);
    if (!service->sweeping)
        sweep_soon(service, SWEEP_MS);
}

static void sweep_soon(deletion_service_t *service, uint32_t ms)
{
    if (service->sweeping || service->stopped)
        return;
    /* Never later than it would be: a steady flow of deletions must not put it off. */
    uint64_t due_ms = loop_now(service->loop) + ms;
    if (loop_timer_running(&service->timer) && service->due_ms <= due_ms)
        return;
    service->due_ms = due_ms;
    loop_timer_start(service->loop, &service->timer, ms, on_time);
}

/* ---- the whole ---- */

deletion_service_t *deletion_service_new(loop_t *loop, const conf_t *conf, store_thread_t *store,
                                         worker_links_t *worker_links, boxes_t *boxes, balance_t *balance,
                                         const upstreams_t *upstreams)
{
    deletion_service_t *service = calloc(1, sizeof(*service));
    assert(service != NULL);
    *service =
        (deletion_service_t){.loop = loop, .store = store, .worker_links = worker_links, .boxes = boxes};
    list_init(&service->waiting);
    service->poller = deletion_poller_new(loop, conf, balance, upstreams, on_polled, service);
    boxes_subscribe(boxes, &boxes_handlers, service);
    sweep_soon(service, SWEEP_MS); /* the previous controller may have left some */
    return service;
}

void deletion_service_free(deletion_service_t **service)
{
    deletion_service_t *freed = *service;
    *service = NULL;
    if (freed == NULL)
        return;
    freed->stopped = true;
    deletion_poller_free(&freed->poller);
    loop_timer_stop(&freed->timer);
    while (!list_is_empty(&freed->waiting)) { /* the boxes will not call back */
        deletion_job_t *job = CONTAINER_OF(deletion_job_t, link, freed->waiting.next);
        list_unlink(&job->link);
        free(job);
    }
    freed->freed = true;
    free_if_over(freed);
}

void deletion_service_set_conf(deletion_service_t *service, const conf_t *conf)
{
    deletion_poller_set_conf(service->poller, conf);
    if (conf->api.settle_key[0] != '\0')
        sweep_soon(service, SWEEP_MS);
}

void deletion_service_take(deletion_service_t *service, unsigned index, uint64_t number, str_t bytes)
{
    deletion_job_t *job = calloc(1, sizeof(*job));
    assert(job != NULL);
    *job =
        (deletion_job_t){.service = service, .worker = index, .number = number, .now_ms = wall_ms(service)};
    if (!deletion_call_read(bytes, &job->call)) {
        free(job);
        return;
    }
    bool ends = job->call.op != DELETION_BEGIN;
    if (!ends || job->call.outcome == DELETION_UNKNOWN)
        sweep_soon(service, SWEEP_MS);
    if (ends && job->call.outcome == DELETION_REFUSED)
        doubt_first(job, job->call.requested_at_ms);
    else if (ends && job->call.outcome == DELETION_UNKNOWN)
        doubt_first(job, job->now_ms);
    else
        to_store(job);
}
