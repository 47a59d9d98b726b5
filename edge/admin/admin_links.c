/*
 * Links to previews over the admin API: list, create, revoke.
 */
#include <assert.h>

#include <openssl/crypto.h>

#include "admin_internal.h"
#include "link_address.h"
#include "link_make.h"
#include "list.h"
#include "preview_text.h"
#include "process_log.h"

static json_t *link_json(const store_link_t *link)
{
    char id[LINK_ID_DIGITS + 1];
    link_id_text(link->id, id);
    json_t *json =
        json_pack("{s:s,s:s,s:i,s:I,s:I,s:I,s:i,s:b,s:b,s:s}", "id", id, "box", link->box, "port",
                  (int)link->port, "created_at", (json_int_t)link->created_at, "expires_at",
                  (json_int_t)link->expires_at, "opened", (json_int_t)link->opened, "sessions",
                  (int)link->sessions, "once", link->once, "read_only", link->read_only, "path", link->path);
    assert(json != NULL);
    if (link->read_only)
        json_object_set_new(json, "allow_websocket", json_boolean(link->allow_websocket));
    if (link->label[0] != '\0')
        json_object_set_new(json, "label", json_string(link->label));
    if (link->used_at != 0)
        json_object_set_new(json, "last_used_at", json_integer((json_int_t)link->used_at));
    return json;
}

/* ---- create ---- */

typedef struct create_job {
    admin_job_t base;
    store_link_t link;
    store_preview_t preview; /* to which it belongs */
    uint64_t seconds;
    uint64_t now;
    char secret[SECRET_TEXT_LEN + 1];
    const char *code; /* why it is refused, a literal; NULL: it is made */
    int status;
    char refusal[PREVIEW_WHY_MAX];
} create_job_t;

static void create_run(store_job_t *job, store_t *store)
{
    create_job_t *create = CONTAINER_OF(create_job_t, base.job, job);
    create->code = link_make(store, &create->link, false, create->seconds, create->now, create->secret,
                             &create->status, create->refusal);
    if (create->code == NULL &&
        store_get_preview(store, str_from(create->link.box), create->link.port, &create->preview) != STORE_OK)
        create->preview = (store_preview_t){.port = create->link.port};
    job->changed = create->code == NULL;
}

static void create_finished(const admin_job_t *job)
{
    const create_job_t *create = (const create_job_t *)job;
    char id[LINK_ID_DIGITS + 1];
    link_id_text(create->link.id, id);
    if (create->code == NULL)
        process_log(LOG_PREVIEW_CHANGED, "controller", "link %s of preview %s-%u created by uid %ld", id,
                    create->link.box, create->link.port, job->uid);
}

static void create_answer(exchange_t *ex, admin_job_t *job)
{
    create_job_t *create = (create_job_t *)job;
    char url[LINK_URL_MAX];
    if (create->code != NULL) {
        admin_error(ex, create->status, create->code, NULL, "%s", create->refusal);
        return;
    }
    json_t *json = link_json(&create->link);
    link_address(ex->context->conf, &create->link, preview_host_id(&create->preview), create->secret, url);
    json_object_set_new(json, "url", json_string(url));
    OPENSSL_cleanse(url, sizeof url);
    admin_reply(ex, 201, json);
}

static void create_fini(admin_job_t *job)
{
    create_job_t *create = (create_job_t *)job;
    OPENSSL_cleanse(create->secret, sizeof create->secret);
}

static str_t string_of(const json_t *value)
{
    return str_make(json_string_value(value), json_string_length(value));
}

/* Fills the name of the preview. False: answered. */
static bool take_name(exchange_t *ex, const json_t *object, store_link_t *link)
{
    const json_t *box = json_object_get(object, "box"), *port = json_object_get(object, "port");
    json_int_t number = json_integer_value(port);
    if (!json_is_string(box) || !admin_take_id(link->box, string_of(box))) {
        admin_error(ex, 400, "bad_box", NULL,
                    "\"box\" must be a box id: 1 to 57 of a-z 0-9 - _, with a letter or digit at both ends.");
        return false;
    }
    if (!json_is_integer(port) || number < 1 || number > 65535) {
        admin_error(ex, 400, "bad_port", NULL, "\"port\" must be a number from 1 to 65535.");
        return false;
    }
    link->port = (uint16_t)number;
    return true;
}

/* Fills label, path and lifetime. False: answered. */
static bool take_texts(exchange_t *ex, const json_t *object, create_job_t *create)
{
    const json_t *label = json_object_get(object, "label"), *path = json_object_get(object, "path"),
                 *expires = json_object_get(object, "expires_in");
    json_int_t seconds = expires != NULL ? json_integer_value(expires) : LINK_SECONDS;
    if (label != NULL && (!json_is_string(label) || !preview_label_valid(string_of(label)))) {
        admin_error(ex, 400, "bad_label", NULL, "\"label\" must be printable text of at most %d bytes.",
                    STORE_LABEL_MAX);
        return false;
    }
    if (path != NULL && (!json_is_string(path) || !link_path_valid(string_of(path)))) {
        admin_error(
            ex, 400, "bad_path", NULL,
            "\"path\" must begin with one slash, and have at most %d visible ASCII characters without "
            "a backslash.",
            STORE_LINK_PATH_MAX);
        return false;
    }
    if (seconds < 1 || seconds > LINK_SECONDS_MAX) {
        admin_error(ex, 400, "bad_expiry", NULL, "\"expires_in\" must be a number of seconds from 1 to %u.",
                    LINK_SECONDS_MAX);
        return false;
    }
    (void)snprintf(create->link.label, sizeof create->link.label, "%s",
                   label != NULL ? json_string_value(label) : "");
    (void)snprintf(create->link.path, sizeof create->link.path, "%s",
                   path != NULL ? json_string_value(path) : "/");
    create->seconds = (uint64_t)seconds;
    return true;
}

static bool take_flags(exchange_t *ex, const json_t *object, store_link_t *link)
{
    if (!admin_take_flag(ex, object, "once", &link->once) ||
        !admin_take_flag(ex, object, "read_only", &link->read_only) ||
        !admin_take_flag(ex, object, "allow_websocket", &link->allow_websocket))
        return false;
    if (!link->allow_websocket || link->read_only)
        return true;
    admin_error(ex, 400, "bad_field", NULL,
                "\"allow_websocket\" belongs to \"read_only\": other links allow WebSockets anyway.");
    return false;
}

void admin_links_create(exchange_t *ex, str_t body, void *arg)
{
    static admin_fields_t fields = {"box",  "port",      "expires_in",      "label", "path",
                                    "once", "read_only", "allow_websocket", NULL};
    (void)arg;
    create_job_t *create = calloc(1, sizeof *create);
    assert(create != NULL);
    create->now = loop_wall_us(ex->context->loop) / 1000000;
    json_t *object = admin_object(ex, body, "A link", fields);
    bool ok = object != NULL && take_name(ex, object, &create->link) && take_texts(ex, object, create) &&
              take_flags(ex, object, &create->link);
    json_decref(object);
    if (!ok) {
        free(create);
        return;
    }
    create->base.job.run = create_run;
    create->base.finished = create_finished;
    create->base.answer = create_answer;
    create->base.fini = create_fini;
    admin_job_start(ex, &create->base);
}

/* ---- revoke ---- */

typedef struct revoke_job {
    admin_job_t base;
    uint64_t id;
    store_link_t link;
} revoke_job_t;

static void revoke_run(store_job_t *job, store_t *store)
{
    revoke_job_t *revoke = CONTAINER_OF(revoke_job_t, base.job, job);
    store_result_t result = store_delete_link(store, revoke->id, &revoke->link);
    job->changed = result == STORE_OK;
    admin_job_result(&revoke->base, store, result);
}

static void revoke_finished(const admin_job_t *job)
{
    const revoke_job_t *revoke = (const revoke_job_t *)job;
    char id[LINK_ID_DIGITS + 1];
    if (job->result != STORE_OK)
        return;
    link_id_text(revoke->id, id);
    process_log(LOG_PREVIEW_CHANGED, "controller", "link %s of preview %s-%u revoked by uid %ld", id,
                revoke->link.box, revoke->link.port, job->uid);
    job->controls->end_tunnels(job->owner, "links", 0);
}

static void revoke_answer(exchange_t *ex, admin_job_t *job)
{
    const revoke_job_t *revoke = (const revoke_job_t *)job;
    char id[LINK_ID_DIGITS + 1];
    link_id_text(revoke->id, id);
    if (job->result == STORE_NOT_FOUND) {
        admin_error(ex, 404, "no_link", NULL, "There is no link %s.", id);
        return;
    }
    if (job->result != STORE_OK) {
        admin_store_error(ex, job->result, job->why);
        return;
    }
    json_t *json = json_pack("{s:s,s:s,s:i,s:b}", "id", id, "box", revoke->link.box, "port",
                             (int)revoke->link.port, "revoked", 1);
    assert(json != NULL);
    admin_reply(ex, 200, json);
}

void admin_links_revoke(exchange_t *ex, str_t body, void *arg)
{
    (void)arg;
    uint64_t id;
    if (body.n != 0 || !link_id_read(str_from_offset(ex->request.target, STR("/v1/links/").n), &id)) {
        admin_error(
            ex, 400, "bad_link", NULL,
            "A link is revoked with DELETE /v1/links/<id> and no body; an id has %d hexadecimal digits.",
            LINK_ID_DIGITS);
        return;
    }
    revoke_job_t *revoke = calloc(1, sizeof *revoke);
    assert(revoke != NULL);
    revoke->id = id;
    revoke->base.job.run = revoke_run;
    revoke->base.finished = revoke_finished;
    revoke->base.answer = revoke_answer;
    admin_job_start(ex, &revoke->base);
}

/* ---- list ---- */

/* Of one answer: the links of 10 previews. Those of a box with more previews are listed by port. */
#define LISTED_MAX (10 * STORE_LINKS_PER_PREVIEW)

typedef struct list_job {
    admin_job_t base;
    char box[BOX_ID_MAX + 1];
    uint16_t port; /* 0: all */
    uint64_t now;
    size_t count;
    bool more;
    store_link_t *found; /* LISTED_MAX */
} list_job_t;

static bool add_found(const store_link_t *link, void *arg)
{
    list_job_t *list = arg;
    list->more = list->count == LISTED_MAX;
    if (!list->more)
        list->found[list->count++] = *link;
    return !list->more;
}

static void list_run(store_job_t *job, store_t *store)
{
    list_job_t *list = CONTAINER_OF(list_job_t, base.job, job);
    store_result_t result = store_each_link(store, str_from(list->box), list->port, add_found, list);
    size_t kept = 0;
    for (size_t i = 0; i < list->count && result == STORE_OK; i++) {
        const store_link_t *link = &list->found[i];
        store_preview_t preview;
        store_result_t of = store_get_preview(store, str_from(link->box), link->port, &preview);
        if (of == STORE_OK && store_link_lives(link, preview.version, list->now))
            list->found[kept++] = *link;
        else if (of != STORE_OK && of != STORE_NOT_FOUND)
            result = of;
    }
    list->count = kept;
    admin_job_result(&list->base, store, result);
}

static void list_answer(exchange_t *ex, admin_job_t *job)
{
    const list_job_t *list = (const list_job_t *)job;
    if (job->result != STORE_OK && job->result != STORE_NOT_FOUND) {
        admin_store_error(ex, job->result, job->why);
        return;
    }
    json_t *links = json_array();
    for (size_t i = 0; i < list->count; i++)
        json_array_append_new(links, link_json(&list->found[i]));
    json_t *body = json_pack("{s:o}", "links", links);
    assert(body != NULL);
    if (list->more)
        json_object_set_new(body, "note", json_string("The box has more links: list them by port."));
    admin_reply(ex, 200, body);
}

static void list_fini(admin_job_t *job)
{
    free(((list_job_t *)job)->found);
}

static bool take_parameter(void *arg, str_t name, str_t value)
{
    list_job_t *list = arg;
    uint64_t port;
    if (str_eq(name, STR("box")))
        return admin_take_id(list->box, value);
    if (!str_eq(name, STR("port")) || !str_to_uint(value, 65535, &port) || port == 0)
        return false;
    list->port = (uint16_t)port;
    return true;
}

void admin_links_list(exchange_t *ex, str_t body, void *arg)
{
    (void)body;
    (void)arg;
    list_job_t *list = calloc(1, sizeof *list);
    assert(list != NULL);
    list->now = loop_wall_us(ex->context->loop) / 1000000;
    if (!admin_each_parameter(ex->request.target, take_parameter, list) || list->box[0] == '\0') {
        free(list);
        admin_error(ex, 400, "bad_query", NULL, "The list takes box=<id>, and may take port=<1-65535>.");
        return;
    }
    list->found = calloc(LISTED_MAX, sizeof *list->found);
    assert(list->found != NULL);
    list->base.job.run = list_run;
    list->base.answer = list_answer;
    list->base.fini = list_fini;
    admin_job_start(ex, &list->base);
}
