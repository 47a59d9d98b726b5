#include "conf_derive.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "conf_bind.h"
#include "conf_net.h"
#include "conf_value.h"
#include "siphash.h"

/* Idle time for docker.pause without docker.idle. */
#define DOCKER_IDLE_MS (30 * 60 * 1000)

static char *joined(const char *dir, const char *rest)
{
    char *path = conf_alloc(strlen(dir) + 1 + strlen(rest) + 1, 1);
    snprintf(path, strlen(dir) + 1 + strlen(rest) + 1, "%s/%s", dir, rest);
    return path;
}

static char *default_state_dir(const conf_environment_t *env)
{
    if (env->root)
        return conf_copy(STR("/var/lib/boxedge"));
    if (env->xdg_state_home[0] != '\0')
        return joined(env->xdg_state_home, "boxedge");
    return env->home[0] != '\0' ? joined(env->home, ".local/state/boxedge") : NULL;
}

static char *default_run_dir(const conf_environment_t *env, const char *state_dir)
{
    if (env->root)
        return conf_copy(STR("/run/boxedge"));
    if (env->xdg_runtime_dir[0] != '\0')
        return joined(env->xdg_runtime_dir, "boxedge");
    return state_dir != NULL ? joined(state_dir, "run") : NULL;
}

static void cannot_derive(const conf_t *conf, const conf_node_t *root, const char *name, const char *why,
                          conf_errors_t *errors)
{
    if (conf_node_get(root, str_from(name)) == NULL && !root->cut)
        conf_errors_add(errors, CONF_ERROR, conf->source, root->place, name,
                        "has no default here: %s; set it", why);
}

static void derive_dirs(conf_t *conf, const conf_node_t *root, const conf_environment_t *env,
                        conf_errors_t *errors)
{
    if (conf->state_dir == NULL)
        conf->state_dir = default_state_dir(env);
    if (conf->state_dir == NULL)
        cannot_derive(conf, root, "state_dir", "HOME is not set", errors);
    if (conf->run_dir == NULL)
        conf->run_dir = default_run_dir(env, conf->state_dir);
    if (conf->run_dir != NULL && conf->admin_socket == NULL)
        conf->admin_socket = joined(conf->run_dir, "admin.sock");
}

static uint16_t first_tls_port(const conf_t *conf)
{
    for (size_t i = 0; i < conf->listener_count; i++)
        if (conf->listeners[i].address.len != 0 && conf->listeners[i].kind == CONF_LISTENER_TLS)
            return conf_net_port(&conf->listeners[i].address);
    return 0;
}

/* Another server terminates TLS for a listener of the edge. */
static bool terminates_elsewhere(const conf_t *conf)
{
    for (size_t i = 0; i < conf->listener_count; i++)
        if (conf->listeners[i].tls_terminated)
            return true;
    return false;
}

/* A listener with an unreadable kind counts as one with TLS: its kind is 0. */
static bool surely_no_tls(const conf_t *conf)
{
    for (size_t i = 0; i < conf->listener_count; i++)
        if (conf->listeners[i].kind == CONF_LISTENER_TLS)
            return false;
    return conf->listener_count != 0;
}

static void none(char **text)
{
    if (*text == NULL)
        *text = conf_copy(str_from(""));
}

/* The private networks (RFC 1918, RFC 6598, RFC 4193). */
static void derive_origins(conf_t *conf)
{
    static const char *const private[] = {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10",
                                          "fd00::/8"};
    const size_t count = sizeof(private) / sizeof(private[0]);
    if (conf->origins != NULL)
        return;
    conf->origins = conf_alloc(count, sizeof(*conf->origins));
    conf->origin_count = count;
    for (size_t i = 0; i < count; i++) {
        const char *why = conf_net_read_network(str_from(private[i]), &conf->origins[i]);
        assert(why == NULL);
        (void)why;
    }
}

/* The same in all processes, and never 0. */
static uint64_t id_of(const char *name)
{
    static const siphash_key_t key;
    uint64_t id = siphash(&key, name, strlen(name));
    return id != 0 ? id : 1;
}

static void derive_upstream(conf_upstream_t *upstream)
{
    upstream->id = id_of(upstream->name);
    (void)snprintf(upstream->pool, sizeof(upstream->pool), "=%s", upstream->name);
    none(&upstream->tls_name);
    none(&upstream->tls_ca);
    none(&upstream->tls_certificate);
    none(&upstream->tls_key);
    none(&upstream->health_path);
}

static void set_route(conf_route_t *route, const char *method, const char *path)
{
    (void)snprintf(route->method, sizeof(route->method), "%s", method);
    route->path = conf_copy(str_from(path));
}

/* Defaults for the box API's public clients: the WebSocket URLs that clients get with a token need
 * no key, and all of the API's routes prove one. */
static void derive_routes(conf_t *conf, const conf_node_t *root)
{
    const conf_node_t *api = conf_node_get(root, STR("api"));
    if (conf->api.unkeyed_count == 0 && conf_node_get(api, STR("unkeyed")) == NULL) {
        free(conf->api.unkeyed);
        conf->api.unkeyed_count = 2;
        conf->api.unkeyed = conf_alloc(2, sizeof(*conf->api.unkeyed));
        set_route(&conf->api.unkeyed[0], "GET", "/v2/box/{id}/browser/cdp");
        set_route(&conf->api.unkeyed[1], "GET", "/v2/box/{id}/browser/screencast");
    }
    if (conf->api.proves_count == 0 && conf_node_get(api, STR("proves")) == NULL) {
        free(conf->api.proves);
        conf->api.proves_count = 1;
        conf->api.proves = conf_alloc(1, sizeof(*conf->api.proves));
        set_route(&conf->api.proves[0], "*", "/v2/*");
    }
}

static void derive_api(conf_t *conf, const conf_node_t *root)
{
    derive_routes(conf, root);
    for (size_t i = 0; i < conf->upstream_count; i++)
        derive_upstream(&conf->upstreams[i]);
    if (conf->api.upstream == NULL && conf->upstream_count == 1)
        conf->api.upstream = conf_copy(str_from(conf->upstreams[0].name));
    for (size_t i = 0; i < conf->plan_count; i++)
        conf->plans[i].id = id_of(conf->plans[i].name);
    none(&conf->api.upstream);
    none(&conf->api.default_plan);
    none(&conf->api.client_plan);
    none(&conf->api.settle_key);
    for (size_t i = 0; i < conf->upstream_count; i++)
        if (strcmp(conf->upstreams[i].name, conf->api.upstream) == 0)
            conf->api.upstream_index = i;
    conf->api.default_limits = conf_plan(conf, conf->api.default_plan);
    conf->api.client_limits = conf_plan(conf, conf->api.client_plan);
}

static void derive_providers(conf_t *conf, const conf_environment_t *env)
{
    char *dir = conf_dir_of(conf->source, env->cwd);
    none(&conf->docker.socket);
    if (conf->docker.pause && conf->docker.idle == 0)
        conf->docker.idle = DOCKER_IDLE_MS;
    none(&conf->tracing.otlp);
    none(&conf->tracing.ca_file);
    none(&conf->control_plane.url);
    none(&conf->control_plane.token_file);
    none(&conf->control_plane.ca_file);
    for (size_t i = 0; i < conf->process_count; i++) {
        none(&conf->processes[i].user);
        if (conf->processes[i].directory == NULL)
            conf->processes[i].directory = conf_copy(str_from(dir));
    }
    free(dir);
    derive_origins(conf);
}

/* Whether the file names an address for the listener, right or wrong. */
static bool names_address(const conf_node_t *root, size_t i)
{
    const conf_node_t *listener = conf_node_get(root, STR("listeners"))->children[i];
    return listener->kind != CONF_NODE_MAP || conf_node_get(listener, STR("address")) != NULL;
}

static void derive_listener(conf_listener_t *listener, bool named)
{
    if (listener->kind == CONF_LISTENER_METRICS && !named) {
        const char *wrong = conf_net_read_address(STR("127.0.0.1:9464"), true, &listener->address);
        assert(wrong == NULL);
        (void)wrong;
    }
    if (listener->address.len != 0)
        conf_net_print(&listener->address, listener->text);
    listener->id = id_of(listener->text);
    none(&listener->tls_certificate);
    none(&listener->tls_key);
    none(&listener->token_file);
}

void conf_derive(conf_t *conf, const conf_node_t *root, const conf_environment_t *env, conf_errors_t *errors)
{
    for (size_t i = 0; i < conf->listener_count; i++)
        derive_listener(&conf->listeners[i], names_address(root, i));
    if (conf->workers == 0)
        conf->workers = env->cpus < CONF_WORKERS_MAX ? env->cpus : CONF_WORKERS_MAX;
    if (conf->public_port == 0)
        conf->public_port = first_tls_port(conf);
    if (conf->public_port == 0 && terminates_elsewhere(conf))
        conf->public_port = 443;
    if (conf->public_port == 0 && surely_no_tls(conf))
        cannot_derive(conf, root, "public_port", "no listener is of the kind tls", errors);
    if (conf->node == NULL && conf_value_node(str_from(env->host_name)) == NULL)
        conf->node = conf_copy(str_from(env->host_name));
    if (conf->node == NULL)
        cannot_derive(conf, root, "node", "the host name is not usable as one", errors);
    derive_dirs(conf, root, env, errors);
    derive_providers(conf, env);
    derive_api(conf, root);
}
