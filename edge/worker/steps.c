#include "steps.h"

#include <assert.h>

#include "activity.h"
#include "api.h"
#include "arena.h"
#include "budget.h"
#include "cdn_loop.h"
#include "client.h"
#include "credentials.h"
#include "forward.h"
#include "hostname.h"
#include "link_make.h"
#include "pipeline.h"
#include "readiness.h"
#include "route.h"
#include "siphash.h"
#include "slots.h"
#include "step.h"
#include "store.h"
#include "target.h"
#include "tls.h"
#include "wake.h"
#include "worker.h"

/* The host of an authority in lower case, without port and trailing dot, in `out`; empty if too long. */
static str_t host_of(str_t authority, char out[256])
{
    const char *colon = authority.n != 0 ? memrchr(authority.p, ':', authority.n) : NULL;
    size_t n = colon != NULL ? (size_t)(colon - authority.p) : authority.n;
    if (n != 0 && authority.p[n - 1] == '.')
        n--;
    if (n > 255)
        return str_make(NULL, 0);
    for (size_t i = 0; i < n; i++)
        out[i] = str_lower(authority.p[i]);
    return str_make(out, n);
}

/* The same for a host of the API. A connection mostly asks for one of them. */
static bool certificate_covers_api(client_t *client, str_t authority)
{
    static const siphash_key_t key; /* fixed: two API hosts do not collide by chance */
    char text[256];
    if (client->kind != CONF_LISTENER_TLS)
        return true;
    str_t host = host_of(authority, text);
    uint64_t hash = siphash(&key, host.p, host.n);
    if (client->covers_api != hash && tls_covers(conn_ssl(client->conn), host))
        client->covers_api = hash;
    return client->covers_api == hash;
}

/* A connection's certificate must cover the preview's host, even if the host differs from the SNI (RFC 9110
 * section 7.4). All preview hosts are one label under the domain, so one check per connection is enough. */
static bool certificate_covers(client_t *client)
{
    if (client->kind != CONF_LISTENER_TLS || client->covers == CLIENT_COVERS)
        return true;
    if (client->covers == CLIENT_COVERS_UNKNOWN) {
        char name[300];
        int n = snprintf(name, sizeof(name), "a.%s", client->context->conf->preview_domain);
        assert(n > 0 && (size_t)n < sizeof(name));
        bool covers = tls_covers(conn_ssl(client->conn), str_make(name, (size_t)n));
        client->covers = covers ? CLIENT_COVERS : CLIENT_COVERS_NOT;
    }
    return client->covers == CLIENT_COVERS;
}

static bool client_refused(exchange_t *ex)
{
    return route_refuses(ex, blocks_has_client(worker_of(ex->context)->blocks, remote_address(ex)));
}

static bool refused_by_blocks(exchange_t *ex, hostname_result_t result, const hostname_t *name)
{
    if (result != HOSTNAME_PREVIEW)
        return client_refused(ex);
    return route_refuses(ex, blocks_has(worker_of(ex->context)->blocks, str_make(name->id, name->id_len),
                                        name->port, remote_address(ex)));
}

bool steps_still_allowed(exchange_t *ex)
{
    if (ex->routed)
        return route_still_allowed(ex);
    return ex->api == NULL || !client_refused(ex);
}

static step_result_t refuse_host(exchange_t *ex)
{
    exchange_reply_error(ex, 421, "wrong_host", "This host name is not served here.", 0);
    return STEP_DONE;
}

/*
 * Whether a certificate authority looks here for proof that a host asks for a certificate (RFC 8555 section
 * 8.3; Baseline Requirements 3.2.2.4.18). A box that answered would get a certificate for its preview's host.
 */
static bool is_validation(str_t target)
{
    static const str_t paths[] = {{"/.well-known/acme-challenge", 27}, {"/.well-known/pki-validation", 27}};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        str_t path = paths[i];
        bool begins = target.n >= path.n && str_ieq(str_make(target.p, path.n), path);
        if (begins && (target.n == path.n || target.p[path.n] == '/' || target.p[path.n] == '?'))
            return true;
    }
    return false;
}

/* True: answered. No such request passes on any host. */
static bool refused_as_validation(exchange_t *ex)
{
    if (!is_validation(ex->request.target))
        return false;
    exchange_reply_error(
        ex, 404, "not_found",
        "The edge answers no certificate challenges: boxes cannot get a certificate for this host.", 0);
    return true;
}

/* The name is not under the preview domain: it is the API's, or not served here. */
static step_result_t step_other_host(exchange_t *ex)
{
    if (!conf_is_api_host(ex->context->conf, ex->request.authority) ||
        !certificate_covers_api(ex->client, ex->request.authority))
        return refuse_host(ex);
    if (client_refused(ex) || refused_as_validation(ex))
        return STEP_DONE;
    ex->step = ex->context->pipeline->api; /* the host step was its first step */
    return STEP_NEXT;
}

step_result_t step_client(exchange_t *ex)
{
    if (remote_count(ex))
        return STEP_NEXT;
    counter_add(&ex->context->counters->connections_refused_total, 1);
    exchange_reply_error(ex, 429, "too_many_connections",
                         "Too many requests from this address are open at a time.", 1);
    return STEP_DONE;
}

step_result_t step_host(exchange_t *ex)
{
    const conf_t *conf = ex->context->conf;
    hostname_t name;
    hostname_result_t result = hostname_parse(ex->request.authority, str_from(conf->preview_domain), &name);
    if (result == HOSTNAME_FOREIGN)
        return step_other_host(ex);
    if (!certificate_covers(ex->client))
        return refuse_host(ex);
    /* Check blocks first: the list of allowed origins would tell a blocked caller that a preview exists
     * (docs/http.md, "Pages of other origins"). */
    return refused_by_blocks(ex, result, &name) || refused_as_validation(ex) ? STEP_DONE : STEP_NEXT;
}

step_result_t step_limit(exchange_t *ex)
{
    if (cdn_loop_found(&ex->request.fields, str_from(ex->context->conf->node), ex->request.authority)) {
        exchange_reply_error(ex, 508, "loop", "This request has been through this edge before.", 0);
        return STEP_DONE;
    }
    return budget_refuses(ex) ? STEP_DONE : STEP_NEXT; /* the share of its box applies now */
}

step_result_t step_slots(exchange_t *ex)
{
    if (ex->preview->protocol == PREVIEW_H2C)
        return STEP_NEXT;
    if (slots_waited(ex)) {
        if (!wake_is_needless(ex, &ex->box)) /* the box sleeps again: begins a new wake */
            wake_restart(ex);
        step_result_t woken = step_wake(ex);
        if (woken != STEP_NEXT)
            return woken;
    }
    return slots_take_for_box(ex);
}

step_result_t step_api_slots(exchange_t *ex)
{
    return ex->api->upstream->protocol == CONF_PROTOCOL_H2 ? STEP_NEXT : slots_take_for_client(ex);
}

step_result_t step_api_origin(exchange_t *ex)
{
    exchange_to_origin(ex);
    target_start(ex);
    return STEP_DONE;
}

step_result_t step_origin(exchange_t *ex)
{
    if (ex->context->conf->api.host_count != 0)
        api_key_hide(ex);
    exchange_to_origin(ex);
    target_box(ex);
    activity_begin(ex);
    target_start(ex);
    return STEP_DONE;
}

/* ---- other listeners ---- */

/* Whether the request has just sent a secret in the clear. */
static bool carries_credentials(exchange_t *ex)
{
    const request_t *request = &ex->request;
    for (uint32_t i = 0; i < request->fields.count; i++) {
        const field_t *field = &request->fields.at[i];
        if (field->id == FIELD_AUTHORIZATION || field->id == FIELD_X_BOX_API_KEY ||
            field->id == FIELD_X_PREVIEW_TOKEN)
            return true;
    }
    if (str_starts(request->target, STR(LINK_PATH)))
        return true;
    char value[1];
    size_t len, value_len;
    char *rest = arena_alloc(&ex->arena, request->target.n);
    return query_take(request->target, STR("preview_token"), rest, &len, value, sizeof(value), &value_len);
}

step_result_t step_redirect(exchange_t *ex)
{
    const conf_t *conf = ex->context->conf;
    hostname_t name;
    hostname_result_t result = hostname_parse(ex->request.authority, str_from(conf->preview_domain), &name);
    bool api = result == HOSTNAME_FOREIGN && conf_is_api_host(conf, ex->request.authority);
    if (result == HOSTNAME_FOREIGN && !api)
        return refuse_host(ex);
    if (refused_by_blocks(ex, result, &name) || refused_as_validation(ex))
        return STEP_DONE;
    if (result == HOSTNAME_MALFORMED) {
        exchange_reply_error(ex, 404, "preview_not_found", "There is no preview at this address.", 0);
        return STEP_DONE;
    }
    if (api || ex->request.websocket || carries_credentials(ex) || ex->request.target.p[0] != '/' ||
        fields_find(&ex->request.fields, FIELD_ACCESS_CONTROL_REQUEST_METHOD) != NULL) {
        exchange_reply_error(
            ex, 403, "tls_required",
            "Use https here. If this request carried a token or a key, replace it: it was sent unencrypted.",
            0);
        return STEP_DONE;
    }
    char port[8] = "";
    if (conf->public_port != 443)
        (void)snprintf(port, sizeof(port), ":%u", conf->public_port);
    size_t room = ex->request.target.n + strlen(conf->preview_domain) + 96;
    char *location = arena_alloc(&ex->arena, room);
    int n = snprintf(location, room, "https://%s-%u.%s%s%.*s", name.id, name.port, conf->preview_domain, port,
                     STR_ARG(ex->request.target));
    assert(n > 0 && (size_t)n < room);
    fields_t fields = {0};
    fields_add(&ex->arena, &fields, FIELD_LOCATION, STR("location"), str_make(location, (size_t)n));
    exchange_add_own_fields(ex, &fields);
    fields_add(&ex->arena, &fields, FIELD_OTHER, STR("referrer-policy"), STR("no-referrer"));
    exchange_reply(ex, 308, STR("text/plain"), &fields, STR("This preview is served over https.\n"));
    return STEP_DONE;
}

/* A file of it is cut short. */
static bool store_is_unreadable(const exchange_t *ex)
{
    store_t *store = worker_of(ex->context)->store;
    return store != NULL && !store_whole(store);
}

static const char *not_ready(exchange_t *ex)
{
    const context_t *context = ex->context;
    const readiness_facts_t facts = {.leaving = context->leaving || context->draining,
                                     .store_unreadable = store_is_unreadable(ex),
                                     .workers = context->conf->workers,
                                     .memory_bytes = context->conf->limits.memory_bytes};
    return readiness_fault(context->shm, &facts);
}

step_result_t step_health(exchange_t *ex)
{
    const char *fault = NULL;
    bool live = str_eq(ex->request.target, STR("/healthz"));
    bool ready = str_eq(ex->request.target, STR("/readyz"));
    if (!live && !ready) {
        exchange_reply_error(ex, 404, "not_found", "Only /healthz and /readyz are answered here.", 0);
    } else if (!str_eq(ex->request.method, STR("GET")) && !str_eq(ex->request.method, STR("HEAD"))) {
        fields_t fields = {0};
        fields_add(&ex->arena, &fields, FIELD_OTHER, STR("allow"), STR("GET, HEAD"));
        exchange_reply(ex, 405, STR("text/plain"), &fields, STR("Use GET or HEAD.\n"));
    } else if (ready && (fault = not_ready(ex)) != NULL) {
        exchange_reply(ex, 503, STR("text/plain"), NULL, str_format(&ex->arena, "%s\n", fault));
    } else {
        exchange_reply(ex, 200, STR("text/plain"), NULL, STR("ok\n"));
    }
    return STEP_DONE;
}
