/*
 * Remembers of each box its `incarnation`, which identifies a restart, and its question under way: a look or
 * a resume.
 */
#include "provider_http.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "control_calls.h"
#include "deadline.h"
#include "list.h"
#include "name_map.h"
#include "process_log.h"
#include "retry.h"

/* Time limit of a look, with its tries. */
#define LOOK_MS      10000u
#define ACTIVITY_BUF (CONTROL_ACTIVITY_BOXES * (BOX_ID_MAX + 3) + 16)
#define LOG_MS       1000u

typedef enum pending {
    PENDING_NOTHING = 0,
    PENDING_LOOK,   /* GET, once */
    PENDING_RESUME, /* POST */
    PENDING_POLL,   /* GET, until it runs */
    PENDING_PAUSE,  /* between two polls */
} pending_t;

typedef struct http_provider http_provider_t;

/* The memory of a box. */
typedef struct http_entry {
    char id[BOX_ID_MAX + 1];
    http_provider_t *provider;
    list_t used; /* ordered by the last report or question */
    list_t active;
    bool reported; /* it was reported, with: */
    char incarnation[CONTROL_INCARNATION_MAX + 1];
    pending_t pending;
    uint64_t requested_us; /* wall clock of the question: the answer may be from right after it */
    bool outdated;         /* a push came after the question: ignore its answer */
    control_call_t *call;
    unsigned polls;
    deadline_t timer; /* of PENDING_PAUSE */
    uint64_t until_ms;
    const char *failure; /* of the last poll; NULL: none */
} http_entry_t;

struct http_provider {
    provider_t base;
    loop_t *loop;
    random_source_t *random;
    control_calls_t *calls;
    name_map_t entries; /* http_entry_t by id */
    list_t used;
    list_t active;       /* since the last report */
    loop_timer_t report; /* runs for CONTROL_ACTIVITY_MS after a report */
    control_call_t *reporting;
    uint64_t logged_ms;
};

static http_provider_t *http_of(provider_t *provider)
{
    return CONTAINER_OF(http_provider_t, base, provider);
}

/* ---- memory ---- */

static void forget(http_entry_t *entry)
{
    http_provider_t *http = entry->provider;
    assert(entry->pending == PENDING_NOTHING);
    list_unlink(&entry->used);
    if (list_is_linked(&entry->active))
        list_unlink(&entry->active);
    name_map_remove(&http->entries, entry);
    free(entry);
}

/* Drops the least recently used box without a question. */
static void make_room(http_provider_t *http)
{
    for (list_t *link = http->used.next; link != &http->used; link = link->next) {
        http_entry_t *entry = CONTAINER_OF(http_entry_t, used, link);
        if (entry->pending != PENDING_NOTHING)
            continue;
        forget(entry);
        return;
    }
    /* The wake coordinator bounds resumes, and the calls bound looks: far below. */
    assert(!"every box has a question");
}

static http_entry_t *find_or_add(http_provider_t *http, str_t id)
{
    http_entry_t *entry = name_map_find(&http->entries, id);
    if (entry != NULL) {
        list_unlink(&entry->used);
        list_insert(&http->used, &entry->used);
        return entry;
    }
    if (http->entries.count == CONTROL_BOXES_MAX)
        make_room(http);
    entry = calloc(1, sizeof(*entry));
    assert(entry != NULL);
    entry->provider = http;
    assert(id.n <= BOX_ID_MAX);
    memcpy(entry->id, id.p, id.n);
    name_map_add(&http->entries, entry);
    list_insert(&http->used, &entry->used);
    return entry;
}

/* ---- reports ---- */

/* `requested_us` as in provider_box_t. */
static void notify_box(http_entry_t *entry, const control_box_t *box, uint64_t requested_us)
{
    http_provider_t *http = entry->provider;
    provider_box_t reported = box->box;
    /* A box without a report since the start may have restarted. Without an `incarnation` a restart shows
     * only as a change of state or address. */
    reported.renewed = strcmp(entry->reported ? entry->incarnation : "", box->incarnation) != 0;
    entry->reported = reported.state != BOX_GONE;
    memcpy(entry->incarnation, box->incarnation, sizeof(entry->incarnation));
    reported.requested_us = requested_us;
    http->base.handlers->box(http->base.owner, &http->base, &reported);
}

static void notify_gone(http_entry_t *entry)
{
    control_box_t gone = {.state = CONTROL_GONE, .box.state = BOX_GONE};
    memcpy(gone.box.id, entry->id, sizeof(gone.box.id));
    notify_box(entry, &gone, entry->requested_us);
}

static void end_resume(http_entry_t *entry, provider_result_t result, const char *sentence)
{
    http_provider_t *http = entry->provider;
    char id[BOX_ID_MAX + 1];
    memcpy(id, entry->id, sizeof(id));
    control_call_cancel(&entry->call);
    deadline_clear(&entry->timer);
    entry->pending = PENDING_NOTHING;
    if (!entry->reported)
        forget(entry);
    http->base.handlers->resumed(http->base.owner, &http->base, str_from(id), result, sentence);
}

/* ---- answers ---- */

typedef enum reading {
    READ_BOX,
    READ_NO_BOX,  /* no such box */
    READ_UNUSABLE /* an unusable answer: *sentence has the reason */
} reading_t;

static void log_wrong(http_entry_t *entry, const char *why)
{
    http_provider_t *http = entry->provider;
    uint64_t now = loop_now(http->loop);
    if (http->logged_ms != 0 && now < http->logged_ms + LOG_MS)
        return;
    http->logged_ms = now;
    process_log(LOG_CONTROL_PLANE_FAULTY, "controller",
                "control plane: its answer about box %s is ignored: %s", entry->id, why);
}

/* Reads an answer; *by_contract is false if it breaks the contract. */
static reading_t read_answer(http_entry_t *entry, const control_answer_t *answer, control_box_t *box,
                             const char **sentence, bool *by_contract)
{
    *by_contract = true;
    *sentence = answer->sentence;
    if (answer->status == 0)
        return READ_UNUSABLE;
    if (answer->status == 404 || answer->status == 410)
        return READ_NO_BOX;
    if (answer->status == 401 || answer->status == 403) {
        *sentence = "The control plane does not accept this edge's token.";
        log_wrong(entry, *sentence);
        return READ_UNUSABLE;
    }
    if (answer->status != 200) {
        *sentence = answer->status < 400 ? "The edge cannot read the control plane's answer."
                                         : "The control plane refuses this.";
        char why[48];
        (void)snprintf(why, sizeof(why), "its status is %d", answer->status);
        log_wrong(entry, why);
        *by_contract = answer->status >= 400;
        return READ_UNUSABLE;
    }
    const char *why = control_box_read(answer->body, str_from(entry->id), box);
    if (why == NULL)
        return READ_BOX;
    log_wrong(entry, why);
    *sentence = "The edge cannot read the control plane's answer.";
    *by_contract = false;
    return READ_UNUSABLE;
}

/* ---- look ---- */

static control_call_t *send_request(http_entry_t *entry, bool resume, unsigned tries, control_done_t *done)
{
    char path[CONTROL_PATH_MAX + 1];
    (void)snprintf(path, sizeof(path), "/boxes/%s%s", entry->id, resume ? "/resume" : "");
    entry->requested_us = loop_wall_us(entry->provider->loop);
    control_request_t request = {
        .method = resume ? "POST" : "GET", .path = path, .tries = tries, .until_ms = entry->until_ms};
    return control_call(entry->provider->calls, &request, done, entry);
}

/* A box that is gone, or was never reported, needs no memory. */
static void forget_if_gone(http_provider_t *http, const char *id)
{
    http_entry_t *entry = name_map_find(&http->entries, str_from(id));
    if (entry != NULL && entry->pending == PENDING_NOTHING && !entry->reported)
        forget(entry);
}

static bool on_looked(void *owner, const control_answer_t *answer)
{
    http_entry_t *entry = owner;
    http_provider_t *http = entry->provider;
    control_box_t box;
    const char *sentence;
    bool by_contract;
    char id[BOX_ID_MAX + 1];
    memcpy(id, entry->id, sizeof(id));
    entry->call = NULL;
    entry->pending = PENDING_NOTHING; /* a listener may ask immediately */
    reading_t reading = read_answer(entry, answer, &box, &sentence, &by_contract);
    if (!entry->outdated && reading == READ_BOX)
        notify_box(entry, &box, entry->requested_us);
    else if (!entry->outdated && reading == READ_NO_BOX)
        notify_gone(entry);
    forget_if_gone(http, id);
    return by_contract;
}

static void http_look(provider_t *provider, str_t id)
{
    http_provider_t *http = http_of(provider);
    http_entry_t *entry = find_or_add(http, id);
    if (entry->pending != PENDING_NOTHING)
        return; /* an answer is coming */
    entry->outdated = false;
    entry->until_ms = loop_now(http->loop) + LOOK_MS;
    entry->call = send_request(entry, false, CONTROL_TRIES, on_looked);
    if (entry->call != NULL)
        entry->pending = PENDING_LOOK;
    else
        forget_if_gone(http, entry->id); /* too many calls: the caller asks again */
}

/* ---- resume ---- */

static bool on_polled(void *owner, const control_answer_t *answer);

static void on_poll_time(deadline_t *deadline)
{
    http_entry_t *entry = CONTAINER_OF(http_entry_t, timer, deadline);
    assert(entry->pending == PENDING_PAUSE);
    if (loop_now(entry->provider->loop) >= entry->until_ms) {
        if (entry->failure != NULL)
            end_resume(entry, PROVIDER_UNAVAILABLE, entry->failure);
        else
            end_resume(entry, PROVIDER_FAILED, "The control plane did not start the box in time.");
        return;
    }
    entry->pending = PENDING_POLL;
    entry->outdated = false;
    entry->call = send_request(entry, false, 1, on_polled);
    if (entry->call == NULL)
        end_resume(entry, PROVIDER_UNAVAILABLE, "Too many calls to the control plane are in progress.");
}

static void poll_later(http_entry_t *entry)
{
    http_provider_t *http = entry->provider;
    uint16_t random;
    random_bytes(http->random, (unsigned char *)&random, sizeof(random));
    uint64_t at = loop_now(http->loop) + poll_delay(entry->polls++, random);
    entry->pending = PENDING_PAUSE;
    deadline_set(http->loop, &entry->timer, at < entry->until_ms ? at : entry->until_ms, on_poll_time);
}

/* Applies a state from an answer or a push: ends the resume if that decides it. */
static void follow(http_entry_t *entry, control_state_t state)
{
    switch (state) {
    case CONTROL_RUNNING:
        end_resume(entry, PROVIDER_OK, NULL);
        break;
    case CONTROL_GONE:
        end_resume(entry, PROVIDER_GONE, NULL);
        break;
    case CONTROL_ERROR:
        end_resume(entry, PROVIDER_FAILED, "The control plane reports an error of the box.");
        break;
    case CONTROL_SLEEPING:
    case CONTROL_CREATING:
        if (entry->call == NULL && entry->pending != PENDING_PAUSE)
            poll_later(entry);
        break;
    }
}

static bool on_polled(void *owner, const control_answer_t *answer)
{
    http_entry_t *entry = owner;
    control_box_t box;
    bool by_contract;
    entry->call = NULL;
    reading_t reading = read_answer(entry, answer, &box, &entry->failure, &by_contract);
    if (entry->outdated) {
        entry->failure = NULL;
        poll_later(entry);
    } else if (reading == READ_BOX) {
        entry->failure = NULL;
        notify_box(entry, &box, entry->requested_us);
        follow(entry, box.state);
    } else if (reading == READ_NO_BOX) {
        notify_gone(entry);
        end_resume(entry, PROVIDER_GONE, NULL);
    } else {
        /* Also with an open breaker: the resume was requested, and may be done when it closes. */
        entry->failure = "The control plane cannot be asked about the box.";
        poll_later(entry);
    }
    return by_contract;
}

static bool on_resume_answered(void *owner, const control_answer_t *answer)
{
    http_entry_t *entry = owner;
    control_box_t box;
    const char *sentence;
    bool by_contract = true;
    entry->call = NULL;
    if (answer->status == 202 || (entry->outdated && answer->status == 200)) {
        poll_later(entry); /* the resume is still under way */
        return true;
    }
    switch (read_answer(entry, answer, &box, &sentence, &by_contract)) {
    case READ_BOX:
        notify_box(entry, &box, entry->requested_us);
        follow(entry, box.state);
        break;
    case READ_NO_BOX:
        notify_gone(entry);
        end_resume(entry, PROVIDER_GONE, NULL);
        break;
    case READ_UNUSABLE:
        end_resume(entry, answer->status >= 400 ? PROVIDER_FAILED : PROVIDER_UNAVAILABLE, sentence);
        break;
    }
    return by_contract;
}

static void on_overfull(deadline_t *deadline)
{
    http_entry_t *entry = CONTAINER_OF(http_entry_t, timer, deadline);
    end_resume(entry, PROVIDER_UNAVAILABLE, "Too many calls to the control plane are in progress.");
}

static void http_resume(provider_t *provider, str_t id)
{
    http_provider_t *http = http_of(provider);
    http_entry_t *entry = find_or_add(http, id);
    if (entry->pending == PENDING_LOOK)
        control_call_cancel(&entry->call);
    else if (entry->pending != PENDING_NOTHING)
        return;
    entry->pending = PENDING_RESUME;
    entry->outdated = false;
    entry->failure = NULL;
    entry->polls = 0;
    entry->until_ms = loop_now(http->loop) + CONTROL_RESUME_MS;
    entry->call = send_request(entry, true, CONTROL_TRIES, on_resume_answered);
    if (entry->call == NULL)
        deadline_set(http->loop, &entry->timer, loop_now(http->loop), on_overfull);
}

/* The control plane pauses its boxes: none has an idle time here. */
static void http_pause(provider_t *provider, str_t id)
{
    (void)provider;
    (void)id;
}

void provider_http_push(provider_t *provider, const control_box_t *box)
{
    http_provider_t *http = http_of(provider);
    http_entry_t *entry = find_or_add(http, str_from(box->box.id));
    pending_t pending = entry->pending;
    entry->outdated = true;
    notify_box(entry, box, 0); /* a listener may ask immediately */
    if (pending == PENDING_NOTHING || pending == PENDING_LOOK)
        forget_if_gone(http, box->box.id);
    else
        follow(entry, box->state);
}

/* ---- activity ---- */

static void report(http_provider_t *http);

static bool on_reported(void *owner, const control_answer_t *answer)
{
    http_provider_t *http = owner;
    http->reporting = NULL;
    /* No retry: the next report has the boxes that are still active. */
    if (!loop_timer_running(&http->report) && !list_is_empty(&http->active))
        report(http);
    return answer->status < 300 || answer->status >= 400;
}

static void on_report_time(loop_timer_t *timer)
{
    http_provider_t *http = CONTAINER_OF(http_provider_t, report, timer);
    if (http->reporting == NULL && !list_is_empty(&http->active))
        report(http);
}

static void report(http_provider_t *http)
{
    char *body = malloc(ACTIVITY_BUF);
    assert(body != NULL && http->reporting == NULL);
    int start = snprintf(body, ACTIVITY_BUF, "{\"boxes\":[");
    size_t n = (size_t)start;
    for (unsigned i = 0; i < CONTROL_ACTIVITY_BOXES && !list_is_empty(&http->active); i++) {
        http_entry_t *entry = CONTAINER_OF(http_entry_t, active, http->active.next);
        list_unlink(&entry->active);
        int wrote = snprintf(body + n, ACTIVITY_BUF - n, "%s\"%s\"", i == 0 ? "" : ",", entry->id);
        n += (size_t)wrote;
    }
    memcpy(body + n, "]}", 2);
    uint64_t now = loop_now(http->loop);
    control_request_t request = {.method = "POST",
                                 .path = "/activity",
                                 .body = str_make(body, n + 2),
                                 .tries = 1,
                                 .until_ms = now + LOOK_MS};
    http->reporting = control_call(http->calls, &request, on_reported, http);
    free(body);
    loop_timer_start(http->loop, &http->report, CONTROL_ACTIVITY_MS, on_report_time);
}

static void http_activity(provider_t *provider, str_t ids)
{
    http_provider_t *http = http_of(provider);
    while (ids.n > 0) {
        const char *end = memchr(ids.p, '\n', ids.n);
        str_t id = str_make(ids.p, end != NULL ? (size_t)(end - ids.p) : ids.n);
        ids = str_from_offset(ids, end != NULL ? id.n + 1 : id.n);
        if (!box_id_valid(id))
            continue;
        http_entry_t *entry = find_or_add(http, id);
        if (!list_is_linked(&entry->active))
            list_insert(&http->active, &entry->active);
    }
    if (!loop_timer_running(&http->report) && !list_is_empty(&http->active))
        loop_timer_start(http->loop, &http->report, CONTROL_ACTIVITY_MS, on_report_time);
}

/* ---- life ---- */

static void http_set_conf(provider_t *provider, const conf_t *conf)
{
    control_calls_set_conf(http_of(provider)->calls, conf);
}

static void http_free(provider_t *provider)
{
    http_provider_t *http = http_of(provider);
    while (!list_is_empty(&http->used)) {
        http_entry_t *entry = CONTAINER_OF(http_entry_t, used, http->used.next);
        control_call_cancel(&entry->call);
        deadline_clear(&entry->timer);
        entry->pending = PENDING_NOTHING;
        forget(entry);
    }
    loop_timer_stop(&http->report);
    control_call_cancel(&http->reporting);
    control_calls_free(&http->calls);
    random_source_free(&http->random);
    free(http);
}

provider_t *provider_http_new(loop_t *loop, fetcher_t *fetcher, const conf_t *conf,
                              const provider_handlers_t *handlers, void *owner)
{
    http_provider_t *http = calloc(1, sizeof(*http));
    assert(http != NULL);
    *http = (http_provider_t){
        .base = {.kind = PROVIDER_HTTP,
                 .handlers = handlers,
                 .owner = owner,
                 .resume = http_resume,
                 .pause = http_pause,
                 .look = http_look,
                 .activity = http_activity,
                 .set_conf = http_set_conf,
                 .free = http_free},
        .loop = loop,
        .random = random_source_new(),
    };
    http->entries = NAME_MAP(http_entry_t, id);
    list_init(&http->used);
    list_init(&http->active);
    http->calls = control_calls_new(loop, fetcher, http->random, conf);
    return &http->base;
}
