/*
 * Within an attempt the state only moves forward: CONNECTING, HANDSHAKE, HEAD, BODY or RAW, OVER. A second
 * attempt starts over, once (resend.h). Each exchange_* call may detach the exchange from this origin, so the
 * state is checked again after it.
 */
#include "http1_client.h"

#include <assert.h>
#include <errno.h>

#include "address.h"
#include "arena.h"
#include "cause.h"
#include "client.h"
#include "context.h"
#include "descriptors.h"
#include "exchange_measure.h"
#include "forward.h"
#include "http1_client_internal.h"
#include "list.h"
#include "origin_pool.h"
#include "origin_tls.h"
#include "random_id.h"
#include "request_head.h"
#include "resend.h"
#include "shortage.h"
#include "target.h"

static const origin_ops_t ops;

/* ---- release ---- */

void http1_client_drop(http1_client_t *client)
{
    exchange_t *ex = client->ex;
    http1_parting_t parting = http1_client_parting(client);
    loop_timer_stop(&client->timer);
    backlog_end(&client->backlog);
    http1_writer_fini(&client->writer);
    buffer_clear(&client->in, &ex->account);
    if (client->conn != NULL)
        http1_client_part(ex, &client->conn, &parting);
    client->state = ATTEMPT_OVER;
}

void http1_client_fail(http1_client_t *client, origin_failure_t failure)
{
    exchange_t *ex = client->ex;
    http1_client_drop(client);
    ex->origin_ops = NULL;
    exchange_origin_failed(ex, failure);
}

static resend_facts_t resend_facts(const http1_client_t *client)
{
    const exchange_t *ex = client->ex;
    const request_t *request = &ex->request;
    return (resend_facts_t){
        .method = request->method,
        .websocket = request->websocket,
        .reused = client->reused,
        .sent_again = ex->sent_again,
        .response_began = buffer_size(&client->in) != 0 || client->informational != 0,
        .wrote = client->writer.written != 0,
        .body_held = !request->has_body || client->keep_body || client->state < ATTEMPT_HEAD,
    };
}

bool http1_client_elsewhere(http1_client_t *client)
{
    resend_facts_t facts = resend_facts(client);
    if (client->ex->target.elsewhere == NULL || !client->ex->target.elsewhere(client->ex, &facts))
        return false;
    http1_client_drop(client);
    http1_client_attempt(client, true);
    return true;
}

void http1_client_lost(http1_client_t *client)
{
    exchange_t *ex = client->ex;
    resend_facts_t facts = resend_facts(client);
    SSL *ssl = conn_ssl(client->conn);
    bool refused = ssl != NULL && origin_tls_refused(ssl);
    if (refused) {
        char reason[TARGET_TLS_REASON_MAX];
        target_tls_failed(ex->context, ssl, reason);
        cause_note(ex, "TLS: %s", reason);
    }
    if (http1_client_elsewhere(client))
        return;
    if (ex->target.elsewhere != NULL || !resend_allowed(&facts)) {
        http1_client_fail(client, refused ? ORIGIN_TLS_FAILED : ORIGIN_CLOSED);
        return;
    }
    http1_client_drop(client);
    ex->sent_again = true;
    counter_add(&ex->context->counters->origin_resends_total, 1);
    http1_client_attempt(client, true);
}

void http1_client_finish(http1_client_t *client, size_t left)
{
    exchange_t *ex = client->ex;
    http1_parting_t parting = http1_client_parting_answered(client, left);
    conn_t *conn = client->conn;
    client->conn = NULL;
    loop_timer_stop(&client->timer);
    backlog_end(&client->backlog);
    http1_writer_fini(&client->writer);
    client->state = ATTEMPT_OVER;
    ex->origin_ops = NULL;
    buffer_clear(&ex->held, &ex->account);
    exchange_response_end(ex);
    exchange_response_flush(ex);
    http1_client_part(ex, &conn, &parting);
}

static void op_cancel(exchange_t *ex)
{
    http1_client_drop(ex->origin);
}

/* ---- sending ---- */

/* For requests: some apps parse trailers as the next request, and dropping them is allowed (RFC 9110 section
 * 6.5.1). */
static const fields_t no_trailers;

static void first_byte_timeout(loop_timer_t *timer)
{
    http1_client_t *client = CONTAINER_OF(http1_client_t, timer, timer);
    client->reused = false; /* silence is the server's fault, on a reused connection too */
    if (!http1_client_elsewhere(client))
        http1_client_fail(client, ORIGIN_TIMEOUT);
}

static void await_first_byte(http1_client_t *client)
{
    exchange_t *ex = client->ex;
    loop_timer_start(ex->context->loop, &client->timer, ex->target.first_byte_ms, first_byte_timeout);
}

/* The request's body is being sent; no other part of the attempt uses the timer now. */
static bool is_uploading(const http1_client_t *client)
{
    const exchange_t *ex = client->ex;
    return client->state == ATTEMPT_HEAD && !ex->request_complete && !ex->request.websocket;
}

static void watch_upload(http1_client_t *client);

static void upload_look(loop_timer_t *timer)
{
    http1_client_t *client = CONTAINER_OF(http1_client_t, timer, timer);
    if (conn_stalled(client->conn, &client->stall))
        first_byte_timeout(timer);
    else
        watch_upload(client);
}

/* Gives up a server that takes no body bytes for as long as it may take to answer. */
static void watch_upload(http1_client_t *client)
{
    exchange_t *ex = client->ex;
    loop_timer_start(ex->context->loop, &client->timer, ex->target.first_byte_ms / CONN_STALL_LOOKS,
                     upload_look);
}

/* For a connection: nothing has been sent, and ex->held has the body. */
static bool is_waiting(const http1_client_t *client)
{
    return client->state < ATTEMPT_HEAD;
}

static size_t op_room(const exchange_t *ex)
{
    const http1_client_t *client = ex->origin;
    if (client->write_broken)
        return EXCHANGE_BODY_BYTES;
    if (is_waiting(client))
        return EXCHANGE_BODY_BYTES - buffer_size(&ex->held);
    return http1_writer_room(&client->writer, EXCHANGE_BODY_BYTES);
}

static void keep_for_resend(http1_client_t *client, str_t data)
{
    exchange_t *ex = client->ex;
    if (buffer_size(&ex->held) + data.n <= RESEND_BODY_BYTES) {
        buffer_append(&ex->held, data, &ex->account);
    } else {
        client->keep_body = false;
        buffer_clear(&ex->held, &ex->account);
    }
}

static void op_send_body(exchange_t *ex, str_t data)
{
    http1_client_t *client = ex->origin;
    if (is_waiting(client)) {
        buffer_append(&ex->held, data, &ex->account);
        return;
    }
    if (client->keep_body) /* even if this box takes no more: a second attempt sends all of it */
        keep_for_resend(client, data);
    if (!client->write_broken)
        http1_writer_body(&client->writer, data);
}

static void op_send_end(exchange_t *ex)
{
    http1_client_t *client = ex->origin;
    if (client->state == ATTEMPT_RAW) {
        client->half_close = true;
    } else if (!is_waiting(client) && !client->write_broken) {
        http1_writer_end(&client->writer, &no_trailers);
        if (client->state == ATTEMPT_HEAD)
            await_first_byte(client);
    }
}

static bool op_sent(const exchange_t *ex)
{
    const http1_client_t *client = ex->origin;
    return client->write_broken || http1_writer_empty(&client->writer);
}

static void rest_timeout(loop_timer_t *timer)
{
    http1_client_fail(CONTAINER_OF(http1_client_t, timer, timer), ORIGIN_STALLED);
}

void http1_client_watch_rest(http1_client_t *client)
{
    context_t *context = client->ex->context;
    if (client->ended && client->half_close && !op_sent(client->ex))
        loop_timer_start(context->loop, &client->timer, context->conf->timeouts.write_idle, rest_timeout);
}

/* True if progress depends on the app or the exchange's client alone: bytes not taken, a request not
 * answered, or a response not read. */
static bool stands_still(const http1_client_t *client)
{
    bool unread = !conn_wants_read(client->conn) && !client->ended;
    bool untaken = client->state == ATTEMPT_HEAD && client->writer.written >= CONN_LITTLE_BYTES;
    return unread || untaken || !http1_writer_empty(&client->writer);
}

void http1_client_watch(http1_client_t *client)
{
    exchange_t *ex = client->ex;
    client->watched = client->writer.written;
    if (stands_still(client))
        backlog_watch(ex->context->backlogs, &client->backlog, client->conn, &ex->account);
    else
        backlog_end(&client->backlog);
}

/* Once a byte has left, only an idempotent request may be resent (resend.h). */
static void drop_unsafe(http1_client_t *client)
{
    exchange_t *ex = client->ex;
    if (client->keep_body && client->writer.written != 0 && !resend_is_idempotent(ex->request.method)) {
        client->keep_body = false;
        buffer_clear(&ex->held, &ex->account);
    }
    if (ex->head == NULL || ex->target.elsewhere != NULL || ex->asks_again)
        return;
    resend_facts_t facts = resend_facts(client);
    if (!resend_allowed(&facts))
        request_head_release(ex);
}

/* Called after a write. A few bytes prove no progress: a queue with room takes them in any case. */
static void watch_written(http1_client_t *client)
{
    bool much = client->writer.written - client->watched >= CONN_LITTLE_BYTES;
    if (much || !backlog_watched(&client->backlog) || !stands_still(client))
        http1_client_watch(client);
}

static void op_flush(exchange_t *ex)
{
    http1_client_t *client = ex->origin;
    if (is_waiting(client) || client->state == ATTEMPT_OVER || client->write_broken)
        return;
    uint64_t written = client->writer.written;
    switch (http1_writer_flush(&client->writer, client->conn)) {
    case HTTP1_FLUSHED:
        conn_want_write(client->conn, false);
        if (is_uploading(client))
            loop_timer_stop(&client->timer);
        if (client->half_close)
            conn_shutdown_write(client->conn);
        break;
    case HTTP1_BLOCKED:
        conn_want_write(client->conn, true);
        http1_client_watch_rest(client);
        if (is_uploading(client) &&
            (client->writer.written != written || !loop_timer_running(&client->timer))) {
            client->stall = (conn_stall_t){.looks = 0};
            watch_upload(client);
        }
        break;
    case HTTP1_BROKEN:
        /* The box may have answered before it closed. Read that first; the read also reports the end. */
        client->write_broken = true;
        conn_want_write(client->conn, false);
        conn_want_read(client->conn, true);
        break;
    }
    watch_written(client);
    drop_unsafe(client);
}

/*
 * A body that is complete before the head is sent gets a length, and an empty one is omitted, however the
 * client framed it. Simple servers know no chunks and expect no body with GET.
 */
static void settle_framing(exchange_t *ex)
{
    request_t *request = &ex->request;
    size_t held = buffer_size(&ex->held);
    if (!ex->request_complete || !request->has_body || request->content_length != LENGTH_UNKNOWN ||
        ex->request_bytes != held)
        return;
    bool bare = str_eq(request->method, STR("GET")) || str_eq(request->method, STR("HEAD")) ||
                str_eq(request->method, STR("DELETE")) || str_eq(request->method, STR("OPTIONS"));
    request->has_body = held != 0;
    if (held != 0 || !bare)
        request->content_length = held;
}

static void note_connected(const http1_client_t *client)
{
    exchange_t *ex = client->ex;
    uint64_t now_us = loop_precise_us();
    ex->times.connect_us = (uint32_t)(now_us - ex->times.start_us);
    histogram_add(&exchange_measures(ex)->connect[exchange_kind(ex)][MEASURE_H1],
                  now_us - client->connect_us);
}

void http1_client_send(http1_client_t *client)
{
    exchange_t *ex = client->ex;
    const request_t *request = &ex->request;
    settle_framing(ex);
    if (!client->reused)
        note_connected(client);
    client->state = ATTEMPT_HEAD;
    client->writer.chunked = request->has_body && request->content_length == LENGTH_UNKNOWN;
    client->keep_body = request->has_body && (client->reused || ex->target.elsewhere != NULL) &&
                        buffer_size(&ex->held) <= RESEND_BODY_BYTES;
    arena_t arena;
    arena_init(&arena);
    str_t head = forward_request_head(ex, &arena, str_from(client->websocket_key));
    http1_writer_raw(&client->writer, head);
    http1_writer_body(&client->writer, buffer_str(&ex->held));
    if (ex->request_complete)
        http1_writer_end(&client->writer, &no_trailers);
    conn_want_read(client->conn, true);
    op_flush(ex);
    arena_clear(&arena); /* the kernel has the head, or the writer a copy of its rest */
    if (!client->keep_body)
        buffer_clear(&ex->held, &ex->account);
    if (ex->request_complete || request->websocket)
        await_first_byte(client);
    exchange_request_room_grew(ex);
}

/* ---- start ---- */

static void prepare_websocket_key(http1_client_t *client)
{
    exchange_t *ex = client->ex;
    if (!ex->request.websocket)
        return;
    if (ex->request.websocket_key.n == 24) {
        memcpy(client->websocket_key, ex->request.websocket_key.p, 24);
    } else {
        unsigned char nonce[16];
        random_bytes(ex->context->random, nonce, sizeof(nonce));
        EVP_EncodeBlock((unsigned char *)client->websocket_key, nonce, 16);
    }
    client->websocket_key[24] = '\0';
}

void http1_client_start(exchange_t *ex)
{
    http1_client_t *client = arena_alloc(&ex->arena, sizeof(*client));
    memset(client, 0, sizeof(*client));
    client->ex = ex;
    ex->origin = client;
    ex->origin_ops = &ops;
    prepare_websocket_key(client);
    http1_client_attempt(client, false);
}

static bool op_again(exchange_t *ex, const store_box_t *now, uint64_t epoch)
{
    http1_client_t *client = ex->origin;
    if (!is_waiting(client))
        return false;
    http1_client_drop(client);
    target_box_again(ex, now, epoch);
    http1_client_attempt(client, true);
    return true;
}

static void on_writable(void *owner)
{
    http1_client_t *client = owner;
    exchange_t *ex = client->ex;
    if (client->state == ATTEMPT_CONNECTING) {
        http1_client_connected(client);
        return;
    }
    if (client->state == ATTEMPT_HANDSHAKE) {
        http1_client_handshake(client);
        return;
    }
    op_flush(ex);
    if (client->state != ATTEMPT_OVER && op_room(ex) >= EXCHANGE_BODY_BYTES / 2)
        exchange_request_room_grew(ex);
}

static bool op_connected(const exchange_t *ex)
{
    return !is_waiting(ex->origin);
}

static const origin_ops_t ops = {
    .room = op_room,
    .send_body = op_send_body,
    .send_end = op_send_end,
    .flush = op_flush,
    .connected = op_connected,
    .sent = op_sent,
    .resume_response = http1_client_resume,
    .cancel = op_cancel,
    .again = op_again,
};

const conn_handlers_t http1_client_handlers = {
    .readable = http1_client_readable,
    .writable = on_writable,
    .hangup = http1_client_hangup,
};
