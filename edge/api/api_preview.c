/*
 * The preview endpoints of the box API, which the edge answers (docs/api.md). A caller whose key may see the
 * box at the upstream may create, list and delete its previews.
 *
 *   authorize   GET /v2/box/{id} with the caller's key; an answer other than 200 goes to the caller
 *   list        from this worker's store
 *   create      the body; the upstream resumes a paused box; then the controller makes the preview
 *   delete      the controller
 *   links       list: from this worker's store; create and revoke: the controller
 */
#include "api.h"

#include <assert.h>

#include <jansson.h>
#include <openssl/crypto.h>

#include "api_query.h"
#include "arena.h"
#include "client.h"
#include "link_address.h"
#include "list.h"
#include "local.h"
#include "preview_client.h"
#include "preview_text.h"
#include "step.h"
#include "store.h"
#include "worker.h"

#define BODY_MAX 65536

typedef enum stage { AUTHORIZING, AUTHORIZED, REFUSED, RESUMING, CHANGING } stage_t;

/* ex->api->preview. */
struct api_preview {
    stage_t stage;
    exchange_t *ex;
    api_path_t path;
    uint16_t port;
    bool ephemeral, paused; /* from the upstream's answer about the box */
    bool bearer, basic;
    link_call_t link;   /* of API_ROUTE_LINKS and API_ROUTE_LINK */
    uint64_t deletions; /* of the store, before the request for the box */
    int status;         /* of the upstream's refusal; 0: no usable answer */
    fields_t fields;
    str_t body;
    subrequest_t *request;
    preview_request_t controller_request;
};

/* ---- answers ---- */

static void reply_json(exchange_t *ex, int status, json_t *json)
{
    fields_t fields = {0};
    char *text = json_dumps(json, JSON_COMPACT);
    assert(text != NULL);
    str_t body = str_format(&ex->arena, "%s\n", text);
    OPENSSL_cleanse(text, strlen(text)); /* it may contain a secret */
    free(text);
    json_decref(json);
    exchange_add_own_fields(ex, &fields);
    exchange_reply(ex, status, STR("application/json"), &fields, body);
}

static json_t *url_json(const exchange_t *ex, str_t id, uint16_t port)
{
    const conf_t *conf = ex->context->conf;
    if (conf->public_port == 443)
        return json_sprintf("https://%.*s-%u.%s", STR_ARG(id), port, conf->preview_domain);
    return json_sprintf("https://%.*s-%u.%s:%u", STR_ARG(id), port, conf->preview_domain, conf->public_port);
}

static void bad_request(exchange_t *ex, const char *code, const char *sentence)
{
    exchange_reply_error(ex, 400, code, sentence, 0);
}

/* ---- list ---- */

typedef struct listing {
    exchange_t *ex;
    json_t *list;
    uint64_t now; /* unix seconds */
} listing_t;

static bool add_preview(const store_preview_t *preview, void *arg)
{
    listing_t *listing = arg;
    if (preview->expires_at != 0 && preview->expires_at <= listing->now)
        return true;
    json_t *one = json_object();
    json_object_set_new(one, "id", json_sprintf("%s-%u", preview->id, preview->port));
    json_object_set_new(one, "port", json_integer(preview->port));
    json_object_set_new(one, "url", url_json(listing->ex, preview_host_id(preview), preview->port));
    json_object_set_new(one, "created_at", json_integer((json_int_t)preview->created_at));
    json_object_set_new(one, "basic_auth", json_boolean(preview->basic));
    json_object_set_new(one, "bearer_token", json_boolean(preview->bearer));
    json_array_append_new(listing->list, one);
    return true;
}

static void list(api_preview_t *preview)
{
    exchange_t *ex = preview->ex;
    listing_t listing = {ex, json_array(), loop_wall_us(ex->context->loop) / 1000000};
    store_result_t result = store_each_preview_from(worker_of(ex->context)->store, preview->path.id, 0, true,
                                                    add_preview, &listing);
    if (result == STORE_OK || result == STORE_NOT_FOUND) {
        reply_json(ex, 200, json_pack("{s:o}", "previews", listing.list));
        return;
    }
    json_decref(listing.list);
    exchange_reply_error(ex, 503, "store_unavailable", "The edge cannot read its store right now.", 5);
}

/* ---- links ---- */

static bool is_link_route(const api_preview_t *preview)
{
    return preview->path.route == API_ROUTE_LINKS || preview->path.route == API_ROUTE_LINK;
}

static json_t *link_json(const store_link_t *link)
{
    char id[LINK_ID_DIGITS + 1];
    link_id_text(link->id, id);
    json_t *one =
        json_pack("{s:s,s:i,s:s,s:I,s:I,s:I,s:b,s:b}", "id", id, "port", (int)link->port, "path", link->path,
                  "created_at", (json_int_t)link->created_at, "expires_at", (json_int_t)link->expires_at,
                  "opened", (json_int_t)link->opened, "once", link->once, "read_only", link->read_only);
    assert(one != NULL);
    if (link->label[0] != '\0')
        json_object_set_new(one, "label", json_string(link->label));
    if (link->used_at != 0)
        json_object_set_new(one, "last_used_at", json_integer((json_int_t)link->used_at));
    return one;
}

typedef struct link_listing {
    json_t *list;
    uint64_t version; /* of the preview */
    uint64_t now;
} link_listing_t;

static bool add_link(const store_link_t *link, void *arg)
{
    link_listing_t *listing = arg;
    if (store_link_lives(link, listing->version, listing->now))
        json_array_append_new(listing->list, link_json(link));
    return true;
}

static void list_links(api_preview_t *preview)
{
    exchange_t *ex = preview->ex;
    store_t *store = worker_of(ex->context)->store;
    store_preview_t of;
    store_result_t result = store_get_preview(store, preview->path.id, preview->port, &of);
    if (result == STORE_NOT_FOUND) {
        exchange_reply_error(ex, 404, "preview_not_found", "There is no preview on this port.", 0);
        return;
    }
    link_listing_t listing = {json_array(), of.version, loop_wall_us(ex->context->loop) / 1000000};
    if (result == STORE_OK)
        result = store_each_link(store, preview->path.id, preview->port, add_link, &listing);
    if (result == STORE_OK || result == STORE_NOT_FOUND) {
        reply_json(ex, 200, json_pack("{s:o}", "links", listing.list));
        return;
    }
    json_decref(listing.list);
    exchange_reply_error(ex, 503, "store_unavailable", "The edge cannot read its store right now.", 5);
}

static void reply_link(api_preview_t *preview, const preview_answer_t *answer)
{
    exchange_t *ex = preview->ex;
    link_answer_t made;
    store_preview_t of = {.port = preview->port};
    char id[LINK_ID_DIGITS + 1], url[LINK_URL_MAX];
    if (!link_answer_read(answer, &made)) {
        exchange_reply_error(ex, 503, "store_unavailable", "The edge cannot read its store right now.", 5);
        return;
    }
    link_id_text(made.link, id);
    if (preview->path.route == API_ROUTE_LINK) {
        reply_json(ex, 200, json_pack("{s:b,s:s}", "revoked", 1, "id", id));
        return;
    }
    if (store_get_preview(worker_of(ex->context)->store, preview->path.id, preview->port, &of) != STORE_OK)
        memcpy(of.id, preview->path.id.p, preview->path.id.n);
    store_link_t link = {.id = made.link, .port = preview->port};
    link_address(ex->context->conf, &link, preview_host_id(&of), answer->secrets.token, url);
    json_t *json =
        json_pack("{s:s,s:s,s:I}", "id", id, "url", url, "expires_at", (json_int_t)made.expires_at);
    OPENSSL_cleanse(url, sizeof(url));
    reply_json(ex, 200, json);
}

/* ---- create and delete ---- */

static void reply_created(api_preview_t *preview, const preview_answer_t *answer)
{
    const preview_secrets_t *secrets = &answer->secrets;
    str_t name = answer->alias[0] != '\0' ? str_from(answer->alias) : preview->path.id;
    json_t *json = json_object();
    json_object_set_new(json, "url", url_json(preview->ex, name, preview->port));
    json_object_set_new(json, "port", json_integer(preview->port));
    if (preview->bearer)
        json_object_set_new(json, "token", json_string(secrets->token));
    if (preview->basic) {
        json_object_set_new(json, "username", json_string(PREVIEW_USERNAME));
        json_object_set_new(json, "password", json_string(secrets->password));
    }
    reply_json(preview->ex, 200, json);
}

static void on_changed(preview_request_t *controller_request, const preview_answer_t *answer)
{
    api_preview_t *preview = CONTAINER_OF(api_preview_t, controller_request, controller_request);
    exchange_t *ex = preview->ex;
    local_wait_end(ex);
    if (answer == NULL) {
        exchange_reply_error(ex, 503, "controller_unavailable",
                             "The edge cannot change previews right now; the change may still happen.", 5);
    } else if (answer->status != 200) {
        const char *code = str_dup(&ex->arena, str_make(answer->code, strlen(answer->code) + 1)).p;
        exchange_reply_error(ex, answer->status, code, answer->sentence, answer->status == 503 ? 1 : 0);
    } else if (is_link_route(preview)) {
        reply_link(preview, answer);
    } else if (preview->path.route == API_ROUTE_PREVIEWS) {
        reply_created(preview, answer);
    } else {
        reply_json(ex, 200, json_pack("{s:b,s:i}", "deleted", 1, "port", (int)preview->port));
    }
}

static void left(void *arg)
{
    api_preview_t *preview = arg;
    subrequest_cancel(&preview->request);
    preview_client_leave(&preview->controller_request);
}

static void leave(exchange_t *ex, await_end_t how)
{
    (void)how;
    left(ex->api->preview);
}

static const await_source_t source = {.name = "preview", .leave = leave};

static void request_link(api_preview_t *preview)
{
    link_call_t *call = &preview->link;
    call->op = preview->path.route == API_ROUTE_LINK ? LINK_REVOKE : LINK_CREATE;
    call->port = preview->port;
    memset(call->box, 0, sizeof(call->box));
    memcpy(call->box, preview->path.id.p, preview->path.id.n);
    preview->stage = CHANGING;
    preview_client_request_link(worker_of(preview->ex->context)->preview_client, &preview->controller_request,
                                call, on_changed);
}

static void request_change(api_preview_t *preview)
{
    if (is_link_route(preview)) {
        request_link(preview);
        return;
    }
    bool created = preview->path.route == API_ROUTE_PREVIEWS;
    preview_call_t call = {.op = created ? PREVIEW_CREATE : PREVIEW_DELETE,
                           .port = preview->port,
                           .bearer = preview->bearer,
                           .basic = preview->basic,
                           .deletions = preview->deletions,
                           .dash = preview->ex->api->conf->api.previews_alias == CONF_ALIAS_DASH};
    memcpy(call.id, preview->path.id.p, preview->path.id.n);
    preview->stage = CHANGING;
    preview_client_request(worker_of(preview->ex->context)->preview_client, &preview->controller_request,
                           &call, on_changed);
}

static void send_upstream(api_preview_t *preview, str_t method, const char *below, subrequest_done_t done)
{
    exchange_t *ex = preview->ex;
    str_t target = str_format(&ex->arena, "/v2/box/%.*s%s", STR_ARG(preview->path.id), below);
    preview->request = api_query(ex, method, target, done, preview);
}

static void on_resumed(exchange_t *ex, void *arg, int status, const fields_t *fields, str_t body)
{
    api_preview_t *preview = arg;
    preview->request = NULL;
    if (status >= 200 && status < 300) {
        request_change(preview);
        return;
    }
    local_wait_end(ex);
    api_pass_on(ex, status, fields, body);
}

/* Everything is known: resumes a paused box, then asks the controller. */
static void change(api_preview_t *preview)
{
    local_wait(preview->ex, left, preview);
    if (preview->path.route == API_ROUTE_PREVIEWS && preview->paused) {
        preview->stage = RESUMING;
        send_upstream(preview, STR("POST"), "/resume", on_resumed);
        return;
    }
    request_change(preview);
}

/* ---- the body ---- */

static bool take_flag(json_t *object, const char *name, bool *out)
{
    const json_t *value = json_object_get(object, name);
    *out = json_is_true(value);
    return value == NULL || json_is_boolean(value) || json_is_null(value);
}

/* Fills the preview from the body. False: answered. */
static bool read_wish(api_preview_t *preview, json_t *object)
{
    exchange_t *ex = preview->ex;
    const json_t *port = json_object_get(object, "port");
    json_int_t number = json_integer_value(port);
    if (!json_is_object(object)) {
        bad_request(ex, "bad_body",
                    "The body must be a JSON object such as {\"port\": 3000, \"bearer_token\": true}.");
    } else if (!json_is_integer(port) || number < 1 || number > 65535) {
        bad_request(ex, "bad_port", "\"port\" must be a number from 1 to 65535.");
    } else if (!take_flag(object, "bearer_token", &preview->bearer) ||
               !take_flag(object, "basic_auth", &preview->basic)) {
        bad_request(ex, "bad_access", "\"bearer_token\" and \"basic_auth\" must be true or false.");
    } else if (!preview_label_fits(preview->path.id, (uint16_t)number)) {
        bad_request(
            ex, "label_too_long",
            "The box's id is too long for a preview on this port: id, dash and port may have 63 characters.");
    } else if (preview->ephemeral) {
        bad_request(ex, "box_ephemeral", "This box is ephemeral: it takes no previews.");
    } else {
        preview->port = (uint16_t)number;
        return true;
    }
    return false;
}

/* A text of the object that fits; `name` is missing: empty. */
static bool take_text(json_t *object, const char *name, char *out, size_t size)
{
    const json_t *value = json_object_get(object, name);
    if (value == NULL || json_is_null(value))
        return true;
    if (!json_is_string(value) || json_string_length(value) >= size ||
        strlen(json_string_value(value)) != json_string_length(value))
        return false;
    memcpy(out, json_string_value(value), json_string_length(value) + 1);
    return true;
}

/* Fills the link from the body, which may be empty. False: answered. */
static bool read_link_wish(api_preview_t *preview, json_t *object)
{
    exchange_t *ex = preview->ex;
    link_call_t *call = &preview->link;
    bool once = false, reads = false, sockets = false;
    const json_t *expires = json_object_get(object, "expires_in");
    json_int_t seconds = expires != NULL ? json_integer_value(expires) : LINK_SECONDS;
    (void)snprintf(call->path, sizeof(call->path), "/");
    if (!json_is_object(object)) {
        bad_request(ex, "bad_body", "The body must be a JSON object such as {\"expires_in\": 3600}.");
    } else if (seconds < 1 || seconds > LINK_SECONDS_MAX) {
        bad_request(ex, "bad_body", "\"expires_in\" must be a number of seconds, at most 366 days.");
    } else if (!take_text(object, "label", call->label, sizeof(call->label)) ||
               !preview_label_valid(str_from(call->label))) {
        bad_request(ex, "bad_body", "\"label\" must be printable text of at most 128 bytes.");
    } else if (!take_text(object, "path", call->path, sizeof(call->path)) ||
               !link_path_valid(str_from(call->path))) {
        bad_request(
            ex, "bad_body",
            "\"path\" must begin with one slash, and have at most 512 visible ASCII characters without a "
            "backslash.");
    } else if (!take_flag(object, "once", &once) || !take_flag(object, "read_only", &reads) ||
               !take_flag(object, "allow_websocket", &sockets) || (sockets && !reads)) {
        bad_request(ex, "bad_body",
                    "\"once\", \"read_only\" and, beside it, \"allow_websocket\" must be true or false.");
    } else {
        call->seconds = (uint32_t)seconds;
        call->once = once;
        call->read_only = reads;
        call->allow_websocket = sockets;
        return true;
    }
    return false;
}

static void on_body(exchange_t *ex, str_t body, void *arg)
{
    api_preview_t *preview = arg;
    json_t *object = json_loadb(body.p != NULL ? body.p : "", body.n, JSON_REJECT_DUPLICATES, NULL);
    bool link = preview->path.route == API_ROUTE_LINKS;
    bool good = link ? read_link_wish(preview, object) : read_wish(preview, object);
    (void)ex;
    json_decref(object);
    if (good)
        change(preview);
}

static void go_on(api_preview_t *preview)
{
    exchange_t *ex = preview->ex;
    if (preview->stage == REFUSED)
        api_pass_on(ex, preview->status, &preview->fields, preview->body);
    else if (preview->path.route == API_ROUTE_PREVIEW || preview->path.route == API_ROUTE_LINK)
        change(preview);
    else if (str_eq(ex->request.method, STR("POST")))
        local_collect(ex, BODY_MAX, on_body, preview);
    else if (preview->path.route == API_ROUTE_LINKS)
        list_links(preview);
    else
        list(preview);
}

/* ---- access to the box ---- */

/*
 * Takes the id of the box that the upstream shows. The upstream may find a caller's box by a name (the SDKs'
 * getByName), and that name may be the id of another caller's box. False: not an id.
 */
static bool take_id(api_preview_t *preview, const json_t *box)
{
    const json_t *id = json_object_get(box, "id");
    if (json_is_string(id))
        preview->path.id =
            str_dup(&preview->ex->arena, str_make(json_string_value(id), json_string_length(id)));
    return box_id_valid(preview->path.id);
}

static void on_box(exchange_t *ex, void *arg, int status, const fields_t *fields, str_t body)
{
    api_preview_t *preview = arg;
    preview->request = NULL;
    preview->stage = AUTHORIZED;
    json_t *box = status == 200 ? json_loadb(body.p != NULL ? body.p : "", body.n, 0, NULL) : NULL;
    if (json_is_object(box) && take_id(preview, box)) {
        const char *state = json_string_value(json_object_get(box, "status"));
        preview->ephemeral = json_is_true(json_object_get(box, "ephemeral"));
        preview->paused = state != NULL && strcmp(state, "paused") == 0;
    } else {
        preview->stage = REFUSED;
        preview->status = status >= 300 ? status : 0; /* the caller would take a 2xx for the edge's answer */
        preview->fields = *fields;
        preview->body = body;
    }
    json_decref(box);
    await_complete(ex);
}

static bool method_fits(const exchange_t *ex, api_route_t route)
{
    str_t method = ex->request.method;
    if (route == API_ROUTE_PREVIEW || route == API_ROUTE_LINK)
        return str_eq(method, STR("DELETE"));
    return str_eq(method, STR("GET")) || str_eq(method, STR("HEAD")) || str_eq(method, STR("POST"));
}

static void refuse_method(exchange_t *ex, api_route_t route)
{
    fields_t fields = {0};
    bool one = route == API_ROUTE_PREVIEW || route == API_ROUTE_LINK;
    fields_add(&ex->arena, &fields, FIELD_OTHER, STR("allow"), one ? STR("DELETE") : STR("GET, HEAD, POST"));
    exchange_reply_error_with(ex, 405, "method_not_allowed",
                              one ? "A preview, or a link, takes DELETE here."
                                  : "Previews of a box, and links, take GET and POST here.",
                              &fields);
}

/* Checks the path. False: answered. */
static bool take_path(exchange_t *ex, api_preview_t *preview)
{
    const api_path_t *path = &preview->path;
    uint64_t port = 0;
    if (path->route == API_ROUTE_MISSPELLED) {
        bad_request(ex, "misspelled_path",
                    "Write this path as /v2/box/{id}/preview, /v2/box/{id}/preview/{port}, or with /links or "
                    "/links/{link} behind it, without encoding, doubled slashes and dots.");
    } else if (!method_fits(ex, path->route) || ex->request.websocket) {
        refuse_method(ex, path->route);
    } else if (!box_id_valid(path->id)) {
        bad_request(ex, "bad_box",
                    "The box's id must be 1 to 57 of a-z 0-9 - _, with a letter or digit at both ends.");
    } else if (path->route != API_ROUTE_PREVIEWS &&
               (!str_to_uint(path->port, 65535, &port) || port == 0 || path->port.p[0] == '0')) {
        bad_request(ex, "bad_port", "The port in the path must be a number from 1 to 65535.");
    } else if (path->route == API_ROUTE_LINK && !link_id_read(path->link, &preview->link.link)) {
        exchange_reply_error(ex, 404, "link_not_found", "There is no such link.", 0);
    } else {
        preview->port = (uint16_t)port;
        return true;
    }
    return false;
}

step_result_t step_api_preview(exchange_t *ex)
{
    api_t *api = ex->api;
    if (api->preview != NULL) {
        assert(api->preview->stage != AUTHORIZING);
        go_on(api->preview);
        return STEP_DONE;
    }
    api_path_t path = api->path;
    if (!api->conf->api.previews || api->preflight || path.route == API_ROUTE_OTHER ||
        path.route == API_ROUTE_BOX)
        return STEP_NEXT;
    api_preview_t *preview = arena_alloc(&ex->arena, sizeof(*preview));
    *preview = (api_preview_t){.ex = ex, .path = path};
    if (!take_path(ex, preview))
        return STEP_DONE;
    api->preview = preview;
    preview->deletions = store_deletions_version(worker_of(ex->context)->store);
    await_begin(ex, &source);
    send_upstream(preview, STR("GET"), "", on_box);
    return STEP_WAIT;
}
