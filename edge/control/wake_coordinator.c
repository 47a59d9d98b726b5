/*
 * Each awaited box has a record: a resume under way, the awaited ports with their workers, and the last
 * failures. Records with nothing to remember are freed.
 */
#include "wake_coordinator_internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "hostname.h"
#include "list.h"
#include "process.h"
#include "shm.h"

/* Time that a failure is remembered: doubled each time, back to the first after FORGET_MS without one. */
#define FAILURE_FIRST_MS 5000
#define FAILURE_MOST_MS  60000
#define FORGET_MS        120000
/* Maximum resumes for the same waiters: a box that pauses as soon as it runs is given up. */
#define RESUMES_MAX 3

/* ---- records ---- */

static box_wake_t *find(wake_coordinator_t *coordinator, str_t id)
{
    return name_map_find(&coordinator->by_id, id);
}

static void on_forget(loop_timer_t *timer);

static box_wake_t *find_or_add(wake_coordinator_t *coordinator, str_t id)
{
    box_wake_t *wake = find(coordinator, id);
    if (wake != NULL || coordinator->by_id.count == WAKE_COORDINATOR_BOXES_MAX)
        return wake;
    wake = calloc(1, sizeof(*wake));
    assert(wake != NULL);
    assert(id.n <= BOX_ID_MAX);
    memcpy(wake->id, id.p, id.n);
    wake->coordinator = coordinator;
    name_map_add(&coordinator->by_id, wake);
    counter_set(&coordinator->counts->boxes, coordinator->by_id.count);
    loop_timer_start(coordinator->loop, &wake->forget, FORGET_MS, on_forget);
    return wake;
}

static void free_wake(void *item)
{
    box_wake_t *wake = item;
    loop_timer_stop(&wake->forget);
    while (wake->ports != NULL) {
        port_wake_t *port = wake->ports;
        wake->ports = port->next;
        wake_coordinator_stop_probing(port);
        free(port);
    }
    free(wake);
}

static bool in_use(const box_wake_t *wake)
{
    if (wake->resuming)
        return true;
    for (const port_wake_t *port = wake->ports; port != NULL; port = port->next)
        if (port->waited || port->recording)
            return true;
    return false;
}

static bool failed_lately(const failure_t *failure, uint64_t now)
{
    return failure->until_ms != 0 && now < failure->until_ms + FORGET_MS;
}

static void on_forget(loop_timer_t *timer)
{
    box_wake_t *wake = CONTAINER_OF(box_wake_t, forget, timer);
    wake_coordinator_t *coordinator = wake->coordinator;
    uint64_t now = loop_now(coordinator->loop);
    bool keep = in_use(wake) || failed_lately(&wake->failure, now);
    for (const port_wake_t *port = wake->ports; port != NULL; port = port->next)
        keep |= failed_lately(&port->failure, now);
    if (keep) {
        loop_timer_start(coordinator->loop, timer, FORGET_MS, on_forget);
        return;
    }
    name_map_remove(&coordinator->by_id, wake);
    counter_set(&coordinator->counts->boxes, coordinator->by_id.count);
    free_wake(wake);
}

static port_wake_t *find_or_add_port(box_wake_t *wake, uint16_t number)
{
    for (port_wake_t *port = wake->ports; port != NULL; port = port->next)
        if (port->port == number)
            return port;
    if (wake->port_count == WAKE_COORDINATOR_PORTS_MAX)
        return NULL;
    port_wake_t *port = calloc(1, sizeof(*port));
    assert(port != NULL);
    *port = (port_wake_t){.next = wake->ports, .box = wake, .port = number};
    wake->ports = port;
    wake->port_count++;
    return port;
}

/* ---- answers ---- */

static uint32_t span_ms(uint64_t from, uint64_t to)
{
    return from != 0 && to > from ? (uint32_t)(to - from) : 0;
}

static wake_answer_t make_answer(const box_wake_t *wake, uint16_t port, const failure_t *failure)
{
    uint64_t now = loop_now(wake->coordinator->loop);
    wake_answer_t answer = {.resume_ms = span_ms(wake->began_ms, wake->running_ms),
                            .listen_ms = span_ms(wake->running_ms, now)};
    (void)snprintf(answer.label, sizeof(answer.label), "%.57s-%u", wake->id, port);
    if (failure != NULL) {
        answer.retry_after_ms = span_ms(now, failure->until_ms);
        memcpy(answer.sentence, failure->sentence, sizeof(answer.sentence));
    }
    return answer;
}

static void notify_worker(wake_coordinator_t *coordinator, unsigned worker, wake_result_t result,
                          const wake_answer_t *answer)
{
    char bytes[WAKE_ANSWER_BYTES];
    size_t n = wake_answer_write(answer, bytes);
    worker_links_notify(coordinator->worker_links, worker, PROCESS_WOKEN, result, str_make(bytes, n));
}

static void each_worker(const port_wake_t *port, uint32_t type, uint64_t value, str_t bytes)
{
    for (unsigned i = 0; i < SHM_WORKERS_MAX; i++)
        if ((port->workers[i / 64] >> (i % 64) & 1) != 0)
            worker_links_notify(port->box->coordinator->worker_links, i, type, value, bytes);
}

void wake_coordinator_finish_port(port_wake_t *port, wake_result_t result, const failure_t *failure)
{
    char bytes[WAKE_ANSWER_BYTES];
    wake_coordinator_stop_probing(port);
    if (!port->waited)
        return;
    wake_answer_t answer = make_answer(port->box, port->port, failure);
    size_t n = wake_answer_write(&answer, bytes);
    port->waited = false;
    each_worker(port, PROCESS_WOKEN, result, str_make(bytes, n));
    memset(port->workers, 0, sizeof(port->workers));
}

static void finish_all(box_wake_t *wake, wake_result_t result, const failure_t *failure)
{
    for (port_wake_t *port = wake->ports; port != NULL; port = port->next)
        wake_coordinator_finish_port(port, result, failure);
    wake->resumes = 0;
    wake->began_ms = wake->came_ms = 0;
}

static bool is_stopped(const box_wake_t *wake)
{
    return wake->stopped_ms != 0 && wake->came_ms <= wake->stopped_ms;
}

static const failure_t stopped = {
    .sentence = "The box was stopped by hand while this request waited. The next request starts it."};

static uint64_t stage_value(const port_wake_t *port, wake_stage_t stage)
{
    const box_wake_t *wake = port->box;
    return wake_stage_pack(stage, span_ms(wake->began_ms, loop_now(wake->coordinator->loop)));
}

void wake_coordinator_notify_stage(const port_wake_t *port, wake_stage_t stage)
{
    char label[BOX_ID_MAX + 8];
    int n = snprintf(label, sizeof(label), "%s-%u", port->box->id, port->port);
    each_worker(port, PROCESS_WAKE_STAGE, stage_value(port, stage), str_make(label, (size_t)n));
}

/* Notifies a worker that joined a wake or asks for its stage again. */
static void notify_stage(const port_wake_t *port, unsigned worker)
{
    char label[BOX_ID_MAX + 8];
    int n = snprintf(label, sizeof(label), "%s-%u", port->box->id, port->port);
    wake_stage_t stage = port->recording       ? WAKE_LISTENING
                         : port->probe != NULL ? WAKE_STARTING
                                               : WAKE_RESUMING;
    worker_links_notify(port->box->coordinator->worker_links, worker, PROCESS_WAKE_STAGE,
                        stage_value(port, stage), str_make(label, (size_t)n));
}

void wake_coordinator_remember(box_wake_t *wake, failure_t *failure, wake_result_t result,
                               const char *sentence)
{
    uint64_t now = loop_now(wake->coordinator->loop);
    bool again = failed_lately(failure, now);
    uint32_t ms = again ? failure->last_ms * 2 : FAILURE_FIRST_MS;
    failure->last_ms = ms < FAILURE_MOST_MS ? ms : FAILURE_MOST_MS;
    failure->until_ms = now + failure->last_ms;
    failure->result = result;
    (void)snprintf(failure->sentence, sizeof(failure->sentence), "%s", sentence);
    counter_add(&wake->coordinator->counts->failures, 1);
}

/* ---- resuming ---- */

static void begin_resume(box_wake_t *wake)
{
    if (wake->resuming)
        return;
    if (is_stopped(wake)) {
        finish_all(wake, WAKE_FAILED, &stopped);
        return;
    }
    if (wake->resumes == RESUMES_MAX) {
        wake_coordinator_remember(wake, &wake->failure, WAKE_FAILED,
                                  "The box pauses again right after each resume.");
        finish_all(wake, WAKE_FAILED, &wake->failure);
        return;
    }
    wake->resuming = true;
    wake->resumes++;
    wake->running_ms = 0;
    counter_add(&wake->coordinator->counts->resumes, 1);
    boxes_request_resume(wake->coordinator->boxes, str_from(wake->id));
}

static void fail_all(box_wake_t *wake, wake_result_t result, const char *sentence)
{
    wake_coordinator_remember(wake, &wake->failure, result, sentence);
    finish_all(wake, result, &wake->failure);
}

static void on_resumed(void *owner, str_t id, provider_result_t result, const char *sentence)
{
    wake_coordinator_t *coordinator = owner;
    box_wake_t *wake = find(coordinator, id);
    if (wake == NULL || !wake->resuming)
        return;
    const store_box_t *box = boxes_find(coordinator->boxes, id);
    wake->resuming = false;
    if (result == PROVIDER_GONE || box == NULL || box->state == BOX_GONE) {
        if (result == PROVIDER_UNAVAILABLE)
            fail_all(wake, WAKE_UNAVAILABLE, sentence);
        else
            finish_all(wake, WAKE_GONE, NULL);
    } else if (result != PROVIDER_OK && is_stopped(wake)) {
        finish_all(wake, WAKE_FAILED, &stopped);
    } else if (result == PROVIDER_UNAVAILABLE) {
        fail_all(wake, WAKE_UNAVAILABLE, sentence);
    } else if (result == PROVIDER_FAILED) {
        fail_all(wake, WAKE_FAILED, sentence);
    } else if (box->state == BOX_RUNNING && !box->doubted) {
        wake_coordinator_probe_all(wake, box);
    } else if (in_use(wake)) {
        if (box->state == BOX_RUNNING && wake->resumes != 0)
            wake->resumes--; /* doubted since the question: the box has not paused */
        begin_resume(wake);
    }
}

static void on_changed(void *owner, const store_box_t *box, const store_box_t *old)
{
    wake_coordinator_t *coordinator = owner;
    (void)old;
    box_wake_t *wake = find(coordinator, str_from(box->id));
    if (wake == NULL || wake->resuming || !in_use(wake))
        return;
    if (box->state == BOX_RUNNING && !box->doubted) {
        if (box->generation != wake->generation)
            wake_coordinator_probe_all(wake, box);
        return;
    }
    for (port_wake_t *port = wake->ports; port != NULL; port = port->next) {
        wake_coordinator_stop_probing(port); /* the probe restarts when the box runs again */
    }
    if (box->state == BOX_GONE)
        finish_all(wake, WAKE_GONE, NULL);
    else
        begin_resume(wake); /* it paused while requests wait, or is doubted */
}

static const boxes_handlers_t boxes_handlers = {.changed = on_changed, .resumed = on_resumed};

/* ---- requests of workers ---- */

static bool answer_from_memory(wake_coordinator_t *coordinator, unsigned worker, const box_wake_t *wake,
                               uint16_t port, const failure_t *failure)
{
    if (failure->until_ms == 0 || loop_now(coordinator->loop) >= failure->until_ms)
        return false;
    wake_answer_t answer = make_answer(wake, port, failure);
    notify_worker(coordinator, worker, failure->result, &answer);
    return true;
}

static void answer_now(wake_coordinator_t *coordinator, unsigned worker, str_t label, wake_result_t result)
{
    wake_answer_t answer = {.resume_ms = 0};
    assert(label.n <= WAKE_LABEL_MAX);
    memcpy(answer.label, label.p, label.n);
    notify_worker(coordinator, worker, result, &answer);
}

/* Whether no request, this one included, has come for the box since the operator stopped it. One of the same
 * millisecond counts as later: its sender may have waited for the end of the stop. */
static bool stays_stopped(box_wake_t *wake, wake_wish_t wish, uint64_t came_ms)
{
    if (wake->stopped_ms == 0 || wish != WAKE_WISH_WAKE)
        return false;
    if (came_ms >= wake->stopped_ms)
        wake->stopped_ms = 0;
    return wake->stopped_ms != 0;
}

/* Adds the worker to those that wait for this port. */
static void add_worker(box_wake_t *wake, port_wake_t *port, unsigned worker)
{
    uint64_t now = loop_now(wake->coordinator->loop);
    if (!in_use(wake)) {
        wake->began_ms = now;
        wake->running_ms = 0;
        wake->resumes = 0;
    }
    if (!port->waited)
        port->began_ms = now;
    port->waited = true;
    port->workers[worker / 64] |= UINT64_C(1) << (worker % 64);
}

static void wait_for(box_wake_t *wake, port_wake_t *port, unsigned worker)
{
    wake_coordinator_t *coordinator = wake->coordinator;
    const store_box_t *box = boxes_find(coordinator->boxes, str_from(wake->id));
    add_worker(wake, port, worker);
    if (!wake->resuming && box != NULL && box->state == BOX_RUNNING && !box->doubted)
        wake_coordinator_probe_all(wake, box);
    else
        begin_resume(wake);
    if (port->waited)
        notify_stage(port, worker);
}

/* A wake of the box is under way, or its failure is remembered. */
static bool goes_on(wake_coordinator_t *coordinator, str_t id, uint16_t number)
{
    uint64_t now = loop_now(coordinator->loop);
    const box_wake_t *wake = find(coordinator, id);
    if (wake == NULL)
        return false;
    if (wake->resuming || now < wake->failure.until_ms)
        return true;
    for (const port_wake_t *port = wake->ports; port != NULL; port = port->next)
        if (port->port == number && (port->waited || port->recording || now < port->failure.until_ms))
            return true;
    return false;
}

/* Answers if the box runs and waiting is over, or pointless. */
static bool answer_running(wake_coordinator_t *coordinator, unsigned worker, str_t label,
                           const store_box_t *box, uint16_t port)
{
    if (box == NULL || box->state != BOX_RUNNING || box->doubted)
        return false;
    if (!store_box_exposes(box, port)) {
        answer_now(coordinator, worker, label, WAKE_REFUSED);
        return true;
    }
    /* Judge by the workers' view: else they would ask again immediately, until the store has it. */
    const store_box_t *seen = boxes_recorded(coordinator->boxes, str_from(box->id));
    if (seen == NULL || seen->generation != box->generation ||
        !store_box_ready(seen, port, loop_now(coordinator->loop)))
        return false;
    answer_now(coordinator, worker, label, WAKE_OK);
    return true;
}

bool wake_coordinator_request(wake_coordinator_t *coordinator, unsigned worker, str_t label, wake_wish_t wish,
                              uint64_t came_ms)
{
    hostname_t name;
    if (worker >= SHM_WORKERS_MAX || !hostname_parse_label(label, &name) || label.n > WAKE_LABEL_MAX)
        return false;
    str_t id = str_make(name.id, name.id_len);
    if (answer_running(coordinator, worker, label, boxes_find(coordinator->boxes, id), name.port))
        return false;
    if (wish == WAKE_WISH_WATCH && !goes_on(coordinator, id, name.port)) {
        answer_now(coordinator, worker, label, WAKE_ASLEEP);
        return false;
    }
    box_wake_t *wake = find_or_add(coordinator, id);
    port_wake_t *port = wake != NULL ? find_or_add_port(wake, name.port) : NULL;
    if (port == NULL) {
        answer_now(coordinator, worker, label, WAKE_BUSY);
        return false;
    }
    if (stays_stopped(wake, wish, came_ms)) {
        wake_answer_t answer = make_answer(wake, name.port, &stopped);
        notify_worker(coordinator, worker, WAKE_FAILED, &answer);
        return false;
    }
    if (wish == WAKE_WISH_WAKE && came_ms > wake->came_ms)
        wake->came_ms = came_ms;
    if (answer_from_memory(coordinator, worker, wake, name.port, &wake->failure) ||
        answer_from_memory(coordinator, worker, wake, name.port, &port->failure))
        return false;
    wait_for(wake, port, worker);
    return port->waited;
}

void wake_coordinator_order(wake_coordinator_t *coordinator, str_t id, bool runs)
{
    const store_box_t *box = boxes_find(coordinator->boxes, id);
    if (box == NULL || box->provider != PROVIDER_PROCESS)
        return; /* the runner has no such box */
    box_wake_t *wake = runs ? find(coordinator, id) : find_or_add(coordinator, id);
    if (wake != NULL) /* NULL: too many wakes to remember one more */
        wake->stopped_ms = runs ? 0 : loop_now(coordinator->loop);
}

/* ---- the whole ---- */

wake_coordinator_t *wake_coordinator_new(loop_t *loop, const conf_t *conf, boxes_t *boxes,
                                         worker_links_t *worker_links, box_ports_service_t *listening,
                                         shm_wakes_t *counts)
{
    wake_coordinator_t *coordinator = calloc(1, sizeof(*coordinator));
    assert(coordinator != NULL);
    *coordinator = (wake_coordinator_t){.loop = loop,
                                        .conf = conf_acquire(conf),
                                        .boxes = boxes,
                                        .worker_links = worker_links,
                                        .listening = listening,
                                        .by_id = NAME_MAP(box_wake_t, id),
                                        .counts = counts};
    boxes_subscribe(boxes, &boxes_handlers, coordinator);
    return coordinator;
}

void wake_coordinator_free(wake_coordinator_t **coordinator)
{
    wake_coordinator_t *w = *coordinator;
    *coordinator = NULL;
    if (w == NULL)
        return;
    name_map_clear(&w->by_id, free_wake);
    conf_release(&w->conf);
    free(w);
}

void wake_coordinator_set_conf(wake_coordinator_t *coordinator, const conf_t *conf)
{
    conf_release(&coordinator->conf);
    coordinator->conf = conf_acquire(conf);
}
