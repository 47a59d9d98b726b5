/* Questions about the API part of a configuration. */
#include <stdio.h>

#include "conf_errors.h"
#include "conf_net.h"

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

bool conf_allows_origin(const conf_t *conf, str_t origin)
{
    for (size_t i = 0; i < conf->api.cors_count; i++)
        if (strcmp(conf->api.cors[i].origin, "*") == 0 || str_eq(origin, str_from(conf->api.cors[i].origin)))
            return true;
    return false;
}

bool conf_is_loopback(const conf_address_t *address)
{
    if (address->sa.ss_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)&address->sa)->sin_addr.s_addr) >> 24 == 127;
    return address->sa.ss_family == AF_INET6 &&
           IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)&address->sa)->sin6_addr);
}

void conf_check_exposure(const conf_t *conf, conf_errors_t *errors)
{
    for (size_t i = 0; i < conf->box_count && conf->api.host_count != 0 && conf->api.previews; i++) {
        const conf_box_t *box = &conf->boxes[i];
        char key[48];
        if (box->port_count != 0 || conf_net_port(&box->address) != 0 || !conf_is_loopback(&box->address))
            continue;
        (void)snprintf(key, sizeof(key), "boxes[%zu].ports", i);
        conf_errors_add(errors, CONF_ERROR, conf->source, (conf_place_t){0}, key,
                        "is missing: \"%s\" is this machine, and whoever has a key of the API could publish "
                        "any of its ports; needed: the ports that it may have previews of",
                        box->id);
    }
}
