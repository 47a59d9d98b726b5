/* Look-ups in the API part of a configuration. */
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

bool conf_lists_origin(const conf_t *conf, str_t origin)
{
    if (str_eq(origin, STR("*"))) /* no browser sends it */
        return false;
    for (size_t i = 0; i < conf->api.cors_count; i++)
        if (str_eq(origin, str_from(conf->api.cors[i].origin)))
            return true;
    return false;
}

bool conf_allows_origin(const conf_t *conf, str_t origin)
{
    for (size_t i = 0; i < conf->api.cors_count; i++)
        if (strcmp(conf->api.cors[i].origin, "*") == 0)
            return true;
    return conf_lists_origin(conf, origin);
}
