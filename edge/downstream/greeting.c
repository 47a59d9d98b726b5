/*
 * See greeting.h. The TLS state is created at the first byte, so a silent client costs little. The header is
 * peeked at in the kernel (MSG_PEEK) and then consumed exactly, so that TLS or HTTP finds its first byte
 * there. A partial header is consumed and kept, because in the kernel it would raise an event in every turn.
 */
#include "greeting.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "alloc.h"
#include "budget.h"
#include "context.h"
#include "fault.h"
#include "list.h"
#include "proxy_protocol.h"

/* Logged part of bytes that begin no header: they may be a request's. */
#define UNKNOWN_BYTES 8

typedef enum greeting_state {
    GREETING_HEADER,    /* awaits a PROXY protocol header */
    GREETING_SILENT,    /* awaits the first byte of TLS */
    GREETING_HANDSHAKE, /* in the TLS handshake */
} greeting_state_t;

typedef struct greeting {
    client_t client; /* first: greeting_of casts it */
    greeting_state_t state;
    uint64_t began_ms;
    uint64_t handshake_us; /* loop_precise_us at the first byte of TLS */
    loop_timer_t timer;
    char *part; /* of the header, PROXY_PROTOCOL_MAX bytes; NULL until a partial header arrives */
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
    if (client->tls)
        client_keeps(client, CONN_TLS_HANDSHAKE_BYTES, CONN_TLS_STATE_BYTES);
    client_fini(client);
    free(greeting->part);
    free(greeting);
}

/* A started handshake may finish; greeting_finish then drains the client. */
static void drain(client_t *client)
{
    (void)client;
}

/* ---- memory is short (relief.h) ---- */

static uint64_t stalled(client_t *client, uint64_t before)
{
    return greeting_of(client)->began_ms <= before ? client->account.held : 0;
}

static void relieve(client_t *client, uint64_t before, uint64_t box_share)
{
    if (box_share != 0 || stalled(client, before) == 0 || !budget_may_close(client))
        return;
    counter_add(&client->context->counters->memory_closes_total, 1);
    destroy(client);
}

static const client_codec_t codec = {
    .drain = drain, .destroy = destroy, .stalled = stalled, .relieve = relieve};

/* `reason` NULL: the client closed without a byte, as balancers' probes do, and nothing was refused. */
static void fail(greeting_t *greeting, const char *reason, str_t bytes, const char *more)
{
    context_t *context = greeting->client.context;
    counters_t *counters = context->counters;
    bool header = greeting->state == GREETING_HEADER;
    counter_add(header ? &counters->proxy_protocol_failures_total : &counters->tls_failures_total, 1);
    if (reason != NULL)
        fault_report_connection(&greeting->client, &context->connection_faults,
                                header ? "a PROXY protocol header" : "a TLS handshake",
                                header ? "is refused" : "fails", &(fault_t){.reason = reason, .bytes = bytes},
                                more);
    destroy(&greeting->client);
}

static void on_timeout(loop_timer_t *timer)
{
    greeting_t *greeting = CONTAINER_OF(greeting_t, timer, timer);
    fail(greeting, "It did not finish within timeouts.handshake.", str_make(NULL, 0), "");
}

/* Before HTTP: the connection alone exceeds the client's current limits. */
static void refuse(client_t *client, const char *reason)
{
    counter_add(&client->context->counters->connections_refused_total, 1);
    fault_report_connection(client, &client->context->connection_faults, "a connection", "is refused",
                            &(fault_t){.reason = reason}, "");
    destroy(client);
}

/* Passes the connection, its count and its slot on to the HTTP client. */
static void become_http(greeting_t *greeting, bool h2)
{
    client_t accepted = greeting->client;
    greeting->client.conn = NULL;
    greeting->client.counted = false;
    destroy(&greeting->client);
    greeting_finish(&accepted, h2);
}

static void handshake_failed(greeting_t *greeting)
{
    static const char *const reasons[] = {
        [CONN_HANDSHAKE_SILENT] = NULL,
        [CONN_HANDSHAKE_LEFT] = "The client left in the middle of it.",
        [CONN_HANDSHAKE_PLAIN] = "The client speaks plain HTTP.",
        [CONN_HANDSHAKE_REFUSED] = "The client ended it with an alert.",
        [CONN_HANDSHAKE_UNAGREED] = "The client's side of it cannot be accepted.",
    };
    const char *words;
    char more[80] = "";
    conn_handshake_fault_t fault = conn_handshake_fault(greeting->client.conn, &words);
    if (words[0] != '\0' && fault != CONN_HANDSHAKE_PLAIN)
        (void)snprintf(more, sizeof(more), " (%s)", words);
    fail(greeting, reasons[fault], str_make(NULL, 0), more);
}

static void handshake(greeting_t *greeting)
{
    counters_t *counters = greeting->client.context->counters;
    const SSL *ssl = conn_ssl(greeting->client.conn);
    switch (conn_handshake(greeting->client.conn)) {
    case CONN_OK:
        counter_add(&counters->tls_handshakes_total, 1);
        histogram_add(&counters->measures.handshake[tls_is_h2(ssl) ? MEASURE_H2 : MEASURE_H1],
                      loop_precise_us() - greeting->handshake_us);
        if (SSL_session_reused(ssl))
            counter_add(&counters->tls_resumptions_total, 1);
        become_http(greeting, tls_is_h2(ssl));
        break;
    case CONN_AGAIN:
        break;
    default:
        handshake_failed(greeting);
    }
}

static void start_handshake(greeting_t *greeting)
{
    client_t *client = &greeting->client;
    if (budget_refuses_tls(client)) {
        refuse(client, "Memory is too short for TLS.");
        return;
    }
    SSL *ssl = tls_accept(client->context->tls);
    if (ssl == NULL) {
        fail(greeting, "The edge has no memory for it.", str_make(NULL, 0), "");
        return;
    }
    conn_start_tls(client->conn, ssl);
    client->tls = true;
    client_keeps(client, 0, CONN_TLS_HANDSHAKE_BYTES);
    greeting->state = GREETING_HANDSHAKE;
    greeting->handshake_us = loop_precise_us();
    handshake(greeting);
}

/* The header is complete: the client gets its address and the limit of that. */
static void after_header(greeting_t *greeting, const proxy_protocol_t *header)
{
    client_t *client = &greeting->client;
    if (header->has_client) {
        client_uncount(client);
        client->address = header->address;
        client->port = header->port;
        client_set_share(client);
        if (!client_count(client, true)) {
            refuse(client, CLIENT_HAS_MANY);
            return;
        }
    }
    if (client->kind != CONF_LISTENER_TLS) {
        become_http(greeting, false);
        return;
    }
    greeting->state = GREETING_SILENT;
    if (conn_unread(client->conn) != 0) /* the first bytes often arrive with the header */
        start_handshake(greeting);
}

/* Consumes `n` bytes that were peeked at. */
static bool take_exactly(int fd, char *buf, size_t n)
{
    ssize_t got;
    do
        got = recv(fd, buf, n, 0);
    while (got < 0 && errno == EINTR);
    return got >= 0 && (size_t)got == n;
}

/* `seen`: the header so far, the kept part first. The rest is still in the kernel. */
static bool keep_part(greeting_t *greeting, str_t seen)
{
    if (greeting->part == NULL)
        greeting->part = mem_alloc(PROXY_PROTOCOL_MAX);
    size_t kept = greeting->part_len;
    greeting->part_len = seen.n;
    return take_exactly(conn_fd(greeting->client.conn), greeting->part + kept, seen.n - kept);
}

/* The loggable part of a refused header. A real header has only addresses. */
static str_t quotable(str_t seen)
{
    bool header = str_starts(seen, STR("PROXY ")) || seen.p[0] == '\r';
    return header || seen.n < UNKNOWN_BYTES ? seen : str_make(seen.p, UNKNOWN_BYTES);
}

static void read_header(greeting_t *greeting)
{
    static const char left[] = "The proxy left in the middle of it.";
    int fd = conn_fd(greeting->client.conn);
    size_t kept = greeting->part_len;
    char *buf = greeting->part != NULL ? greeting->part : greeting->client.context->scratch;
    proxy_protocol_t header;

    assert(kept < PROXY_PROTOCOL_MAX);
    ssize_t n = recv(fd, buf + kept, PROXY_PROTOCOL_MAX - kept, MSG_PEEK);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        bool began = n < 0 || kept != 0;
        fail(greeting, began ? left : NULL, str_make(NULL, 0), "");
        return;
    }
    str_t seen = str_make(buf, kept + (size_t)n);
    switch (proxy_protocol_parse(seen, &header)) {
    case PROXY_PROTOCOL_DONE:
        assert(header.len > kept);
        if (take_exactly(fd, buf + kept, header.len - kept))
            after_header(greeting, &header);
        else
            fail(greeting, left, str_make(NULL, 0), "");
        break;
    case PROXY_PROTOCOL_MORE:
        if (!keep_part(greeting, seen))
            fail(greeting, left, str_make(NULL, 0), "");
        break;
    case PROXY_PROTOCOL_BAD:
        fail(greeting, "The connection does not begin with a complete and valid header.", quotable(seen), "");
        break;
    }
}

static void on_ready(void *owner)
{
    greeting_t *greeting = owner;
    switch (greeting->state) {
    case GREETING_HEADER:
        read_header(greeting);
        break;
    case GREETING_SILENT:
        start_handshake(greeting);
        break;
    case GREETING_HANDSHAKE:
        handshake(greeting);
        break;
    }
}

void greeting_new(const client_t *accepted, int fd, bool header)
{
    static const conn_handlers_t handlers = {.readable = on_ready, .writable = on_ready};
    context_t *context = accepted->context;
    greeting_t *greeting = calloc(1, sizeof(*greeting));
    assert(greeting != NULL && (header || accepted->kind == CONF_LISTENER_TLS));
    client_t with_conn = *accepted;
    with_conn.conn = conn_new(context->loop, fd, NULL, &handlers, greeting);
    client_init(&greeting->client, &with_conn);
    greeting->state = header ? GREETING_HEADER : GREETING_SILENT;
    greeting->client.codec = &codec;
    greeting->began_ms = loop_now(context->loop);
    loop_timer_start(context->loop, &greeting->timer, context->conf->timeouts.handshake, on_timeout);
    conn_want_read(greeting->client.conn, true);
}

void greeting_finish(const client_t *accepted, bool h2)
{
    context_t *context = accepted->context;
    if (h2)
        http2_server_new(accepted);
    else
        http1_server_new(accepted);
    if (!context->draining)
        return;
    /* The new client is last in the list, unless it is gone already. */
    client_t *last = CONTAINER_OF(client_t, link, context->clients.prev);
    if (!list_is_empty(&context->clients) && last->conn == accepted->conn)
        last->codec->drain(last);
}
