/*
 * Changes of a preview over the admin API: only the fields in the request change. Sessions and open tunnels
 * stay, unless credentials change.
 */
#include <assert.h>

#include "admin_internal.h"

#include "list.h"

typedef struct update_job {
    admin_job_t base;
    uint64_t now;           /* unix seconds */
    json_t *object;         /* the request; valid */
    store_preview_t wanted; /* its name, and the fields in the request */
    preview_secrets_t secrets;
    store_box_t box;
    bool open;         /* it may become public */
    bool kill_tunnels; /* end the open tunnels */
} update_job_t;

static bool names(const update_job_t *update, const char *field)
{
    return json_object_get(update->object, field) != NULL;
}

/* Fills the fields of `preview` that are in the request. */
static void apply_fields(const update_job_t *update, store_preview_t *preview)
{
    const store_preview_t *wanted = &update->wanted;
    if (names(update, "host_header"))
        preview->host_header = wanted->host_header;
    if (names(update, "protocol"))
        preview->protocol = wanted->protocol;
    if (names(update, "background_wakes"))
        preview->background_wakes = wanted->background_wakes;
    if (names(update, "label"))
        memcpy(preview->label, wanted->label, sizeof(preview->label));
    if (names(update, "expires_in"))
        preview->expires_at = wanted->expires_at;
    if (names(update, "allow_origins"))
        memcpy(preview->allow_origins, wanted->allow_origins, sizeof(preview->allow_origins));
}

/* The same for credentials; returns true if they changed. */
static bool apply_credentials(const update_job_t *update, store_preview_t *preview)
{
    const store_preview_t before = *preview, *wanted = &update->wanted;
    if (names(update, "bearer") || update->open) {
        preview->bearer = wanted->bearer;
        memcpy(preview->bearer_sha256, wanted->bearer_sha256, sizeof(preview->bearer_sha256));
    }
    if (names(update, "basic") || update->open) {
        preview->basic = wanted->basic;
        memcpy(preview->basic_sha256, wanted->basic_sha256, sizeof(preview->basic_sha256));
    }
    return before.bearer != preview->bearer || before.basic != preview->basic ||
           memcmp(before.bearer_sha256, preview->bearer_sha256, sizeof(before.bearer_sha256)) != 0 ||
           memcmp(before.basic_sha256, preview->basic_sha256, sizeof(before.basic_sha256)) != 0;
}

/* On the store's thread, the only writer: nothing comes between read and write. */
static store_result_t change(update_job_t *update, store_t *store)
{
    store_change_t *change = &update->base.job.change;
    store_preview_t *preview = &change->preview;
    store_result_t result =
        store_get_preview(store, str_from(update->wanted.id), update->wanted.port, preview);
    if (result != STORE_OK)
        return result;
    if (preview->expires_at != 0 && preview->expires_at <= update->now)
        return STORE_NOT_FOUND;
    bool was_public = !preview->bearer && !preview->basic;
    apply_fields(update, preview);
    change->keep_version = !apply_credentials(update, preview);
    if (!was_public && !preview->bearer && !preview->basic && !update->open)
        return STORE_CONFLICT;
    result = store_apply(store, change, 1);
    return result == STORE_OK ? change->result : result;
}

static void update_run(store_job_t *job, store_t *store)
{
    update_job_t *update = CONTAINER_OF(update_job_t, base.job, job);
    job->change.result = change(update, store);
    admin_box_of(store, &update->wanted, &update->box);
    job->changed = job->change.result == STORE_OK;
    admin_job_result(&update->base, store, job->change.result);
}

static void update_finished(const admin_job_t *job)
{
    if (job->result == STORE_OK)
        admin_preview_changed(job, "changed", ((const update_job_t *)job)->kill_tunnels);
}

static void update_answer(exchange_t *ex, admin_job_t *job)
{
    const update_job_t *update = (const update_job_t *)job;
    if (job->result == STORE_NOT_FOUND)
        admin_error(ex, 404, "no_preview", NULL, "There is no preview %s-%u.", update->wanted.id,
                    update->wanted.port);
    else if (job->result == STORE_CONFLICT)
        admin_would_become_public(ex, &update->wanted);
    else if (job->result == STORE_TAKEN)
        admin_alias_taken(ex, &job->job.change.preview);
    else if (job->result != STORE_OK)
        admin_store_error(ex, job->result, job->why);
    else
        admin_reply(ex, 200,
                    admin_preview_json_with(ex, &job->job.change.preview, &update->box, &update->secrets));
}

static void update_fini(admin_job_t *job)
{
    update_job_t *update = (update_job_t *)job;
    json_decref(update->object);
    preview_secrets_fini(&update->secrets);
}

/* null: the preview no longer expires. */
static void take_no_expiry(json_t *object, bool *never)
{
    *never = json_is_null(json_object_get(object, "expires_in"));
    if (*never)
        json_object_del(object, "expires_in");
}

static bool parse(exchange_t *ex, str_t body, update_job_t *update)
{
    static admin_fields_t fields = {
        "host_header", "protocol", "background_wakes", "bearer",       "basic", "public",
        "expires_in",  "label",    "allow_origins",    "kill_tunnels", NULL};
    store_preview_t *wanted = &update->wanted;
    bool never = false;
    update->object = admin_object(ex, body, "A change of a preview", fields);
    if (update->object == NULL)
        return false;
    take_no_expiry(update->object, &never);
    bool ok = admin_take_credentials(ex, update->object, &wanted->bearer, &wanted->basic, &update->open) &&
              admin_take_preview_fields(ex, update->object, update->now, wanted) &&
              admin_take_flag(ex, update->object, "kill_tunnels", &update->kill_tunnels);
    if (never)
        json_object_set_new(update->object, "expires_in", json_null());
    return ok;
}

void admin_previews_update(exchange_t *ex, str_t body, void *arg)
{
    (void)arg;
    str_t rest = str_from_offset(ex->request.target, STR("/v1/previews/").n);
    update_job_t *update = calloc(1, sizeof *update);
    assert(update != NULL);
    update->now = loop_wall_us(ex->context->loop) / 1000000;
    update->base = (admin_job_t){.job = {.run = update_run},
                                 .finished = update_finished,
                                 .answer = update_answer,
                                 .fini = update_fini};
    if (!admin_take_preview_path(rest, &update->wanted)) {
        admin_error(ex, 400, "bad_preview", NULL,
                    "A preview is changed with PATCH /v1/previews/<box id>/<port>.");
    } else if (parse(ex, body, update)) {
        preview_secrets_make(&update->secrets, &update->wanted);
        admin_job_start(ex, &update->base);
        return;
    }
    update_fini(&update->base);
    free(update);
}
