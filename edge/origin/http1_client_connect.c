/*
 * Connections of the HTTP/1 client: how an attempt gets one, pooled or new, with TLS if the target requires
 * it, and how the attempt releases it.
 */
#include <errno.h>

#include "address.h"
#include "cause.h"
#include "client.h"
#include "context.h"
#include "descriptors.h"
#include "farewell.h"
#include "forward.h"
#include "http1_client_internal.h"
#include "list.h"
#include "origin_pool.h"
#include "origin_tls.h"
#include "resend.h"
#include "shortage.h"
#include "target.h"

/* ---- start ---- */

static void connect_failed(http1_client_t *client, origin_failure_t failure)
{
    exchange_t *ex = client->ex;
    counter_add(&ex->context->counters->origin_connect_failures_total, 1);
    exchange_origin_unreachable(ex);
    if (!http1_client_elsewhere(client))
        http1_client_fail(client, failure);
}

static void connect_error(http1_client_t *client, int error)
{
    exchange_t *ex = client->ex;
    cause_note_connect(ex, error);
    if (descriptors_ran_out(error)) { /* not the origin's fault, and another one would not help */
        http1_client_fail(client, ORIGIN_NO_DESCRIPTOR);
        return;
    }
    if (error != ECONNREFUSED || !ex->target.is_box) {
        connect_failed(client, error == ECONNREFUSED ? ORIGIN_NOT_LISTENING : ORIGIN_UNREACHABLE);
        return;
    }
    http1_client_drop(client);
    if (target_other_loopback(ex)) {
        http1_client_attempt(client, true);
        return;
    }
    counter_add(&ex->context->counters->origin_connect_failures_total, 1);
    exchange_origin_unreachable(ex);
    ex->origin_ops = NULL;
    exchange_origin_failed(ex, ORIGIN_NOT_LISTENING);
}

static void connect_timeout(loop_timer_t *timer)
{
    http1_client_t *client = CONTAINER_OF(http1_client_t, timer, timer);
    if (!exchange_origin_connected(client->ex))
        return;
    cause_note(client->ex, "connect: no answer within %u ms", client->ex->context->conf->timeouts.connect);
    connect_failed(client, ORIGIN_CONNECT_TIMEOUT);
}

/* Connecting succeeded, or failed with `failure` unless that is NULL. */
static void connect_ended(http1_client_t *client, const origin_failure_t *failure)
{
    loop_timer_stop(&client->timer);
    if (!exchange_origin_connected(client->ex))
        return;
    if (failure != NULL)
        connect_failed(client, *failure);
    else
        http1_client_send(client);
}

void http1_client_handshake(http1_client_t *client)
{
    static const origin_failure_t failure = ORIGIN_TLS_FAILED;
    SSL *ssl = conn_ssl(client->conn);
    conn_result_t result = conn_handshake(client->conn);
    if (result == CONN_AGAIN)
        return;
    bool good = result == CONN_OK && origin_tls_agreed(ssl);
    if (!good) {
        char reason[TARGET_TLS_REASON_MAX];
        target_tls_failed(client->ex->context, ssl, reason);
        cause_note(client->ex, "TLS: %s", reason);
    } else {
        conn_set_account(client->conn, &client->ex->context->memory.account, CONN_TLS_STATE_BYTES);
    }
    connect_ended(client, good ? NULL : &failure);
}

void http1_client_connected(http1_client_t *client)
{
    int error = conn_connect_error(client->conn);
    origin_failure_t failure;
    SSL *ssl;
    conn_want_write(client->conn, false);
    if (error != 0) {
        loop_timer_stop(&client->timer);
        if (exchange_origin_connected(client->ex))
            connect_error(client, error);
        return;
    }
    conn_probe_peer(conn_fd(client->conn)); /* no timer bounds a response */
    conn_bound_queues(conn_fd(client->conn),
                      slots_are_many(client->ex) ? CONN_NARROW_BYTES : CONN_UNREAD_BYTES);
    if (!target_tls(client->ex, &ssl)) {
        failure = ORIGIN_TLS_FAILED;
        connect_ended(client, &failure);
    } else if (ssl == NULL) {
        connect_ended(client, NULL);
    } else {
        conn_start_tls(client->conn, ssl);
        client->state = ATTEMPT_HANDSHAKE;
        http1_client_handshake(client);
    }
}

static conn_t *pooled(http1_client_t *client)
{
    exchange_t *ex = client->ex;
    bool safe = resend_is_idempotent(ex->request.method) && !ex->request.websocket;
    bool look = !safe || !ex->target.pool_after_body;
    return origin_pool_take(ex->context->origins, ex->target.name, ex->target.generation, ex->target.port,
                            safe ? 0 : RESEND_UNSAFE_IDLE_MS, look);
}

void http1_client_attempt(http1_client_t *client, bool fresh)
{
    exchange_t *ex = client->ex;
    context_t *context = ex->context;
    http1_writer_init(&client->writer, &ex->account);
    client->head_seen = 0;
    client->write_broken = false;
    client->conn = fresh ? NULL : pooled(client);
    client->reused = client->conn != NULL;
    if (client->reused) {
        counter_add(&context->counters->origin_reuses_total, 1);
        conn_set_owner(client->conn, &http1_client_handlers, client);
        http1_client_send(client);
        return;
    }
    struct sockaddr_storage address;
    socklen_t len = address_make(&ex->target.address, ex->target.connect_port, &address);
    if (conf_listens_on(context->conf, (struct sockaddr *)&address)) {
        http1_client_fail(client, ORIGIN_IS_EDGE);
        return;
    }
    counter_add(&context->counters->origin_connects_total, 1);
    client->connect_us = loop_precise_us();
    client->conn =
        shortage_connect(context, (struct sockaddr *)&address, len, &http1_client_handlers, client);
    if (client->conn == NULL) {
        connect_error(client, errno);
        return;
    }
    client->state = ATTEMPT_CONNECTING;
    conn_want_write(client->conn, true);
    loop_timer_start(context->loop, &client->timer, context->conf->timeouts.connect, connect_timeout);
}

/* ---- the end ---- */

static uint32_t pool_idle_ms(const http1_client_t *client)
{
    uint32_t idle = client->ex->context->conf->timeouts.pool_idle;
    uint32_t timeout_s = client->head.keep_alive_timeout_s;
    if (timeout_s == 0 || timeout_s > idle / 1000)
        return idle;
    /* A power of two seconds: the loop has lists for few durations, and boxes choose many. */
    uint32_t seconds = 1;
    while (seconds * 2 <= timeout_s - 1)
        seconds *= 2;
    return timeout_s == 1 ? 0 : seconds * 1000;
}

/*
 * True if this exchange may leave bytes for the next one on the connection. An app that does not read the
 * body parses the rest as a request, and a proxy cannot tell whether it read all. A late body behind a head
 * that excludes one would pass for a response.
 */
static bool may_leave_something(const http1_client_t *client)
{
    const exchange_t *ex = client->ex;
    return !ex->target.pool_after_body &&
           (ex->request.has_body || ex->request.websocket || client->head.no_body_by_rule);
}

/* For a complete response with `left` bytes behind it. */
static http1_next_use_t next_use(const http1_client_t *client, size_t left)
{
    exchange_t *ex = client->ex;
    if (client->framing == BODY_UNTIL_CLOSE || left != 0 || !ex->request_complete || client->write_broken ||
        !http1_writer_empty(&client->writer) || !exchange_may_pool(ex))
        return HTTP1_USE_NEVER;
    if (forward_has_close(ex))
        return HTTP1_USE_RETIRED;
    bool again = client->head.keep_alive && pool_idle_ms(client) != 0 && !may_leave_something(client);
    return again ? HTTP1_USE_AGAIN : HTTP1_USE_NEVER;
}

http1_parting_t http1_client_parting(const http1_client_t *client)
{
    /* An API server may have left the previous request's body unread, too. */
    bool earlier = client->reused && client->ex->target.pool_after_body;
    return (http1_parting_t){
        .use = HTTP1_USE_NEVER,
        .much = !client->write_broken && (earlier || client->writer.written >= CONN_LITTLE_BYTES),
        .whole = client->ex->request_complete && http1_writer_empty(&client->writer),
    };
}

http1_parting_t http1_client_parting_answered(const http1_client_t *client, size_t left)
{
    http1_parting_t parting = http1_client_parting(client);
    parting.use = next_use(client, left);
    parting.idle_ms = pool_idle_ms(client);
    return parting;
}

void http1_client_part(exchange_t *ex, conn_t **conn, const http1_parting_t *parting)
{
    origin_pool_t *pool = ex->context->origins;
    const origin_target_t *target = &ex->target;
    if (parting->use == HTTP1_USE_AGAIN) {
        origin_pool_put(pool, conn, target->name, target->generation, target->port, parting->idle_ms);
        return;
    }
    if (parting->much && parting->whole)
        farewell_begin_origin(ex, conn); /* even if it was answered: its app may still be reading */
    if (*conn == NULL)
        return;
    if (parting->use == HTTP1_USE_RETIRED)
        origin_pool_retire(pool, conn, target->name, target->generation);
    else if (parting->much && !parting->whole)
        conn_give_up(conn); /* the rest of an incomplete request is of no use */
    else
        conn_free(conn);
}
