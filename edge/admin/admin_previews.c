/*
 * Previews over the admin API: list, create, delete.
 */
#include <assert.h>

#include "admin_internal.h"
#include "arena.h"
#include "list.h"
#include "process_log.h"

/* ---- common to the answers ---- */

static str_t preview_url(const exchange_t *ex, const store_preview_t *preview)
{
    const conf_t *conf = ex->context->conf;
    arena_t *pool = (arena_t *)&ex->arena;
    if (conf->public_port == 443)
        return str_format(pool, "https://%.*s-%u.%s/", STR_ARG(preview_host_id(preview)), preview->port,
                          conf->preview_domain);
    return str_format(pool, "https://%.*s-%u.%s:%u/", STR_ARG(preview_host_id(preview)), preview->port,
                      conf->preview_domain, conf->public_port);
}

void admin_box_of(store_t *store, const store_preview_t *preview, store_box_t *box)
{
    if (store_get_box(store, str_from(preview->id), box) != STORE_OK)
        *box = (store_box_t){.state = BOX_UNKNOWN};
}

/* The stored list has a space between origins. */
static json_t *origins_json(const char *origins)
{
    json_t *list = json_array();
    while (*origins != '\0') {
        size_t n = strcspn(origins, " ");
        json_array_append_new(list, json_stringn(origins, n));
        origins += n + (origins[n] == ' ');
    }
    return list;
}

json_t *admin_preview_json(const exchange_t *ex, const store_preview_t *preview, const store_box_t *box)
{
    host_header_t host_header = store_host_header(preview, box->provider);
    host_header_t found = admin_host_header_found(ex, preview, box);
    str_t url = preview_url(ex, preview);
    json_t *json = json_pack("{s:s,s:i,s:s%,s:s,s:s,s:I,s:I}", "box", preview->id, "port", (int)preview->port,
                             "url", url.p, url.n, "host_header", admin_host_header_text(host_header),
                             "protocol", preview->protocol == PREVIEW_H2C ? "h2c" : "http1", "created_at",
                             (json_int_t)preview->created_at, "version", (json_int_t)preview->version);
    assert(json != NULL);
    if (found != HOST_HEADER_PUBLIC)
        json_object_set_new(json, "host_header_found", json_string(admin_host_header_text(found)));
    json_object_set_new(json, "bearer_token", json_boolean(preview->bearer));
    json_object_set_new(json, "basic_auth", json_boolean(preview->basic));
    if (preview->background_wakes)
        json_object_set_new(json, "background_wakes", json_string("always"));
    if (preview->alias[0] != '\0')
        json_object_set_new(json, "alias", json_string(preview->alias));
    if (preview->label[0] != '\0')
        json_object_set_new(json, "label", json_string(preview->label));
    if (preview->expires_at != 0)
        json_object_set_new(json, "expires_at", json_integer((json_int_t)preview->expires_at));
    if (preview->allow_origins[0] != '\0')
        json_object_set_new(json, "allow_origins", origins_json(preview->allow_origins));
    return json;
}

json_t *admin_preview_json_with(const exchange_t *ex, const store_preview_t *preview, const store_box_t *box,
                                const preview_secrets_t *secrets)
{
    json_t *json = admin_preview_json(ex, preview, box);
    if (secrets->token[0] != '\0')
        json_object_set_new(json, "token", json_string(secrets->token));
    if (secrets->password[0] != '\0') {
        json_object_set_new(json, "username", json_string(PREVIEW_USERNAME));
        json_object_set_new(json, "password", json_string(secrets->password));
    }
    return json;
}

void admin_preview_changed(const admin_job_t *job, const char *how, bool kill_tunnels)
{
    const store_change_t *change = &job->job.change;
    const store_preview_t *preview = &change->preview;
    if (change->result == STORE_OK)
        process_log(LOG_PREVIEW_CHANGED, "controller", "preview %s-%u %s by uid %ld", preview->id,
                    preview->port, how, job->uid);
    /* Also for a preview that was deleted before: its tunnels may still be open. */
    if (!kill_tunnels || (change->result != STORE_OK && change->result != STORE_NOT_FOUND))
        return;
    char which[BOX_ID_MAX + 32];
    int n = snprintf(which, sizeof which, "preview %s-%u", preview->id, preview->port);
    assert(n > 0 && (size_t)n < sizeof which);
    /* A preview that keeps its version loses the tunnels of that version too. */
    job->controls->end_tunnels(job->owner, which, preview->version + change->keep_version);
}

/* ---- list ---- */

typedef struct list_job {
    admin_job_t base;
    char box[BOX_ID_MAX + 1];  /* only this box; empty: all */
    char from[BOX_ID_MAX + 1]; /* the page begins here; empty: at the start */
    uint16_t from_port;
    uint64_t now; /* unix seconds */
    size_t limit;
    size_t count;
    store_preview_t *found; /* limit + 1: the last one begins the next page */
    store_box_t *boxes;     /* of each; all zero if not known */
} list_job_t;

static bool add_found(const store_preview_t *preview, void *arg)
{
    list_job_t *list = arg;
    if (preview->expires_at != 0 && preview->expires_at <= list->now)
        return true; /* about to be deleted */
    list->found[list->count++] = *preview;
    return list->count <= list->limit;
}

static void list_run(store_job_t *job, store_t *store)
{
    list_job_t *list = CONTAINER_OF(list_job_t, base.job, job);
    bool box_only = list->box[0] != '\0';
    str_t from = str_from(list->from[0] != '\0' ? list->from : list->box);
    store_result_t result = store_each_preview_from(store, from, list->from_port, box_only, add_found, list);
    for (size_t i = 0; i < list->count; i++)
        admin_box_of(store, &list->found[i], &list->boxes[i]);
    admin_job_result(&list->base, store, result);
}

static void list_answer(exchange_t *ex, admin_job_t *job)
{
    list_job_t *list = (list_job_t *)job;
    if (job->result != STORE_OK && job->result != STORE_NOT_FOUND) {
        admin_store_error(ex, job->result, job->why);
        return;
    }
    json_t *previews = json_array();
    for (size_t i = 0; i < list->count && i < list->limit; i++)
        json_array_append_new(previews, admin_preview_json(ex, &list->found[i], &list->boxes[i]));
    json_t *body = json_pack("{s:o}", "previews", previews);
    assert(body != NULL);
    if (list->count > list->limit) {
        const store_preview_t *next = &list->found[list->limit];
        json_object_set_new(body, "next", json_sprintf("%s-%u", next->id, next->port));
    }
    admin_reply(ex, 200, body);
}

static void list_fini(admin_job_t *job)
{
    free(((list_job_t *)job)->found);
    free(((list_job_t *)job)->boxes);
}

/* Takes "<id>-<port>". */
static bool take_position(list_job_t *list, str_t value)
{
    uint64_t port;
    const char *dash = memrchr(value.p, '-', value.n);
    if (dash == NULL)
        return false;
    str_t id = str_make(value.p, (size_t)(dash - value.p));
    if (!str_to_uint(str_from_offset(value, id.n + 1), 65535, &port))
        return false;
    list->from_port = (uint16_t)port;
    return admin_take_id(list->from, id);
}

static bool take_parameter(void *arg, str_t name, str_t value)
{
    list_job_t *list = arg;
    uint64_t limit;
    if (str_eq(name, STR("limit"))) {
        if (!str_to_uint(value, ADMIN_PREVIEWS_MAX, &limit) || limit == 0)
            return false;
        list->limit = (size_t)limit;
        return true;
    }
    if (str_eq(name, STR("box")))
        return admin_take_id(list->box, value);
    return str_eq(name, STR("from")) && take_position(list, value);
}

/* Fills the job from ?box=, ?from= and ?limit=. */
static bool take_query(list_job_t *list, str_t target)
{
    /* A page of one box must begin in that box. */
    return admin_each_parameter(target, take_parameter, list) &&
           (list->box[0] == '\0' || list->from[0] == '\0' || strcmp(list->box, list->from) == 0);
}

void admin_previews_list(exchange_t *ex, str_t body, void *arg)
{
    (void)body;
    (void)arg;
    list_job_t *list = calloc(1, sizeof *list);
    assert(list != NULL);
    list->limit = ADMIN_PREVIEWS_MAX;
    list->now = loop_wall_us(ex->context->loop) / 1000000;
    if (!take_query(list, ex->request.target)) {
        free(list);
        admin_error(ex, 400, "bad_query", NULL,
                    "The list takes box=<id>, from=<id>-<port> (in that box) and limit=<1-%d>.",
                    ADMIN_PREVIEWS_MAX);
        return;
    }
    list->found = calloc(list->limit + 1, sizeof *list->found);
    list->boxes = calloc(list->limit + 1, sizeof *list->boxes);
    assert(list->found != NULL && list->boxes != NULL);
    list->base.job.run = list_run;
    list->base.answer = list_answer;
    list->base.fini = list_fini;
    admin_job_start(ex, &list->base);
}

/* ---- delete ---- */

typedef struct delete_job {
    admin_job_t base;
    bool kill_tunnels;
} delete_job_t;

static void delete_finished(const admin_job_t *job)
{
    admin_preview_changed(job, "deleted", ((const delete_job_t *)job)->kill_tunnels);
}

static void deleted_answer(exchange_t *ex, admin_job_t *job)
{
    const store_preview_t *preview = &job->job.change.preview;
    store_result_t result = job->job.change.result;
    if (result == STORE_NOT_FOUND) {
        admin_error(ex, 404, "no_preview", NULL, "There is no preview %s-%u.", preview->id, preview->port);
        return;
    }
    if (result != STORE_OK) {
        admin_store_error(ex, result, admin_disk_text(job->job.change.disk_error));
        return;
    }
    json_t *body = json_pack("{s:s,s:i,s:b}", "box", preview->id, "port", (int)preview->port, "deleted", 1);
    assert(body != NULL);
    admin_reply(ex, 200, body);
}

bool admin_take_preview_path(str_t rest, store_preview_t *preview)
{
    uint64_t port;
    const char *slash = memchr(rest.p, '/', rest.n);
    if (slash == NULL)
        return false;
    str_t id = str_make(rest.p, (size_t)(slash - rest.p));
    if (!admin_take_id(preview->id, id) || !str_to_uint(str_from_offset(rest, id.n + 1), 65535, &port) ||
        port == 0)
        return false;
    preview->port = (uint16_t)port;
    return true;
}

/* Fills the job from "{box}/{port}" with an optional "?kill_tunnels=1". */
static bool take_deletion(str_t rest, delete_job_t *job)
{
    static const struct {
        str_t query;
        bool kill_tunnels;
    } queries[] = {{{"?kill_tunnels=1", 15}, true}, {{"?kill_tunnels=0", 15}, false}};
    const char *mark = rest.n != 0 ? memchr(rest.p, '?', rest.n) : NULL;
    str_t path = str_make(rest.p, mark != NULL ? (size_t)(mark - rest.p) : rest.n);
    str_t query = str_from_offset(rest, path.n);
    bool known = query.n == 0;
    for (size_t i = 0; i < sizeof queries / sizeof *queries; i++) {
        if (!str_eq(query, queries[i].query))
            continue;
        known = true;
        job->kill_tunnels = queries[i].kill_tunnels;
    }
    job->base.job.change.remove = true;
    return known && admin_take_preview_path(path, &job->base.job.change.preview);
}

void admin_previews_delete(exchange_t *ex, str_t body, void *arg)
{
    (void)arg;
    str_t rest = str_from_offset(ex->request.target, STR("/v1/previews/").n);
    delete_job_t *job = calloc(1, sizeof *job);
    assert(job != NULL);
    if (body.n != 0 || !take_deletion(rest, job)) {
        free(job);
        admin_error(ex, 400, "bad_preview", NULL,
                    "A preview is deleted with DELETE /v1/previews/<box id>/<port>, perhaps with "
                    "?kill_tunnels=1, and no body.");
        return;
    }
    job->base.finished = delete_finished;
    job->base.answer = deleted_answer;
    admin_job_start(ex, &job->base);
}
