/* The rules between the keys of the API part: unique names, references to existing names, and hosts
 * that do not collide with the previews'. */
#include <stdio.h>

#include "conf_check.h"
#include "conf_net.h"

typedef struct checker {
    const conf_t *conf;
    const conf_node_t *root;
    conf_errors_t *errors;
} checker_t;

#define REPORT(c, level, place, key, ...)                                                                    \
    conf_errors_add((c)->errors, (level), (c)->conf->source, (place), (key), __VA_ARGS__)

static const conf_node_t *child(const conf_node_t *node, const char *name)
{
    return conf_node_get(node, str_from(name));
}

static const conf_node_t *element(const conf_node_t *list, size_t i)
{
    return list != NULL && list->kind == CONF_NODE_LIST && i < list->count ? list->children[i] : NULL;
}

/* The position of a key in an element, else of the element, else of the file. */
static conf_place_t place_of(const checker_t *c, const conf_node_t *list, size_t i, const char *name)
{
    const conf_node_t *node = element(list, i);
    const conf_node_t *value = child(node, name);
    return value != NULL ? value->place : node != NULL ? node->place : c->root->place;
}

static conf_place_t api_place(const checker_t *c, const char *name)
{
    const conf_node_t *api = child(c->root, "api");
    const conf_node_t *value = child(api, name);
    return value != NULL ? value->place : api != NULL ? api->place : c->root->place;
}

/* Reports a name that an element before `i` also has. `names` is the first name, `size` the
 * distance between two. */
static void check_once(const checker_t *c, const conf_node_t *list, const char *key, const char *names,
                       size_t size, size_t i)
{
    const char *name = names + i * size;
    for (size_t j = 0; name[0] != '\0' && j < i; j++) {
        if (strcmp(names + j * size, name) != 0)
            continue;
        char shown[96];
        snprintf(shown, sizeof(shown), "%s[%zu].name", key, i);
        REPORT(c, CONF_ERROR, place_of(c, list, i, "name"), shown,
               "\"%s\" is given twice, first in line %u; give each name once", name,
               place_of(c, list, j, "name").line);
        return;
    }
}

static void check_tls(const checker_t *c, const conf_node_t *list, size_t i)
{
    const conf_upstream_t *upstream = &c->conf->upstreams[i];
    static const char *const keys[] = {"tls_name", "tls_ca", "tls_certificate", "tls_key"};
    const char *const values[] = {upstream->tls_name, upstream->tls_ca, upstream->tls_certificate,
                                  upstream->tls_key};
    char shown[96];
    for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]) && !upstream->tls; k++) {
        if (values[k][0] == '\0')
            continue;
        snprintf(shown, sizeof(shown), "upstreams[%zu].%s", i, keys[k]);
        REPORT(c, CONF_WARNING, place_of(c, list, i, keys[k]), shown, "has no effect without `tls: true`");
    }
    if ((upstream->tls_certificate[0] == '\0') == (upstream->tls_key[0] == '\0'))
        return;
    const char *missing = upstream->tls_key[0] == '\0' ? "tls_key" : "tls_certificate";
    snprintf(shown, sizeof(shown), "upstreams[%zu].%s", i, missing);
    REPORT(c, CONF_ERROR, place_of(c, list, i, missing), shown,
           "is missing; needed: a certificate and its key are given together");
}

static void check_servers(const checker_t *c, const conf_node_t *list, size_t i)
{
    const conf_upstream_t *upstream = &c->conf->upstreams[i];
    const conf_node_t *servers = child(element(list, i), "servers");
    for (size_t j = 0; j < upstream->server_count; j++) {
        const conf_server_t *server = &upstream->servers[j];
        conf_address_t address;
        char shown[96];
        snprintf(shown, sizeof(shown), "upstreams[%zu].servers[%zu]", i, j);
        if (server->text[0] == '\0')
            continue;
        for (size_t k = 0; k < j; k++)
            if (strcmp(upstream->servers[k].text, server->text) == 0)
                REPORT(c, CONF_ERROR, place_of(c, servers, j, "address"), shown,
                       "\"%s\" is given twice, first in line %u; give each server once, with a weight",
                       server->text, place_of(c, servers, k, "address").line);
        if (conf_net_read_address(str_from(server->text), true, &address) != NULL)
            continue;
        const char *what = conf_net_not_for_boxes(&address);
        if (what != NULL)
            REPORT(c, CONF_ERROR, place_of(c, servers, j, "address"), shown,
                   "%s is %s; allowed: an address where one server can be", server->text, what);
        else if (conf_listens_on(c->conf, (const struct sockaddr *)&address.sa))
            REPORT(c, CONF_ERROR, place_of(c, servers, j, "address"), shown,
                   "%s is a listener of the edge itself; allowed: another address", server->text);
    }
}

static void check_upstreams(const checker_t *c)
{
    const conf_node_t *list = child(c->root, "upstreams");
    for (size_t i = 0; i < c->conf->upstream_count; i++) {
        check_once(c, list, "upstreams", c->conf->upstreams[0].name, sizeof(conf_upstream_t), i);
        check_servers(c, list, i);
        check_tls(c, list, i);
    }
}

/* Lists the declared names, "a, b, c", cut to the available room. `names` as for check_once. */
#define KNOWN_MAX 200
static const char *known_names(const char *names, size_t size, size_t count, char out[KNOWN_MAX])
{
    size_t used = 0;
    snprintf(out, KNOWN_MAX, "none is declared");
    for (size_t i = 0; i < count && used < KNOWN_MAX; i++)
        used += (size_t)snprintf(out + used, KNOWN_MAX - used, "%s%s", i != 0 ? ", " : "", names + i * size);
    return out;
}

static void check_plan(const checker_t *c, conf_place_t place, const char *key, const char *name)
{
    char known[KNOWN_MAX];
    if (name[0] != '\0' && conf_plan(c->conf, name) == NULL)
        REPORT(c, CONF_ERROR, place, key, "\"%s\" is not one of `plans`; allowed: %s", name,
               known_names((const char *)c->conf->plans, sizeof(conf_plan_t), c->conf->plan_count, known));
}

static void check_plans(const checker_t *c)
{
    const conf_node_t *list = child(c->root, "plans");
    for (size_t i = 0; i < c->conf->plan_count; i++)
        check_once(c, list, "plans", c->conf->plans[0].name, sizeof(conf_plan_t), i);
    check_plan(c, api_place(c, "default_plan"), "api.default_plan", c->conf->api.default_plan);
    check_plan(c, api_place(c, "client_plan"), "api.client_plan", c->conf->api.client_plan);
}

static void check_keys(const checker_t *c)
{
    const conf_node_t *list = child(child(c->root, "api"), "keys");
    const conf_t *conf = c->conf;
    for (size_t i = 0; i < conf->api.key_count; i++) {
        char shown[96];
        check_once(c, list, "api.keys", conf->api.keys[0].name, sizeof(conf_api_key_t), i);
        snprintf(shown, sizeof(shown), "api.keys[%zu].plan", i);
        check_plan(c, place_of(c, list, i, "plan"), shown, conf->api.keys[i].plan);
        for (size_t j = 0; j < i; j++)
            if (memcmp(conf->api.keys[j].sha256, conf->api.keys[i].sha256,
                       sizeof(conf->api.keys[i].sha256)) == 0) {
                snprintf(shown, sizeof(shown), "api.keys[%zu].sha256", i);
                REPORT(c, CONF_ERROR, place_of(c, list, i, "sha256"), shown,
                       "is the same key as in line %u; give each key once",
                       place_of(c, list, j, "sha256").line);
                break;
            }
    }
}

/* A request that costs more than every burst can never pass. */
static void check_costs(const checker_t *c)
{
    const conf_node_t *list = child(child(c->root, "api"), "costs");
    uint32_t most = 0;
    for (size_t i = 0; i < c->conf->plan_count; i++) {
        const conf_plan_t *plan = &c->conf->plans[i];
        most = plan->rate_count == 0 ? UINT32_MAX : plan->burst > most ? plan->burst : most;
        if (most == UINT32_MAX)
            return;
    }
    for (size_t i = 0; i < c->conf->api.cost_count; i++) {
        char shown[96];
        snprintf(shown, sizeof(shown), "api.costs[%zu].cost", i);
        if (c->conf->plan_count != 0 && c->conf->api.costs[i].cost > most)
            REPORT(c, CONF_WARNING, place_of(c, list, i, "cost"), shown,
                   "is more than the burst of any plan (%u): such requests never pass", most);
    }
}

static bool is_under(const char *host, const char *domain)
{
    size_t n = strlen(host), m = strlen(domain);
    return n > m && host[n - m - 1] == '.' && strcmp(host + n - m, domain) == 0;
}

/* Returns the text after the first dot if that has a dot too: a guess at the registrable domain. */
static const char *parent_of(const char *host)
{
    const char *dot = strchr(host, '.');
    return dot != NULL && strchr(dot + 1, '.') != NULL ? dot + 1 : NULL;
}

static void check_host(const checker_t *c, size_t i)
{
    const char *host = c->conf->api.hosts[i], *domain = c->conf->preview_domain;
    const conf_node_t *node = element(child(child(c->root, "api"), "hosts"), i);
    conf_place_t place = node != NULL ? node->place : api_place(c, "hosts");
    if (host == NULL || domain == NULL)
        return;
    if (strcmp(host, domain) == 0 || is_under(host, domain)) {
        REPORT(c, CONF_ERROR, place, "api.hosts",
               "\"%s\" lies under preview_domain; allowed: a name beside it", host);
        return;
    }
    const char *of_host = parent_of(host), *of_domain = parent_of(domain);
    if ((of_host != NULL && is_under(domain, of_host)) || (of_domain != NULL && is_under(host, of_domain)) ||
        is_under(domain, host))
        REPORT(c, CONF_WARNING, place, "api.hosts",
               "\"%s\" and the previews may count as one site for browsers, so that cookies of a preview "
               "reach it; give "
               "the previews a domain of their own",
               host);
}

static void check_api(const checker_t *c)
{
    const conf_t *conf = c->conf;
    char known[KNOWN_MAX];
    bool found = false;
    for (size_t i = 0; i < conf->upstream_count; i++)
        found |= strcmp(conf->upstreams[i].name, conf->api.upstream) == 0;
    if (conf->api.upstream[0] != '\0' && !found)
        REPORT(
            c, CONF_ERROR, api_place(c, "upstream"), "api.upstream",
            "\"%s\" is not one of `upstreams`; allowed: %s", conf->api.upstream,
            known_names((const char *)conf->upstreams, sizeof(conf_upstream_t), conf->upstream_count, known));
    else if (conf->api.host_count != 0 && !found)
        REPORT(c, CONF_ERROR, api_place(c, "hosts"), "api.upstream",
               "is missing; needed: one of `upstreams`, for the requests of api.hosts");
    for (size_t i = 0; i < conf->api.host_count; i++)
        check_host(c, i);
}

void conf_check_api(const conf_t *conf, const conf_node_t *root, conf_errors_t *errors)
{
    const checker_t c = {conf, root, errors};
    check_upstreams(&c);
    check_plans(&c);
    check_keys(&c);
    check_costs(&c);
    check_api(&c);
}
