#include "cors.h"

#include "api.h"
#include "browser.h"
#include "client.h"
#include "route.h"
#include "worker.h"

static bool preview_lists(const store_preview_t *preview, str_t origin)
{
    return origin_is_allowed(origin, STR(""), str_from(preview->allow_origins));
}

/* For an exchange whose steps have not reached the route, or whose head was refused. */
static bool host_lists(exchange_t *ex, str_t origin)
{
    const conf_t *conf = ex->context->conf;
    const route_t *route;
    if (!ex->request.unambiguous || ex->client->kind == CONF_LISTENER_HEALTH)
        return false;
    if (conf_is_api_host(conf, ex->request.authority))
        return conf_lists_origin(conf, origin);
    return worker_of(ex->context)->routes != NULL && route_find(ex, &route) == ROUTES_FOUND &&
           preview_lists(route->preview, origin);
}

bool cors_lists_origin(exchange_t *ex, str_t origin)
{
    if (ex->api != NULL)
        return conf_lists_origin(ex->api->conf, origin);
    return ex->routed ? preview_lists(ex->preview, origin) : host_lists(ex, origin);
}
