/* Questions about the API part of a configuration. */
#include "conf.h"

const conf_plan_t *conf_plan(const conf_t *conf, const char *name)
{
    for (size_t i = 0; i < conf->plan_count; i++)
        if (strcmp(conf->plans[i].name, name) == 0)
            return &conf->plans[i];
    return NULL;
}

bool conf_is_api_host(const conf_t *conf, str_t host)
{
    const char *colon = host.n != 0 ? memrchr(host.p, ':', host.n) : NULL;
    if (colon != NULL)
        host.n = (size_t)(colon - host.p);
    if (host.n != 0 && host.p[host.n - 1] == '.')
        host.n--;
    for (size_t i = 0; i < conf->api.host_count; i++)
        if (str_ieq(host, str_from(conf->api.hosts[i])))
            return true;
    return false;
}

/* Cuts the first segment off `*path`, which begins with a slash; without the slash. */
static str_t take_segment(str_t *path)
{
    str_t rest = str_from_offset(*path, 1);
    const char *slash = rest.n != 0 ? memchr(rest.p, '/', rest.n) : NULL;
    str_t segment = slash != NULL ? str_make(rest.p, (size_t)(slash - rest.p)) : rest;
    *path = str_from_offset(rest, segment.n);
    return segment;
}

/* "{id}" stands for one segment that is not empty, a "*" at the end for all that follows. */
static bool matches(str_t pattern, str_t path)
{
    while (pattern.n != 0 && path.n != 0 && path.p[0] == '/') {
        str_t want = take_segment(&pattern);
        if (pattern.n == 0 && str_eq(want, STR("*")))
            return true;
        str_t got = take_segment(&path);
        bool any = want.n >= 2 && want.p[0] == '{' && want.p[want.n - 1] == '}' && got.n != 0;
        if (!any && !str_eq(want, got))
            return false;
    }
    return pattern.n == 0 && path.n == 0;
}

uint32_t conf_cost_of(const conf_t *conf, str_t method, str_t path)
{
    for (size_t i = 0; i < conf->api.cost_count; i++) {
        const conf_cost_t *cost = &conf->api.costs[i];
        bool any = cost->method[0] == '*';
        if ((any || str_eq(str_from(cost->method), method)) && matches(str_from(cost->path), path))
            return cost->cost;
    }
    return 1;
}
