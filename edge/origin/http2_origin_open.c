/*
 * Opens a connection to an HTTP/2 origin: TCP, TLS if the target requires it, the nghttp2 session. Then sends
 * the requests that wait for it, or fails them.
 */
#include <assert.h>
#include <errno.h>

#include "address.h"
#include "cause.h"
#include "context.h"
#include "http2_client.h"
#include "http2_client_internal.h"
#include "list.h"
#include "origin_tls.h"
#include "shortage.h"
#include "target.h"

static nghttp2_session *session_new(http2_origin_t *origin)
{
    uint32_t head_bytes = http2_origin_context(origin)->conf->limits.head_bytes;
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, head_bytes},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
    };
    const http2_session_setup_t setup = {.set_callbacks = http2_origin_callbacks,
                                         .head_bytes = head_bytes,
                                         .settings = settings,
                                         .settings_count = sizeof(settings) / sizeof(settings[0]),
                                         .window = HTTP2_ORIGIN_WINDOW};
    return http2_session_new(&setup, &origin->memory, origin);
}

/* Moves the waiting attempts to `list` first, so that each is handled once even if it starts over. */
static void take_waiting(http2_origin_t *origin, list_t *list)
{
    list_init(list);
    list_insert_all(list, &origin->waiting);
}

static void open_session(http2_origin_t *origin)
{
    context_t *context = http2_origin_context(origin);
    list_t waiting;
    origin->state = HTTP2_ORIGIN_OPEN;
    histogram_add(&context->counters->measures
                       .connect[origin->target.is_box ? MEASURE_PREVIEW : MEASURE_API][MEASURE_H2],
                  loop_precise_us() - origin->connect_us);
    http2_guard_init(&origin->guard, loop_now(context->loop));
    origin->guard.preface_left = 0; /* only clients send one */
    origin->session = session_new(origin);
    conn_set_account(origin->conn, &context->memory.account, CONN_TLS_STATE_BYTES);
    origin->announced_ms = loop_now(context->loop);
    conn_want_write(origin->conn, false);
    conn_want_read(origin->conn, true);
    take_waiting(origin, &waiting);
    while (!list_is_empty(&waiting)) {
        http2_client_t *client = http2_client_take(&waiting);
        exchange_t *ex = client->ex;
        ex->times.connect_us = (uint32_t)(loop_precise_us() - ex->times.start_us);
        loop_timer_stop(&client->timer);
        if (exchange_origin_connected(ex))
            http2_origin_submit(origin, client);
    }
    http2_origin_schedule(origin);
}

/* `reason`: why TLS failed, with EPROTO; else NULL. */
static void connect_failed(http2_origin_t *origin, int error, const char *reason)
{
    list_t waiting;
    take_waiting(origin, &waiting);
    origin->failed = true; /* new attempts must not choose this connection */
    while (!list_is_empty(&waiting)) {
        http2_client_t *client = http2_client_take(&waiting);
        loop_timer_stop(&client->timer);
        if (reason != NULL)
            cause_note(client->ex, "TLS: %s", reason);
        if (exchange_origin_connected(client->ex))
            http2_client_connect_failed(client, error);
    }
    http2_origin_close(origin);
}

/* May free the connection. */
static void handshake(http2_origin_t *origin)
{
    SSL *ssl = conn_ssl(origin->conn);
    conn_result_t result = conn_handshake(origin->conn);
    if (result == CONN_AGAIN)
        return;
    if (result == CONN_OK && origin_tls_agreed(ssl)) {
        open_session(origin);
        return;
    }
    char reason[TARGET_TLS_REASON_MAX];
    target_tls_failed(http2_origin_context(origin), ssl, reason);
    connect_failed(origin, EPROTO, reason);
}

static void connected(http2_origin_t *origin)
{
    int error = conn_connect_error(origin->conn);
    if (error != 0) {
        connect_failed(origin, error, NULL);
        return;
    }
    conn_probe_peer(conn_fd(origin->conn)); /* no timer bounds a response */
    conn_bound_queues(conn_fd(origin->conn), CONN_UNREAD_BYTES);
    if (origin->ssl == NULL) {
        open_session(origin);
        return;
    }
    conn_want_write(origin->conn, false);
    conn_start_tls(origin->conn, origin->ssl);
    origin->ssl = NULL;
    origin->state = HTTP2_ORIGIN_HANDSHAKE;
    handshake(origin);
}

static void on_writable(void *owner)
{
    http2_origin_t *origin = owner;
    if (origin->state == HTTP2_ORIGIN_CONNECTING)
        connected(origin);
    else if (origin->state == HTTP2_ORIGIN_HANDSHAKE)
        handshake(origin);
    else
        http2_origin_turn(origin);
}

static void on_readable(void *owner)
{
    http2_origin_t *origin = owner;
    if (origin->state == HTTP2_ORIGIN_HANDSHAKE)
        handshake(origin);
    else
        http2_origin_readable(origin);
}

static const conn_handlers_t handlers = {.readable = on_readable, .writable = on_writable};

bool http2_origin_connect(http2_origin_t *origin)
{
    struct sockaddr_storage address;
    socklen_t len = address_make(&origin->target.address, origin->target.connect_port, &address);
    origin->connect_us = loop_precise_us();
    origin->conn =
        shortage_connect(http2_origin_context(origin), (struct sockaddr *)&address, len, &handlers, origin);
    if (origin->conn == NULL)
        return false;
    conn_want_write(origin->conn, true);
    return true;
}
