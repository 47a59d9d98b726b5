/*
 * The addresses of the admin API.
 */
#include <assert.h>

#include "admin_internal.h"
#include "local.h"
#include "status_page.h"

typedef struct admin_route {
    const char *method;
    const char *path; /* a final "*" stands for one or more characters */
    local_handler_t handler;
} admin_route_t;

static const admin_route_t routes[] = {
    {"GET", "/v1/previews", admin_previews_list},
    {"POST", "/v1/previews", admin_previews_create},
    {"PATCH", "/v1/previews/*", admin_previews_update},
    {"DELETE", "/v1/previews/*", admin_previews_delete},
    {"GET", "/v1/links", admin_links_list},
    {"POST", "/v1/links", admin_links_create},
    {"DELETE", "/v1/links/*", admin_links_revoke},
    {"GET", "/v1/blocks", admin_blocks_list},
    {"POST", "/v1/blocks", admin_blocks_create},
    {"DELETE", "/v1/blocks/*", admin_blocks_delete},
    {"GET", "/v1/keys", admin_keys_list},
    {"POST", "/v1/keys", admin_keys_create},
    {"PUT", "/v1/keys/*", admin_keys_set_plan},
    {"DELETE", "/v1/keys/*", admin_keys_revoke},
    {"GET", "/v1/upstreams", admin_upstreams_list},
    {"PUT", "/v1/upstreams/*", admin_upstreams_change},
    {"GET", "/v1/boxes", admin_boxes_list},
    {"PUT", "/v1/boxes/*", admin_boxes_push},
    {"GET", "/v1/boxes/*", admin_box_log},
    {"GET", "/v1/processes/*", admin_box_log},
    {"POST", "/v1/processes/*", admin_process_act},
    {"PUT", "/v1/dev/*", admin_dev_put},
    {"DELETE", "/v1/dev/*", admin_dev_drop},
    {"GET", "/v1/requests", admin_requests_list},
    {"DELETE", "/v1/requests/*", admin_requests_kill},
    {"GET", "/v1/recent", admin_recent},
    {"GET", "/v1/traffic", admin_traffic},
    {"GET", "/v1/explain", admin_explain},
    {"GET", "/v1/status", admin_status},
    {"GET", "/v1/messages", admin_messages},
    {"POST", "/v1/reload", admin_reload},
    {"POST", "/v1/drain", admin_start_drain},
    {"POST", "/v1/upgrade", admin_start_upgrade},
    {"GET", STATUS_PAGE_PATH, admin_status_page},
    {"GET", "/metrics", admin_metrics},
    {"GET", "/healthz", admin_health},
    {"GET", "/readyz", admin_ready},
};

static bool path_matches(const admin_route_t *route, str_t path)
{
    str_t pattern = str_from(route->path);
    if (pattern.p[pattern.n - 1] != '*')
        return str_eq(pattern, path);
    pattern.n--;
    return path.n > pattern.n && str_starts(path, pattern);
}

static bool method_matches(const admin_route_t *route, str_t method)
{
    str_t want = str_from(route->method);
    return str_eq(want, method) || (str_eq(want, STR("GET")) && str_eq(method, STR("HEAD")));
}

static bool is_write(const admin_route_t *route)
{
    return strcmp(route->method, "GET") != 0;
}

/* "application/json", with or without parameters. */
static bool has_json_type(const exchange_t *ex)
{
    str_t type = fields_value(&ex->request.fields, FIELD_CONTENT_TYPE);
    const char *semicolon = type.n != 0 ? memchr(type.p, ';', type.n) : NULL;
    if (semicolon != NULL)
        type.n = (size_t)(semicolon - type.p);
    return fields_count(&ex->request.fields, FIELD_CONTENT_TYPE) == 1 &&
           str_ieq(str_trim(type), STR("application/json"));
}

static void refuse_method(exchange_t *ex, str_t path)
{
    char allow[64] = "";
    size_t used = 0;
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        if (!path_matches(&routes[i], path))
            continue;
        int n = snprintf(allow + used, sizeof allow - used, "%s%s%s", used != 0 ? ", " : "", routes[i].method,
                         is_write(&routes[i]) ? "" : ", HEAD");
        used += (size_t)n;
        assert(used < sizeof allow);
    }
    admin_error(ex, 405, "method_not_allowed", str_dup(&ex->arena, str_make(allow, used + 1)).p,
                "This address supports only these methods: %s.", allow);
}

static step_result_t step_busy(exchange_t *ex)
{
    if (!local_server_is_busy(ex))
        return STEP_NEXT;
    admin_error(ex, 503, "too_many_requests", NULL,
                "The admin socket has %u requests under way, its maximum: try again, and look for a client "
                "that sends many.",
                ADMIN_REQUESTS_MAX);
    return STEP_DONE;
}

static step_result_t step_admin(exchange_t *ex)
{
    str_t path = ex->request.target;
    const char *query = memchr(path.p, '?', path.n);
    if (query != NULL)
        path.n = (size_t)(query - path.p);
    bool known = false;
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        const admin_route_t *route = &routes[i];
        if (!path_matches(route, path))
            continue;
        known = true;
        if (!method_matches(route, ex->request.method))
            continue;
        if (is_write(route) && !has_json_type(ex))
            admin_error(ex, 415, "json_required", NULL,
                        "A change needs the field Content-Type: application/json.");
        else
            local_collect(ex, ADMIN_BODY_MAX, route->handler, NULL);
        return STEP_DONE;
    }
    if (known)
        refuse_method(ex, path);
    else
        admin_error(ex, 404, "not_found", NULL, "The admin API has no such address.");
    return STEP_DONE;
}

const exchange_step_t admin_steps[] = {
    {"busy", step_busy},
    {"admin", step_admin},
    {NULL, NULL},
};
