/*
 * Creation of a preview over the admin API: checks it, makes its secrets, which only this answer shows, and
 * answers.
 */
#include <assert.h>

#include "admin_internal.h"
#include "list.h"
#include "preview_make.h"

typedef struct create_job {
    admin_job_t base;
    store_preview_t preview;
    store_box_t box;
    preview_secrets_t secrets;
    const char *alias_code; /* why its alias or id is refused, a literal; NULL: not refused */
    int alias_status;
    char alias_why[PREVIEW_WHY_MAX];
    bool open; /* it may replace a preview with credentials */
    bool kill_tunnels;
    bool being_deleted;
} create_job_t;

static void create_finished(const admin_job_t *job)
{
    admin_preview_changed(job, "created", ((const create_job_t *)job)->kill_tunnels);
}

static void create_fini(admin_job_t *job)
{
    preview_secrets_fini(&((create_job_t *)job)->secrets);
}

/* ---- reading the request ---- */

/* Fills the name, or answers and returns false. */
static bool take_name(exchange_t *ex, json_t *object, store_preview_t *preview)
{
    json_t *box = json_object_get(object, "box");
    json_t *port = json_object_get(object, "port");
    str_t id = str_make(json_string_value(box), json_string_length(box));
    if (!json_is_string(box) || !admin_take_id(preview->id, id)) {
        admin_error(ex, 400, "bad_box", NULL,
                    "\"box\" must be a box id: 1 to 57 of a-z 0-9 - _, with a letter or digit at both ends.");
        return false;
    }
    json_int_t number = json_integer_value(port);
    if (!json_is_integer(port) || number < 1 || number > 65535) {
        admin_error(ex, 400, "bad_port", NULL, "\"port\" must be a number from 1 to 65535.");
        return false;
    }
    if (!preview_label_fits(id, (uint16_t)number)) {
        admin_error(ex, 400, "label_too_long", NULL,
                    "\"%.*s-%d\" is too long for a host name: box id, dash and port may have 63 characters.",
                    STR_ARG(id), (int)number);
        return false;
    }
    preview->port = (uint16_t)number;
    return true;
}

static bool take_alias(exchange_t *ex, const json_t *value, store_preview_t *preview)
{
    str_t alias = str_make(json_string_value(value), json_string_length(value));
    if (value == NULL)
        return true;
    if (!json_is_string(value) || !store_alias_valid(alias) || !preview_label_fits(alias, preview->port)) {
        admin_error(
            ex, 400, "bad_alias", NULL,
            "\"alias\" must be letters, digits and -, with a letter or digit at both ends; with a dash "
            "and the port it may have 63 characters.");
        return false;
    }
    memcpy(preview->alias, alias.p, alias.n + 1);
    return true;
}

static bool parse_preview(exchange_t *ex, str_t body, create_job_t *create)
{
    static admin_fields_t fields = {
        "box",    "port",       "host_header", "protocol",      "background_wakes", "bearer", "basic",
        "public", "expires_in", "label",       "allow_origins", "kill_tunnels",     "alias",  NULL};
    store_preview_t *preview = &create->preview;
    json_t *object = admin_object(ex, body, "A preview", fields);
    bool ok = object != NULL && take_name(ex, object, preview) &&
              admin_take_credentials(ex, object, &preview->bearer, &preview->basic, &create->open) &&
              admin_take_preview_fields(ex, object, preview->created_at, preview) &&
              take_alias(ex, json_object_get(object, "alias"), preview) &&
              admin_take_flag(ex, object, "kill_tunnels", &create->kill_tunnels);
    json_decref(object);
    return ok;
}

/* ---- the answer ---- */

/* The preview is on disk. */
static void committed_answer(exchange_t *ex, admin_job_t *job)
{
    const create_job_t *create = (const create_job_t *)job;
    if (job->job.change.result == STORE_CONFLICT) {
        admin_would_become_public(ex, &create->preview);
        return;
    }
    if (job->job.change.result == STORE_TAKEN) {
        admin_alias_taken(ex, &create->preview);
        return;
    }
    if (job->job.change.result != STORE_OK) {
        admin_store_error(ex, job->job.change.result, admin_disk_text(job->job.change.disk_error));
        return;
    }
    json_t *body = admin_preview_json_with(ex, &job->job.change.preview, &create->box, &create->secrets);
    if (create->box.state == BOX_UNKNOWN)
        json_object_set_new(body, "note",
                            json_sprintf("No box \"%s\" is known yet: the preview answers once there is one.",
                                         create->preview.id));
    else if (create->being_deleted)
        json_object_set_new(
            body, "note",
            json_sprintf("The deletion of box \"%s\" is in progress: the preview answers if the box remains.",
                         create->preview.id));
    admin_reply(ex, 201, body);
}

static void lookup_run(store_job_t *job, store_t *store)
{
    create_job_t *create = CONTAINER_OF(create_job_t, base.job, job);
    store_result_t result = store_get_box(store, str_from(create->preview.id), &create->box);
    if (result != STORE_OK)
        create->box = (store_box_t){.state = BOX_UNKNOWN};
    create->being_deleted = store_is_being_deleted(store, str_from(create->preview.id)) == STORE_OK;
    create->alias_code =
        preview_alias_refusal(store, &create->preview, &create->alias_status, create->alias_why);
    admin_job_result(&create->base, store, result);
}

/* The preview is refused. */
static void refused_answer(exchange_t *ex, admin_job_t *job)
{
    const create_job_t *create = (const create_job_t *)job;
    char why[PREVIEW_WHY_MAX];
    const char *code = preview_refusal(&create->box, &create->preview, why);
    if (code != NULL)
        admin_error(ex, 400, code, NULL, "%s", why);
    else
        admin_error(ex, create->alias_status, create->alias_code, NULL, "%s", create->alias_why);
}

/* The preview and its alias are allowed: the edge makes it, even if the client has gone. */
static bool looked_up(admin_job_t *job)
{
    create_job_t *create = (create_job_t *)job;
    char why[PREVIEW_WHY_MAX];
    if (preview_refusal(&create->box, &create->preview, why) != NULL || create->alias_code != NULL)
        return false;
    preview_secrets_make(&create->secrets, &create->preview);
    job->job.run = NULL;
    job->job.change = (store_change_t){.preview = create->preview, .stay_private = !create->open};
    job->finished = create_finished;
    job->answer = committed_answer;
    job->fini = create_fini;
    return true;
}

void admin_previews_create(exchange_t *ex, str_t body, void *arg)
{
    (void)arg;
    create_job_t *create = calloc(1, sizeof *create);
    assert(create != NULL);
    create->preview.created_at = loop_wall_us(ex->context->loop) / 1000000;
    if (!parse_preview(ex, body, create)) {
        free(create);
        return;
    }
    create->base = (admin_job_t){.job = {.run = lookup_run}, .go_on = looked_up, .answer = refused_answer};
    admin_job_start(ex, &create->base);
}
