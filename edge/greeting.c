/*
 * See greeting.h. The header is looked at in the kernel (MSG_PEEK) and then taken exactly, so that TLS or
 * HTTP finds its first byte there. Where only a part of it has come, that part is taken and kept: left in the
 * kernel it would be reported in every turn.
 */
#include "greeting.h"

#include <assert.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy_protocol.h"
#include "worker.h"

typedef enum greeting_state {
    GREETING_HEADER,    /* a PROXY protocol header is awaited */
    GREETING_HANDSHAKE, /* TLS */
} greeting_state_t;

typedef struct greeting {
    client_t client; /* first: it is one */
    greeting_state_t state;
    loop_timer_t timer;
    char *part; /* of the header, PROXY_PROTOCOL_MAX bytes; NULL until it comes in parts */
    size_t part_len;
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
    free(greeting->part);
    free(greeting);
}

/* A handshake that has begun is let finish: what follows it is drained then. */
static void drain(client_t *client)
{
    (void)client;
}

static const client_codec_t codec = {.drain = drain, .destroy = destroy};

static void fail(greeting_t *greeting)
{
    counters_t *counters = greeting->client.worker->counters;
    counter_add(greeting->state == GREETING_HEADER ? &counters->proxy_protocol_failures_total
                                                   : &counters->tls_failures_total,
                1);
    destroy(&greeting->client);
}

static void on_timeout(loop_timer_t *timer)
{
    fail(H2O_STRUCT_FROM_MEMBER(greeting_t, timer, timer));
}

/* The connection, its count and its place go to the HTTP client. */
static void become_http(greeting_t *greeting, bool h2)
{
    client_t accepted = greeting->client;
    greeting->client.conn = NULL;
    greeting->client.counted = false;
    destroy(&greeting->client);
    greeting_finish(&accepted, h2);
}

static void handshake(greeting_t *greeting)
{
    counters_t *counters = greeting->client.worker->counters;
    const SSL *ssl = conn_ssl(greeting->client.conn);
    switch (conn_handshake(greeting->client.conn)) {
    case CONN_OK:
        counter_add(&counters->tls_handshakes_total, 1);
        if (SSL_session_reused(ssl))
            counter_add(&counters->tls_resumptions_total, 1);
        become_http(greeting, tls_is_h2(ssl));
        break;
    case CONN_AGAIN:
        break;
    default:
        fail(greeting);
    }
}

static void start_handshake(greeting_t *greeting)
{
    SSL *ssl = tls_accept(greeting->client.worker->tls);
    if (ssl == NULL) {
        fail(greeting);
        return;
    }
    conn_start_tls(greeting->client.conn, ssl);
    handshake(greeting); /* its first bytes often came with the header */
}

/* The whole header is there: the client has another address, and its own limit. */
static void after_header(greeting_t *greeting, const proxy_protocol_t *header)
{
    client_t *client = &greeting->client;
    if (header->has_client) {
        client_uncount(client);
        client->address = header->address;
        client->port = header->port;
        if (!client_count(client, true)) {
            counter_add(&client->worker->counters->connections_refused_total, 1);
            destroy(client);
            return;
        }
    }
    if (client->kind != CONF_LISTENER_TLS) {
        become_http(greeting, false);
        return;
    }
    greeting->state = GREETING_HANDSHAKE;
    start_handshake(greeting);
}

/* Takes `n` bytes that were seen to be there. */
static bool take_exactly(int fd, char *buf, size_t n)
{
    ssize_t got;
    do
        got = recv(fd, buf, n, 0);
    while (got < 0 && errno == EINTR);
    return got >= 0 && (size_t)got == n;
}

/* `seen`: what there is of the header, the kept part first. The rest of it is still in the kernel. */
static bool keep_part(greeting_t *greeting, str_t seen)
{
    if (greeting->part == NULL)
        greeting->part = h2o_mem_alloc(PROXY_PROTOCOL_MAX);
    size_t kept = greeting->part_len;
    greeting->part_len = seen.n;
    return take_exactly(conn_fd(greeting->client.conn), greeting->part + kept, seen.n - kept);
}

static void read_header(greeting_t *greeting)
{
    int fd = conn_fd(greeting->client.conn);
    size_t kept = greeting->part_len;
    char *buf = greeting->part != NULL ? greeting->part : greeting->client.worker->scratch;
    proxy_protocol_t header;

    assert(kept < PROXY_PROTOCOL_MAX);
    ssize_t n = recv(fd, buf + kept, PROXY_PROTOCOL_MAX - kept, MSG_PEEK);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        fail(greeting);
        return;
    }
    str_t seen = str_make(buf, kept + (size_t)n);
    switch (proxy_protocol_parse(seen, &header)) {
    case PROXY_PROTOCOL_DONE:
        assert(header.len > kept);
        if (take_exactly(fd, buf + kept, header.len - kept))
            after_header(greeting, &header);
        else
            fail(greeting);
        break;
    case PROXY_PROTOCOL_MORE:
        if (!keep_part(greeting, seen))
            fail(greeting);
        break;
    case PROXY_PROTOCOL_BAD:
        fail(greeting);
        break;
    }
}

static void on_ready(void *owner)
{
    greeting_t *greeting = owner;
    if (greeting->state == GREETING_HEADER)
        read_header(greeting);
    else
        handshake(greeting);
}

bool greeting_new(const client_t *accepted, int fd, bool header)
{
    static const conn_handlers_t handlers = {.readable = on_ready, .writable = on_ready};
    worker_t *worker = accepted->worker;
    greeting_t *greeting = calloc(1, sizeof(*greeting));
    /* Not before the header: whoever has shown none shall cost little. */
    SSL *ssl = greeting != NULL && !header ? tls_accept(worker->tls) : NULL;

    assert(header || accepted->kind == CONF_LISTENER_TLS);
    if (greeting == NULL || (ssl == NULL && !header)) {
        free(greeting);
        close(fd);
        return false;
    }
    client_t with_conn = *accepted;
    with_conn.conn = conn_new(worker->loop, fd, ssl, &handlers, greeting);
    client_init(&greeting->client, &with_conn);
    greeting->state = header ? GREETING_HEADER : GREETING_HANDSHAKE;
    greeting->client.codec = &codec;
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
        last->codec->drain(last);
}
