/*
 * Creating a preview over the admin API: what it may carry, the secrets that are made for it and shown this
 * once, and the answer.
 */
#include <assert.h>

#include "admin_private.h"
#include "preview_make.h"
#include "preview_text.h"

/* A preview lives at most so long by expires_in: ten years. */
#define EXPIRES_IN_MAX 315360000

typedef struct create_job {
    admin_job_t base;
    store_preview_t preview;
    store_box_t box;
    preview_secrets_t secrets;
    bool kill_tunnels;
} create_job_t;

static void create_finished(const admin_job_t *job)
{
    admin_preview_changed(job, ((const create_job_t *)job)->kill_tunnels);
}

static void create_fini(admin_job_t *job)
{
    preview_secrets_fini(&((create_job_t *)job)->secrets);
}

/* ---- reading the request ---- */

/* Checks the host header, which may be left out. */
static bool take_host_header(const json_t *value, host_header_t *out)
{
    *out = HOST_HEADER_PUBLIC;
    if (value == NULL)
        return true;
    const char *text = json_string_value(value);
    if (text != NULL && strcmp(text, "localhost") == 0)
        *out = HOST_HEADER_LOCALHOST;
    return text != NULL && (strcmp(text, "localhost") == 0 || strcmp(text, "public") == 0);
}

/* Checks the protocol, which may be left out. */
static bool take_protocol(const json_t *value, preview_protocol_t *out)
{
    *out = PREVIEW_HTTP1;
    if (value == NULL)
        return true;
    const char *text = json_string_value(value);
    if (text != NULL && strcmp(text, "h2c") == 0)
        *out = PREVIEW_H2C;
    return text != NULL && (strcmp(text, "h2c") == 0 || strcmp(text, "http1") == 0);
}

static bool take_label(exchange_t *ex, json_t *object, store_preview_t *preview)
{
    json_t *value = json_object_get(object, "label");
    str_t text = str_make(json_string_value(value), json_string_length(value));
    if (value != NULL && (!json_is_string(value) || !preview_label_valid(text))) {
        admin_error(ex, 400, "bad_label", NULL, "\"label\" must be printable text of at most %d bytes.",
                    STORE_LABEL_MAX);
        return false;
    }
    if (text.n != 0)
        memcpy(preview->label, text.p, text.n);
    return true;
}

static bool take_expiry(exchange_t *ex, json_t *object, uint64_t now, store_preview_t *preview)
{
    json_t *value = json_object_get(object, "expires_in");
    json_int_t seconds = json_integer_value(value);
    if (value != NULL && (!json_is_integer(value) || seconds < 1 || seconds > EXPIRES_IN_MAX)) {
        admin_error(ex, 400, "bad_expiry", NULL, "\"expires_in\" must be a number of seconds from 1 to %d.",
                    EXPIRES_IN_MAX);
        return false;
    }
    preview->expires_at = value != NULL ? now + (uint64_t)seconds : 0;
    return true;
}

static bool take_origins(exchange_t *ex, json_t *object, store_preview_t *preview)
{
    json_t *list = json_object_get(object, "allow_origins");
    bool ok = list == NULL || json_is_array(list);
    for (size_t i = 0; ok && i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        str_t text = str_make(json_string_value(item), json_string_length(item));
        ok = json_is_string(item) && preview_origins_add(preview->allow_origins, text);
    }
    if (!ok)
        admin_error(ex, 400, "bad_origin", NULL,
                    "\"allow_origins\" must be a list of origins such as \"https://app.example\", %d "
                    "characters in all.",
                    STORE_ORIGINS_MAX);
    return ok;
}

/* The name, the Host and the protocol, or answers and returns false. */
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
    if (!take_host_header(json_object_get(object, "host_header"), &preview->host_header)) {
        admin_error(ex, 400, "bad_host_header", NULL, "\"host_header\" must be \"public\" or \"localhost\".");
        return false;
    }
    if (!take_protocol(json_object_get(object, "protocol"), &preview->protocol)) {
        admin_error(ex, 400, "bad_protocol", NULL, "\"protocol\" must be \"http1\" or \"h2c\".");
        return false;
    }
    preview->port = (uint16_t)number;
    return true;
}

static bool parse_preview(exchange_t *ex, str_t body, store_preview_t *preview, bool *kill_tunnels)
{
    static admin_fields_t fields = {"box",        "port",  "host_header",   "protocol",     "bearer", "basic",
                                    "expires_in", "label", "allow_origins", "kill_tunnels", NULL};
    json_t *object = admin_object(ex, body, "A preview", fields);
    bool ok = object != NULL && take_name(ex, object, preview) &&
              admin_take_flag(ex, object, "bearer", &preview->bearer) &&
              admin_take_flag(ex, object, "basic", &preview->basic) && take_label(ex, object, preview) &&
              take_expiry(ex, object, preview->created_at, preview) && take_origins(ex, object, preview) &&
              admin_take_flag(ex, object, "kill_tunnels", kill_tunnels);
    json_decref(object);
    return ok;
}

/* ---- the answer ---- */

/* The preview is on disk. */
static void committed_answer(exchange_t *ex, admin_job_t *job)
{
    const create_job_t *create = (const create_job_t *)job;
    if (job->job.change.result != STORE_OK) {
        admin_store_error(ex, job->job.change.result, "");
        return;
    }
    json_t *body = admin_preview_json(ex, &job->job.change.preview);
    if (create->secrets.token[0] != '\0')
        json_object_set_new(body, "token", json_string(create->secrets.token));
    if (create->secrets.password[0] != '\0') {
        json_object_set_new(body, "username", json_string(PREVIEW_USERNAME));
        json_object_set_new(body, "password", json_string(create->secrets.password));
    }
    if (create->box.state == BOX_UNKNOWN)
        json_object_set_new(body, "note",
                            json_sprintf("No box \"%s\" is known yet: the preview answers once there is one.",
                                         create->preview.id));
    admin_reply(ex, 201, body);
}

static void lookup_run(store_job_t *job, store_t *store)
{
    create_job_t *create = H2O_STRUCT_FROM_MEMBER(create_job_t, base.job, job);
    store_result_t result = store_get_box(store, str_from(create->preview.id), &create->box);
    if (result != STORE_OK)
        create->box.state = BOX_UNKNOWN;
    admin_job_result(&create->base, store, result);
}

static void looked_up(exchange_t *ex, admin_job_t *job)
{
    create_job_t *lookup = (create_job_t *)job;
    char why[PREVIEW_WHY_MAX];
    const char *code = preview_refusal(&lookup->box, &lookup->preview, why);
    if (code != NULL) {
        admin_error(ex, 400, code, NULL, "%s", why);
        return;
    }
    create_job_t *create = calloc(1, sizeof *create);
    assert(create != NULL);
    *create = *lookup;
    create->base =
        (admin_job_t){.finished = create_finished, .answer = committed_answer, .fini = create_fini};
    preview_secrets_make(&create->secrets, &create->preview);
    create->base.job.change.preview = create->preview;
    admin_job_start(ex, &create->base);
}

void admin_previews_create(exchange_t *ex, str_t body, void *arg)
{
    (void)arg;
    store_preview_t preview = {.created_at = loop_wall_us(ex->worker->loop) / 1000000};
    bool kill_tunnels;
    if (!parse_preview(ex, body, &preview, &kill_tunnels))
        return;
    create_job_t *create = calloc(1, sizeof *create);
    assert(create != NULL);
    create->kill_tunnels = kill_tunnels;
    create->preview = preview;
    create->base = (admin_job_t){.job = {.run = lookup_run}, .answer = looked_up};
    admin_job_start(ex, &create->base);
}
