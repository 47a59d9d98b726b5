#include "local_server.h"

#include <assert.h>
#include <errno.h>
#include <unistd.h>

#include "address.h"
#include "client.h"
#include "context.h"
#include "descriptors.h"
#include "greeting.h"
#include "list.h"
#include "pipeline.h"
#include "readable.h"
#include "tls.h"

/* Maximum connections accepted in one turn. */
#define ACCEPTS_A_TURN 32
/* Pause in accepting after the system had no descriptor or no memory. */
#define PAUSE_MS 100

struct local_server {
    context_t context;
    counters_t counters;
    local_server_spec_t spec;
    bool crowded;         /* spec.crowded was called, and half of the connections have not been free since */
    readable_t *listener; /* NULL: draining */
    loop_timer_t pause;
    int listen_fd;
};

static void ignore(void *owner)
{
    (void)owner;
}

/* Before the codec takes the connection over. */
static const conn_handlers_t no_handlers = {.readable = ignore, .writable = ignore};

static void pause_over(loop_timer_t *timer)
{
    local_server_t *server = CONTAINER_OF(local_server_t, pause, timer);
    readable_start(server->listener);
}

/* A listener that cannot be emptied stays readable; without a pause the loop would spin. */
static void pause_accepting(local_server_t *server)
{
    readable_stop(server->listener);
    loop_timer_start(server->context.loop, &server->pause, PAUSE_MS, pause_over);
}

/* A connection without a request, and without bytes of one in the kernel: the one that is so for longest.
 * Without any, the oldest in its TLS handshake. */
static client_t *longest_idle(const local_server_t *server)
{
    client_t *found = NULL, *greeted = NULL;
    uint64_t found_ms = 0, since_ms;
    const list_t *clients = &server->context.clients;
    for (list_t *link = clients->next; link != clients; link = link->next) {
        client_t *client = CONTAINER_OF(client_t, link, link);
        if (client->codec->idle_since == NULL) {
            greeted = greeted != NULL ? greeted : client;
            continue;
        }
        if (client->codec->idle_since(client, &since_ms) && (found == NULL || since_ms < found_ms) &&
            conn_unread(client->conn) == 0) {
            found = client;
            found_ms = since_ms;
        }
    }
    return found != NULL ? found : greeted;
}

static void close_client(client_t *client)
{
    if (client->codec->close_idle != NULL)
        client->codec->close_idle(client);
    else
        client->codec->destroy(client);
}

static void note_crowded(local_server_t *server, bool idle)
{
    if (!server->crowded && server->spec.crowded != NULL)
        server->spec.crowded(server->spec.owner, idle);
    server->crowded = true;
}

/* Closes an idle connection; false if all have a request. */
static bool make_room(local_server_t *server)
{
    client_t *client = longest_idle(server);
    note_crowded(server, client != NULL);
    if (client == NULL)
        return false;
    close_client(client);
    counter_add(&server->counters.connections_given_up_total, 1);
    return true;
}

/* True if the new connection has a place. */
static bool has_room(local_server_t *server)
{
    uint64_t max = server->spec.max_requests + LOCAL_SERVER_SPARE;
    if (server->context.client_count < max / 2)
        server->crowded = false;
    return server->context.client_count < max || make_room(server);
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
        if (fd < 0 && descriptors_ran_out(errno) && make_room(server))
            continue;
        if (fd < 0 && errno != EAGAIN)
            pause_accepting(server);
        if (fd < 0)
            return;
        if (!has_room(server)) {
            counter_add(&server->counters.connections_refused_total, 1);
            close(fd);
            continue;
        }
        client_t client = {.context = &server->context,
                           .kind = server->spec.tls != NULL ? CONF_LISTENER_TLS : CONF_LISTENER_PLAIN,
                           .steps = server->spec.steps,
                           .local = true};
        (void)address_take((const struct sockaddr *)&from, &client.address, &client.port);
        if (server->spec.tls != NULL) {
            greeting_new(&client, fd, false);
            continue;
        }
        client.conn = conn_new(server->context.loop, fd, NULL, &no_handlers, NULL);
        http1_server_new(&client);
    }
}

local_server_t *local_server_new(loop_t *loop, const conf_t *conf, int listen_fd,
                                 const local_server_spec_t *spec)
{
    local_server_t *server = calloc(1, sizeof *server);
    assert(server != NULL);
    *server = (local_server_t){
        .context = {.loop = loop,
                    .pipeline = &bare_pipeline,
                    .conf = conf_acquire(conf),
                    .random = random_source_new()},
        .spec = *spec,
        .listen_fd = listen_fd,
    };
    server->context.tls = spec->tls;
    server->context.counters = &server->counters;
    account_root_init(&server->context.memory, NULL);
    server->context.scratch = malloc(CONN_TURN_BYTES);
    assert(server->context.scratch != NULL);
    list_init(&server->context.clients);
    list_init(&server->context.exchanges);
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
    while (!list_is_empty(&s->context.clients)) {
        client_t *client = CONTAINER_OF(client_t, link, s->context.clients.next);
        client->codec->destroy(client);
    }
    random_source_free(&s->context.random);
    tls_free(&s->context.tls);
    conf_release(&s->context.conf);
    free(s->context.scratch);
    free(s);
}

void local_server_set_conf(local_server_t *server, const conf_t *conf)
{
    conf_release(&server->context.conf);
    server->context.conf = conf_acquire(conf);
}

void local_server_set_tls(local_server_t *server, tls_t *tls)
{
    assert(server->spec.tls != NULL && tls != NULL);
    tls_free(&server->context.tls);
    server->spec.tls = server->context.tls = tls;
}

void local_server_drain(local_server_t *server)
{
    stop_listening(server);
    server->context.draining = true;
    /* `drain` may free its own client, but no other. */
    list_t *at = server->context.clients.next;
    while (at != &server->context.clients) {
        client_t *client = CONTAINER_OF(client_t, link, at);
        at = at->next;
        client->codec->drain(client);
    }
}

uint64_t local_server_clients(const local_server_t *server)
{
    return server->context.client_count;
}

const counters_t *local_server_counters(const local_server_t *server)
{
    return &server->counters;
}

const local_server_t *local_server_of(const exchange_t *ex)
{
    return CONTAINER_OF(local_server_t, context, ex->context);
}

void *local_server_owner(const exchange_t *ex)
{
    return local_server_of(ex)->spec.owner;
}

bool local_server_is_busy(const exchange_t *ex)
{
    local_server_t *server = CONTAINER_OF(local_server_t, context, ex->context);
    uint64_t open = atomic_load_explicit(&server->counters.exchanges_open, memory_order_relaxed);
    if (open <= server->spec.max_requests)
        return false;
    note_crowded(server, false);
    counter_add(&server->counters.shed_total, 1);
    return true;
}
