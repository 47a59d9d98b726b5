/* Any bytes as a configuration: the result is within its bounds, and an accepted configuration keeps its
 * promises. */
#include <assert.h>
#include <sys/un.h>

#include "box_id.h"
#include "conf_environment.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_process(const conf_process_t *process)
{
    assert(box_id_valid(str_from(process->id)) && process->directory[0] == '/');
    assert(strcmp(process->user, "root") != 0);
    assert(process->command_count >= 1 && process->command_count <= 64 && process->command[0][0] != '\0');
    for (size_t i = 0; i < process->command_count; i++)
        assert(strlen(process->command[i]) <= 4096);
    assert(process->environment_count <= 256);
    for (size_t i = 0; i < process->environment_count; i++)
        assert(strchr(process->environment[i], '=') != NULL && strlen(process->environment[i]) <= 4096);
    assert(process->port_count >= 1 && process->port_count <= 16);
    for (size_t i = 0; i < process->port_count; i++)
        assert(process->ports[i] != 0);
}

/* Settings of boxes that can sleep. */
static void check_sleepers(const conf_t *conf)
{
    assert(conf->process_count <= 1024);
    for (size_t i = 0; i < conf->process_count; i++)
        check_process(&conf->processes[i]);
    assert(conf->docker.socket[0] == '\0' || conf->docker.socket[0] == '/');
    assert(conf->docker.label[0] != '\0');
    const char *url = conf->control_plane.url;
    assert(url[0] == '\0' || strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0);
    assert(url[0] == '\0' || url[strlen(url) - 1] != '/');
    for (size_t i = 0; i < conf->origin_count; i++)
        assert(conf->origins[i].bits <= 128);
    assert(conf->wake.timeout != 0 && conf->wake.waiters != 0 && conf->wake.waiters_per_box != 0);
}

static void check_api(const conf_t *conf)
{
    assert(conf->upstream_count <= 16 && conf->plan_count <= 256 && conf->api.host_count <= 64);
    for (size_t i = 0; i < conf->upstream_count; i++) {
        const conf_upstream_t *upstream = &conf->upstreams[i];
        assert(upstream->name[0] != '\0' && upstream->server_count >= 1 && upstream->server_count <= 64);
        for (size_t j = 0; j < upstream->server_count; j++) {
            const conf_server_t *server = &upstream->servers[j];
            assert(server->host[0] != '\0' && server->port != 0 && server->text[0] != '\0');
            assert(server->weight >= 1 && server->weight <= 100);
        }
        assert((upstream->tls_key[0] == '\0') == (upstream->tls_certificate[0] == '\0'));
    }
    for (size_t i = 0; i < conf->plan_count; i++) {
        const conf_plan_t *plan = &conf->plans[i];
        assert(conf_plan(conf, plan->name) == plan && plan->burst >= 1 && plan->rate_period_ms >= 1000);
        assert(plan->rate_count <= 1000 * plan->rate_period_ms);
    }
    for (size_t i = 0; i < conf->api.host_count; i++)
        assert(conf_is_api_host(conf, str_from(conf->api.hosts[i])));
    for (size_t i = 0; i < conf->api.cost_count; i++)
        (void)conf_cost_of(conf, STR("POST"), str_from(conf->api.costs[i].path));
    for (size_t i = 0; i < conf->api.key_count; i++)
        assert(conf_plan(conf, conf->api.keys[i].plan) != NULL);
    assert(conf->api.host_count == 0 || conf->api.upstream_index < conf->upstream_count);
    assert((conf->api.default_limits != NULL) == (conf->api.default_plan[0] != '\0'));
    assert((conf->api.client_limits != NULL) == (conf->api.client_plan[0] != '\0'));
}

static void check_promises(const conf_t *conf)
{
    check_sleepers(conf);
    check_api(conf);
    assert(conf->refcount == 1 && conf->workers != 0 && conf->public_port != 0);
    assert(conf->listener_count != 0 && conf->listener_count <= 64);
    for (size_t i = 0; i < conf->listener_count; i++)
        assert(conf->listeners[i].address.len != 0 && conf->listeners[i].text[0] != '\0');
    for (size_t i = 0; i < conf->certificate_count; i++)
        assert(conf->certificates[i].chain_path[0] == '/' && conf->certificates[i].key_path[0] == '/');
    for (size_t i = 0; i < conf->trusted_count; i++)
        assert(conf->trusted[i].network.bits <= 128);
    for (size_t i = 0; i < conf->box_count; i++) {
        assert(box_id_valid(str_from(conf->boxes[i].id)));
        assert(!conf_listens_on(conf, (const struct sockaddr *)&conf->boxes[i].address.sa));
    }
    assert(conf->preview_domain[0] != '\0' && strlen(conf->preview_domain) <= 189);
    assert(conf->node[0] != '\0' && conf->user != NULL && conf->access_log[0] != '\0');
    assert(conf->state_dir[0] == '/' && conf->run_dir[0] == '/');
    assert(strlen(conf->admin_socket) < sizeof(((struct sockaddr_un *)0)->sun_path));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const conf_environment_t env = {.cpus = 2, .host_name = "n", .cwd = "/srv", .home = "/home/op"};
    conf_errors_t *errors = conf_errors_new();
    conf_t *conf = conf_parse_in(&env, "f.yaml", str_make((const char *)data, size), errors);
    assert((conf == NULL) == (conf_errors_count(errors) != 0));

    char *printed = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&printed, &len);
    assert(out != NULL);
    conf_errors_print(errors, out);
    fclose(out);
    assert((len == 0) == (conf_errors_count(errors) + conf_errors_warnings(errors) == 0));
    free(printed);

    if (conf != NULL)
        check_promises(conf);
    conf_release(&conf);
    conf_errors_free(&errors);
    return 0;
}
