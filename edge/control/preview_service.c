#include "preview_service.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "link_message.h"
#include "list.h"
#include "own_address.h"
#include "preview_message.h"
#include "process.h"
#include "process_log.h"

/* Uses of links that wait to be recorded: later ones are dropped. */
#define NOTES_MAX 256

struct preview_service {
    store_thread_t *store;
    worker_links_t *worker_links;
    size_t jobs;
    size_t notes; /* jobs of LINK_NOTE */
    bool closed;
};

typedef struct preview_job {
    store_job_t job;
    preview_service_t *service;
    unsigned worker;
    uint64_t number;
    uint64_t now; /* unix seconds */
    preview_call_t call;
    preview_answer_t answer;
} preview_job_t;

static void free_if_idle(preview_service_t *service)
{
    if (service->closed && service->jobs == 0)
        free(service);
}

preview_service_t *preview_service_new(store_thread_t *store, worker_links_t *worker_links)
{
    preview_service_t *service = calloc(1, sizeof(*service));
    assert(service != NULL);
    *service = (preview_service_t){.store = store, .worker_links = worker_links};
    return service;
}

void preview_service_free(preview_service_t **service)
{
    preview_service_t *freed = *service;
    *service = NULL;
    if (freed == NULL)
        return;
    freed->closed = true;
    free_if_idle(freed);
}

/* ---- on the store's thread ---- */

static void refuse(preview_job_t *job, int status, const char *code, const char *sentence)
{
    job->answer.status = status;
    (void)snprintf(job->answer.code, sizeof(job->answer.code), "%s", code);
    (void)snprintf(job->answer.sentence, sizeof(job->answer.sentence), "%s", sentence);
}

static void take_result(preview_job_t *job, store_result_t result)
{
    job->answer.status = 200;
    if (result == STORE_NOT_FOUND)
        refuse(job, 404, "preview_not_found", "There is no preview on this port.");
    else if (result == STORE_FULL)
        refuse(job, 507, "store_full", "The store of this edge, or its disk, has no room for this preview.");
    else if (result != STORE_OK)
        refuse(job, 503, "store_unavailable", "The edge cannot write to its store right now.");
    job->job.changed = result == STORE_OK;
}

/* The box is this machine, and the operator has declared no ports of it. Callers of the API must not expose
 * ports of the machine. conf_check_files checks that too, but the machine may have got an address since.
 */
static bool is_whole_machine(const store_box_t *box)
{
    return box->state == BOX_RUNNING && box->provider == PROVIDER_STATIC && box->fixed_port == 0 &&
           box->port_count == 0 && own_address(&box->address);
}

static void create(preview_job_t *job, store_t *store)
{
    store_preview_t preview = {
        .port = job->call.port, .created_at = job->now, .bearer = job->call.bearer, .basic = job->call.basic};
    store_box_t box = {.state = BOX_UNKNOWN};
    memcpy(preview.id, job->call.id, sizeof(preview.id));
    if (store_get_box(store, str_from(preview.id), &box) != STORE_OK)
        box.state = BOX_UNKNOWN;
    if (store_is_being_deleted(store, str_from(preview.id)) != STORE_NOT_FOUND) {
        refuse(job, 409, "box_being_deleted", "The deletion of this box is in progress.");
        return;
    }
    if (store_deletion_ended_since(store, str_from(preview.id), job->call.deletions)) {
        refuse(job, 409, "box_being_deleted",
               "The box may have been deleted since this request began: try again.");
        return;
    }
    if (is_whole_machine(&box)) {
        refuse(
            job, 403, "port_not_exposed",
            "No port of this box is declared: ask the operator of this edge to declare it (boxes[].ports).");
        return;
    }
    char why[PREVIEW_WHY_MAX];
    const char *code = preview_refusal(&box, &preview, why);
    if (code != NULL) {
        refuse(job, 400, code, why);
        return;
    }
    if (job->call.dash && !preview_alias_dash(&preview)) {
        refuse(job, 400, "bad_alias", "No host name without an underscore can be made from this box's id.");
        return;
    }
    int status;
    code = preview_alias_refusal(store, &preview, &status, why);
    if (code != NULL) {
        refuse(job, status, code, why);
        return;
    }
    memcpy(job->answer.alias, preview.alias, sizeof(preview.alias));
    preview_secrets_make(&job->answer.secrets, &preview);
    take_result(job, store_put_preview(store, &preview));
}

static void run(store_job_t *base, store_t *store)
{
    preview_job_t *job = CONTAINER_OF(preview_job_t, job, base);
    switch ((preview_op_t)job->call.op) {
    case PREVIEW_CREATE:
        create(job, store);
        break;
    case PREVIEW_DELETE:
        take_result(job, store_delete_preview(store, str_from(job->call.id), job->call.port));
        break;
    }
}

/* ---- on the loop ---- */

static void log_result(const preview_job_t *job)
{
    if (job->answer.status == 200)
        process_log(LOG_PREVIEW_CHANGED, "controller", "preview %s-%u %s over the box API", job->call.id,
                    job->call.port, job->call.op == PREVIEW_CREATE ? "created" : "deleted");
}

static void answer(preview_job_t *job)
{
    str_t bytes = str_make((const char *)&job->answer, sizeof(job->answer));
    if (!job->service->closed)
        worker_links_notify(job->service->worker_links, job->worker, PROCESS_PREVIEW_DONE, job->number,
                            bytes);
    preview_secrets_fini(&job->answer.secrets);
}

static void done(store_job_t *base)
{
    preview_job_t *job = CONTAINER_OF(preview_job_t, job, base);
    log_result(job);
    answer(job);
    job->service->jobs--;
    free_if_idle(job->service);
    free(job);
}

void preview_service_take(preview_service_t *service, unsigned index, uint64_t number, str_t bytes,
                          uint64_t now_unix)
{
    preview_job_t *job = calloc(1, sizeof(*job));
    assert(job != NULL);
    *job = (preview_job_t){.job = {.run = run, .done = done},
                           .service = service,
                           .worker = index,
                           .number = number,
                           .now = now_unix};
    if (!preview_call_read(bytes, &job->call)) {
        free(job);
        return;
    }
    if (!store_thread_add(service->store, &job->job)) {
        refuse(job, 503, "store_busy",
               "Too many changes wait for the store of this edge: try again shortly.");
        log_result(job);
        answer(job);
        free(job);
        return;
    }
    service->jobs++;
}

/* ---- links ---- */

typedef struct link_job {
    store_job_t job;
    preview_service_t *service;
    unsigned worker;
    uint64_t number;
    uint64_t now; /* unix seconds */
    link_call_t call;
    store_link_t link;
    preview_answer_t answer;
    bool ends; /* sessions have ended, and with them their tunnels */
} link_job_t;

static void link_refuse(link_job_t *job, int status, const char *code, const char *sentence)
{
    job->answer.status = status;
    (void)snprintf(job->answer.code, sizeof(job->answer.code), "%s", code);
    (void)snprintf(job->answer.sentence, sizeof(job->answer.sentence), "%s", sentence);
}

static void link_succeed(link_job_t *job)
{
    link_answer_t answer = {job->link.id, job->link.opened, job->link.expires_at};
    job->answer.status = 200;
    link_answer_write(&job->answer, &answer);
    memcpy(job->answer.alias, job->link.alias, sizeof(job->answer.alias));
}

static void link_take_result(link_job_t *job, store_result_t result)
{
    if (result == STORE_OK)
        link_succeed(job);
    else if (result == STORE_NOT_FOUND || result == STORE_CONFLICT)
        link_refuse(job, 404, "link_not_found", "There is no such link, or it has ended.");
    else if (result == STORE_FULL)
        link_refuse(job, 507, "store_full", "The store of this edge, or its disk, has no room.");
    else
        link_refuse(job, 503, "store_unavailable", "The edge cannot write to its store right now.");
}

/* A session beyond those that stay valid ends the oldest one. */
static void link_open(link_job_t *job, store_t *store)
{
    store_result_t result =
        store_open_link(store, str_from(job->call.box), job->call.port, job->call.link, job->now, &job->link);
    link_take_result(job, result);
    job->ends = result == STORE_OK && job->link.opened > job->link.sessions;
    job->job.changed = job->ends;
}

static void link_create(link_job_t *job, store_t *store)
{
    store_link_t *link = &job->link;
    int status;
    char why[PREVIEW_WHY_MAX];
    memcpy(link->box, job->call.box, sizeof(link->box));
    memcpy(link->label, job->call.label, sizeof(link->label));
    memcpy(link->path, job->call.path, sizeof(link->path));
    link->port = job->call.port;
    link->once = job->call.once != 0;
    link->read_only = job->call.read_only != 0;
    link->allow_websocket = job->call.allow_websocket != 0;
    const char *code = link_make(store, link, job->call.hide_box != 0, job->call.seconds, job->now,
                                 job->answer.secrets.token, &status, why);
    if (code != NULL) {
        link_refuse(job, status, code, why);
        return;
    }
    link_succeed(job);
    job->job.changed = true;
}

/* Only a link of this preview: the caller's right is to its box. */
static void link_revoke(link_job_t *job, store_t *store)
{
    store_result_t result =
        store_get_link(store, str_from(job->call.box), job->call.port, job->call.link, &job->link);
    if (result == STORE_OK)
        result = store_delete_link(store, job->call.link, &job->link);
    link_take_result(job, result);
    job->job.changed = job->ends = result == STORE_OK;
}

static void link_run(store_job_t *base, store_t *store)
{
    link_job_t *job = CONTAINER_OF(link_job_t, job, base);
    switch ((link_op_t)job->call.op) {
    case LINK_OPEN:
        link_open(job, store);
        break;
    case LINK_NOTE:
        if (store_note_link(store, str_from(job->call.box), job->call.port, job->call.link,
                            job->call.used_at) == STORE_OK)
            job->answer.status = 200;
        break;
    case LINK_CREATE:
        link_create(job, store);
        break;
    case LINK_REVOKE:
        link_revoke(job, store);
        break;
    }
}

static void link_log_result(const link_job_t *job)
{
    char id[LINK_ID_DIGITS + 1];
    bool created = job->call.op == LINK_CREATE;
    if (job->answer.status != 200 || (!created && job->call.op != LINK_REVOKE))
        return;
    link_id_text(job->link.id, id);
    process_log(LOG_PREVIEW_CHANGED, "controller", "link %s of preview %s-%u %s over the box API", id,
                job->call.box, job->call.port, created ? "created" : "revoked");
}

static void link_answer(link_job_t *job)
{
    str_t bytes = str_make((const char *)&job->answer, sizeof(job->answer));
    if (!job->service->closed && job->call.op != LINK_NOTE)
        worker_links_notify(job->service->worker_links, job->worker, PROCESS_PREVIEW_DONE, job->number,
                            bytes);
    preview_secrets_fini(&job->answer.secrets);
}

static void link_done(store_job_t *base)
{
    link_job_t *job = CONTAINER_OF(link_job_t, job, base);
    preview_service_t *service = job->service;
    link_log_result(job);
    if (job->ends && !service->closed)
        worker_links_end_tunnels(service->worker_links, "links", 0);
    link_answer(job);
    service->jobs--;
    service->notes -= job->call.op == LINK_NOTE;
    free_if_idle(service);
    free(job);
}

void preview_service_take_link(preview_service_t *service, unsigned index, uint64_t number, str_t bytes,
                               uint64_t now_unix)
{
    link_job_t *job = calloc(1, sizeof(*job));
    assert(job != NULL);
    *job = (link_job_t){.job = {.run = link_run, .done = link_done},
                        .service = service,
                        .worker = index,
                        .number = number,
                        .now = now_unix};
    bool valid = link_call_read(bytes, &job->call);
    if (!valid || (job->call.op == LINK_NOTE && service->notes >= NOTES_MAX)) {
        free(job);
        return;
    }
    if (!store_thread_add(service->store, &job->job)) {
        link_refuse(job, 503, "store_busy",
                    "Too many changes wait for the store of this edge: try again shortly.");
        link_answer(job);
        free(job);
        return;
    }
    service->jobs++;
    service->notes += job->call.op == LINK_NOTE;
}
