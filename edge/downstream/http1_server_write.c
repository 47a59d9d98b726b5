/*
 * Sending side of the HTTP/1 server: the exchange's calls for its response (client_ops_t).
 */
#include "http1_server_internal.h"

#include "budget.h"
#include "context.h"
#include "http1_head.h"
#include "list.h"

/* ---- writing ---- */

static uint32_t write_look_ms(const http1_server_t *server)
{
    return conf_of(server)->timeouts.write_idle / CONN_STALL_LOOKS;
}

static void write_expired(loop_timer_t *timer)
{
    message_t *message = CONTAINER_OF(message_t, write_timer, timer);
    http1_server_t *server = message->server;
    if (!conn_stalled(server->client.conn, &message->stall)) {
        loop_timer_start(loop_of(server), timer, write_look_ms(server), write_expired);
        return;
    }
    conn_abort(&server->client.conn);
    http1_server_destroy(server);
}

void http1_server_flush(http1_server_t *server)
{
    message_t *message = server->message;
    uint64_t written = message->writer.written;
    switch (http1_writer_flush(&message->writer, server->client.conn)) {
    case HTTP1_FLUSHED:
        loop_timer_stop(&message->write_timer);
        backlog_end(&message->backlog);
        exchange_progress(server->ex, message->writer.written - written);
        /* A producer that was refused room must be notified even if this flush drained everything. */
        conn_want_write(server->client.conn, message->starved);
        if (message->response_ended || message->cut)
            http1_server_later(server);
        break;
    case HTTP1_BLOCKED:
        exchange_progress(server->ex, message->writer.written - written);
        if (message->writer.written != written || !loop_timer_running(&message->write_timer)) {
            message->stall = (conn_stall_t){.looks = 0};
            loop_timer_start(loop_of(server), &message->write_timer, write_look_ms(server), write_expired);
            backlog_watch(server->client.context->backlogs, &message->backlog, server->client.conn,
                          &server->ex->account);
        }
        conn_want_write(server->client.conn, true);
        break;
    case HTTP1_BROKEN:
        message->cut = true;
        message->broken = true;
        http1_server_later(server);
        break;
    }
}

void http1_server_writable(void *owner)
{
    http1_server_t *server = owner;
    if (server->state != SERVER_EXCHANGE) {
        conn_want_write(server->client.conn, false);
        return;
    }
    message_t *message = server->message;
    http1_server_flush(server);
    if (message->response_ended || message->cut)
        return;
    if (message->starved &&
        http1_writer_room(&message->writer, EXCHANGE_BODY_BYTES) >= EXCHANGE_BODY_BYTES / 2) {
        message->starved = false;
        exchange_response_room(server->ex);
    }
}

static void op_flush(exchange_t *ex)
{
    http1_server_t *server = ex->codec;
    if (!server->message->cut)
        http1_server_flush(server);
}

static size_t op_room(const exchange_t *ex)
{
    http1_server_t *server = ex->codec;
    if (server->message->cut)
        return EXCHANGE_BODY_BYTES; /* discarded, because the exchange is about to end */
    size_t room = http1_writer_room(&server->message->writer, budget_bound(ex, EXCHANGE_BODY_BYTES));
    if (room == 0)
        server->message->starved = true;
    return room;
}

static void op_send_body(exchange_t *ex, str_t data)
{
    http1_server_t *server = ex->codec;
    if (!server->message->cut)
        http1_writer_body(&server->message->writer, data);
}

static void op_send_end(exchange_t *ex)
{
    http1_server_t *server = ex->codec;
    server->message->response_ended = true;
    if (!server->message->cut)
        http1_writer_end(&server->message->writer, &ex->response.trailers);
    http1_server_later(server);
}

static void op_cut(exchange_t *ex)
{
    http1_server_t *server = ex->codec;
    server->message->cut = true;
    http1_server_later(server);
}

static void op_abort(exchange_t *ex)
{
    http1_server_t *server = ex->codec;
    server->message->until_close = true; /* finish_cut resets the connection */
    op_cut(ex);
}

static void op_send_informational(exchange_t *ex, int status, const fields_t *fields)
{
    http1_server_t *server = ex->codec;
    if (!server->message->cut)
        http1_writer_raw(&server->message->writer, http1_head_informational(&ex->arena, status, fields));
}

static void op_send_head(exchange_t *ex)
{
    http1_server_t *server = ex->codec;
    message_t *message = server->message;
    const response_t *response = &ex->response;
    if (message->body == REQUEST_RAW && !response->tunnel) {
        message->body = REQUEST_NONE; /* no WebSocket: the request ended with its head */
        ex->request_complete = true;
    }
    /* The edge answers before the request's end: later bytes are not a request. */
    if (http1_server_body_pending(server) && ex->origin_ops == NULL)
        server->keep_alive = false;
    bool unframed = response->content_length == LENGTH_UNKNOWN && !response->bodyless && !response->tunnel;
    message->writer.chunked = unframed && ex->request.version != HTTP_1_0;
    message->until_close = unframed && ex->request.version == HTTP_1_0;
    if (message->until_close || server->draining)
        server->keep_alive = false;
    context_t *context = server->client.context;
    http1_head_t head = {
        .chunked = message->writer.chunked,
        .close = !server->keep_alive,
        .keep_alive = server->keep_alive && ex->request.version == HTTP_1_0,
        .date = http_date_now(&context->date, context->loop),
    };
    http1_writer_raw(&message->writer, http1_head_text(&ex->arena, response, &head));
}

static void op_resume_request(exchange_t *ex)
{
    http1_server_later(ex->codec);
}

const client_ops_t http1_server_ops = {
    .send_informational = op_send_informational,
    .send_head = op_send_head,
    .room = op_room,
    .send_body = op_send_body,
    .send_end = op_send_end,
    .flush = op_flush,
    .cut = op_cut,
    .abort = op_abort,
    .resume_request = op_resume_request,
};
