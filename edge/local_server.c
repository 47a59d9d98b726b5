#include "local_server.h"

#include <assert.h>
#include <errno.h>
#include <unistd.h>

#include "address.h"
#include "client.h"
#include "list.h"
#include "pipeline.h"
#include "readable.h"
#include "worker.h"

/* Connections accepted in one turn, at most. */
#define ACCEPTS_A_TURN 32
/* How long nothing is accepted after the system had no descriptor or no memory for it. */
#define PAUSE_MS 100

struct local_server {
    worker_t worker;
    counters_t counters; /* nobody's */
    const exchange_step_t *steps;
    uint64_t max_clients;
    void *owner;
    readable_t *listener; /* NULL: draining */
    loop_timer_t pause;
    int listen_fd;
};

static void ignore(void *owner)
{
    (void)owner;
}

/* Until the codec takes the connection over. */
static const conn_handlers_t no_handlers = {.readable = ignore, .writable = ignore};

static void pause_over(loop_timer_t *timer)
{
    local_server_t *server = CONTAINER_OF(local_server_t, pause, timer);
    readable_start(server->listener);
}

/* A listener that cannot be emptied stays readable: without a pause the loop would spin. */
static void pause_accepting(local_server_t *server)
{
    readable_stop(server->listener);
    loop_timer_start(server->worker.loop, &server->pause, PAUSE_MS, pause_over);
}

static void on_acceptable(void *owner)
{
    local_server_t *server = owner;
    for (int i = 0; i < ACCEPTS_A_TURN; i++) {
        struct sockaddr_storage from = {.ss_family = AF_UNSPEC};
        socklen_t len = sizeof from;
        int fd = accept4(server->listen_fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
            continue;
        if (fd < 0 && errno != EAGAIN)
            pause_accepting(server);
        if (fd < 0)
            return;
        if (server->worker.client_count >= server->max_clients) {
            close(fd);
            continue;
        }
        client_t client = {
            .worker = &server->worker, .kind = CONF_LISTENER_PLAIN, .steps = server->steps, .local = true};
        (void)address_take((const struct sockaddr *)&from, &client.address, &client.port);
        client.conn = conn_new(server->worker.loop, fd, NULL, &no_handlers, NULL);
        http1_server_new(&client);
    }
}

local_server_t *local_server_new(loop_t *loop, const conf_t *conf, int listen_fd,
                                 const exchange_step_t *steps, uint64_t max_clients, void *owner)
{
    local_server_t *server = calloc(1, sizeof *server);
    assert(server != NULL);
    *server = (local_server_t){
        .worker = {.loop = loop,
                   .pipeline = &edge_pipeline,
                   .conf = conf_acquire(conf),
                   .random = random_source_new()},
        .steps = steps,
        .max_clients = max_clients,
        .owner = owner,
        .listen_fd = listen_fd,
    };
    server->worker.counters = &server->counters;
    account_root_init(&server->worker.memory, NULL);
    server->worker.scratch = malloc(CONN_TURN_BYTES);
    assert(server->worker.scratch != NULL);
    list_init(&server->worker.clients);
    server->listener = readable_new(loop, listen_fd, on_acceptable, server);
    readable_start(server->listener);
    return server;
}

static void stop_listening(local_server_t *server)
{
    if (server->listener == NULL)
        return;
    loop_timer_stop(&server->pause);
    readable_free(&server->listener);
}

void local_server_free(local_server_t **server)
{
    local_server_t *s = *server;
    *server = NULL;
    if (s == NULL)
        return;
    stop_listening(s);
    while (!list_is_empty(&s->worker.clients)) {
        client_t *client = CONTAINER_OF(client_t, link, s->worker.clients.next);
        client->codec->destroy(client);
    }
    random_source_free(&s->worker.random);
    conf_release(&s->worker.conf);
    free(s->worker.scratch);
    free(s);
}

void local_server_set_conf(local_server_t *server, const conf_t *conf)
{
    conf_release(&server->worker.conf);
    server->worker.conf = conf_acquire(conf);
}

void local_server_drain(local_server_t *server)
{
    stop_listening(server);
    server->worker.draining = true;
    /* `drain` may free the client that it is called for, and no other. */
    list_t *at = server->worker.clients.next;
    while (at != &server->worker.clients) {
        client_t *client = CONTAINER_OF(client_t, link, at);
        at = at->next;
        client->codec->drain(client);
    }
}

uint64_t local_server_clients(const local_server_t *server)
{
    return server->worker.client_count;
}

void *local_server_owner(const exchange_t *ex)
{
    return CONTAINER_OF(local_server_t, worker, ex->worker)->owner;
}
