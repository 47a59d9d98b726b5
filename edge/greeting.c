/*
 * See greeting.h.
 */
#include "greeting.h"

#include <assert.h>
#include <unistd.h>

#include "worker.h"

typedef struct greeting {
    client_t client; /* first: it is one */
    loop_timer_t timer;
} greeting_t;

static greeting_t *greeting_of(client_t *client)
{
    return (greeting_t *)client;
}

static void destroy(client_t *client)
{
    greeting_t *greeting = greeting_of(client);
    loop_timer_stop(&greeting->timer);
    client_fini(client);
    free(greeting);
}

/* A handshake that has begun is let finish: what follows it is drained then. */
static void drain(client_t *client)
{
    (void)client;
}

static void fail(greeting_t *greeting)
{
    counter_add(&greeting->client.worker->counters->tls_failures_total, 1);
    destroy(&greeting->client);
}

static void on_timeout(loop_timer_t *timer)
{
    fail(H2O_STRUCT_FROM_MEMBER(greeting_t, timer, timer));
}

/* The connection, its count and its place go to the HTTP client. */
static void become_http(greeting_t *greeting)
{
    client_t accepted = greeting->client;
    const SSL *ssl = conn_ssl(accepted.conn);
    counters_t *counters = accepted.worker->counters;

    counter_add(&counters->tls_handshakes_total, 1);
    if (SSL_session_reused(ssl))
        counter_add(&counters->tls_resumptions_total, 1);
    greeting->client.conn = NULL;
    greeting->client.counted = false;
    destroy(&greeting->client);
    greeting_finish(&accepted, tls_is_h2(ssl));
}

static void on_ready(void *owner)
{
    greeting_t *greeting = owner;
    switch (conn_handshake(greeting->client.conn)) {
    case CONN_OK:
        become_http(greeting);
        break;
    case CONN_AGAIN:
        break;
    default:
        fail(greeting);
    }
}

bool greeting_new(const client_t *accepted, int fd)
{
    static const conn_handlers_t handlers = {.readable = on_ready, .writable = on_ready};
    worker_t *worker = accepted->worker;
    greeting_t *greeting = calloc(1, sizeof(*greeting));
    SSL *ssl = greeting != NULL ? tls_accept(worker->tls) : NULL;

    if (ssl == NULL) {
        free(greeting);
        close(fd);
        return false;
    }
    client_t with_conn = *accepted;
    with_conn.conn = conn_new(worker->loop, fd, ssl, &handlers, greeting);
    client_init(&greeting->client, &with_conn);
    greeting->client.drain = drain;
    greeting->client.destroy = destroy;
    loop_timer_start(worker->loop, &greeting->timer, worker->conf->timeouts.handshake, on_timeout);
    conn_want_read(greeting->client.conn, true);
    return true;
}

void greeting_finish(const client_t *accepted, bool h2)
{
    worker_t *worker = accepted->worker;
    if (h2)
        http2_server_new(accepted);
    else
        http1_server_new(accepted);
    if (!worker->draining)
        return;
    /* It entered the list at the end, unless it is gone already. */
    client_t *last = H2O_STRUCT_FROM_MEMBER(client_t, link, worker->clients.prev);
    if (!h2o_linklist_is_empty(&worker->clients) && last->conn == accepted->conn)
        last->drain(last);
}
