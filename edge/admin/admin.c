#include "admin.h"

#include <assert.h>

#include "admin_internal.h"
#include "list.h"
#include "process_log.h"

static void on_crowded(void *owner, bool idle)
{
    (void)owner;
    if (idle)
        process_log(
            LOG_ADMIN_CROWDED, "controller",
            "the admin socket has no place left: for each further connection, the one without a "
            "request for longest closes (boxedge_admin_connections_given_up_total). Look for a client "
            "that keeps connections open: ss -xp shows them");
    else
        process_log(LOG_ADMIN_CROWDED, "controller",
                    "the admin socket has %u requests under way, its maximum: it refuses further ones "
                    "(boxedge_admin_refused_total). Look for a client that sends many: ss -xp shows them",
                    ADMIN_REQUESTS_MAX);
}

admin_t *admin_new(loop_t *loop, const conf_t *conf, shm_t *shm, store_thread_t *store, int listen_fd,
                   const admin_controls_t *controls, void *owner)
{
    admin_t *admin = calloc(1, sizeof *admin);
    assert(admin != NULL);
    *admin = (admin_t){.loop = loop, .shm = shm, .store = store, .controls = controls, .owner = owner};
    list_init(&admin->reload_waiters);
    list_init(&admin->recorded);
    list_init(&admin->listeners);
    const local_server_spec_t spec = {
        .steps = admin_steps, .max_requests = ADMIN_REQUESTS_MAX, .crowded = on_crowded, .owner = admin};
    admin->server = local_server_new(loop, conf, listen_fd, &spec);
    return admin;
}

void admin_free(admin_t **admin)
{
    admin_t *a = *admin;
    *admin = NULL;
    if (a == NULL)
        return;
    admin_listeners_free(a);
    local_server_free(&a->server);
    assert(list_is_empty(&a->reload_waiters));
    admin_recorded_free_all(a);
    free(a);
}

void admin_set_runner(admin_t *admin, runner_client_t *runner)
{
    admin->runner = runner;
}

void admin_set_wall_clock(admin_t *admin, const wall_clock_t *wall_clock)
{
    admin->wall_clock = wall_clock;
}

void admin_set_traces(admin_t *admin, const trace_service_t *traces)
{
    admin->traces = traces;
}

void admin_set_upstreams(admin_t *admin, const upstreams_t *upstreams)
{
    admin->upstreams = upstreams;
}

void admin_set_traffic(admin_t *admin, traffic_service_t *traffic)
{
    admin->traffic = traffic;
}

void admin_set_conf(admin_t *admin, const conf_t *conf)
{
    local_server_set_conf(admin->server, conf);
    admin_listeners_set_conf(admin, conf);
}

void admin_leave(admin_t *admin)
{
    admin->leaving = true;
}

void admin_drain(admin_t *admin)
{
    local_server_drain(admin->server);
    admin_listeners_drain(admin);
}

uint64_t admin_clients(const admin_t *admin)
{
    return local_server_clients(admin->server) + admin_listeners_clients(admin);
}
