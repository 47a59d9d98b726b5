/*
 * HTTP/1 to clients: a connection carries requests one after another, each an exchange. An idle connection
 * holds only its own struct; the state of an exchange lives in the exchange's arena.
 *
 * State: IDLE (between requests), HEAD (part of a head arrived), EXCHANGE, then IDLE again, or LINGER (the
 * response is out, and the rest of the request is discarded so that the client can read it), then freed.
 */
#include "budget.h"
#include "context.h"
#include "http1_server_internal.h"
#include "list.h"

#include <assert.h>

static void run_task(loop_task_t *task);

void http1_server_later(http1_server_t *server)
{
    loop_defer(loop_of(server), &server->message->task, run_task);
}

/* ---- end ---- */

static void end_exchange(http1_server_t *server, exchange_end_t how)
{
    loop_timer_stop(&server->message->write_timer);
    backlog_end(&server->message->backlog);
    loop_undefer(&server->message->task);
    http1_writer_fini(&server->message->writer);
    server->message = NULL;
    exchange_end(&server->ex, how);
}

void http1_server_destroy(http1_server_t *server)
{
    if (server->ex != NULL)
        end_exchange(server, EXCHANGE_END_CLIENT_GONE);
    if (server->state == SERVER_LINGER) {
        linger_end(&server->rest->linger);
        free(server->rest);
    } else {
        loop_timer_stop(&server->read_timer);
    }
    buffer_clear(&server->in, account_of(server));
    client_fini(&server->client);
    free(server);
}

static void expired_closes(loop_timer_t *timer)
{
    http1_server_t *server = CONTAINER_OF(http1_server_t, read_timer, timer);
    conn_shutdown_write(server->client.conn); /* orderly also for a TLS client */
    http1_server_destroy(server);
}

/* How long to wait before closing a connection after its response. */
typedef enum closing {
    CLOSE_NOW,    /* not at all; reads bytes that are here, because unread ones turn the close into a reset */
    CLOSE_QUIET,  /* for bytes that the client may have sent after its request */
    CLOSE_LINGER, /* for the rest of a request that was answered before its end */
} closing_t;

static void rest_over(linger_t *linger)
{
    http1_server_destroy(CONTAINER_OF(server_rest_t, linger, linger)->server);
}

static void rest_resume(linger_t *linger)
{
    http1_server_t *server = CONTAINER_OF(server_rest_t, linger, linger)->server;
    conn_want_read(server->client.conn, true);
}

static void begin_linger(http1_server_t *server, const remote_t *remote)
{
    static const linger_handlers_t linger_handlers = {.over = rest_over, .resume = rest_resume};
    server_rest_t *rest = calloc(1, sizeof(*rest));
    assert(rest != NULL);
    rest->server = server;
    loop_timer_stop(&server->read_timer);
    server->rest = rest;
    server->state = SERVER_LINGER;
    buffer_clear(&server->in, account_of(server));
    conn_want_write(server->client.conn, false);
    conn_want_read(server->client.conn, true);
    linger_begin(&rest->linger, &server->client, remote, &linger_handlers);
}

static void read_rest(http1_server_t *server)
{
    size_t got, rest = 0;
    while (rest < REST_BYTES &&
           conn_read(server->client.conn, server->client.context->scratch, CONN_TURN_BYTES, &got) == CONN_OK)
        rest += got;
}

/* Closes so that the client, `remote`, can read everything sent. */
static void close_gently(http1_server_t *server, closing_t closing, const remote_t *remote)
{
    conn_shutdown_write(server->client.conn);
    bool is_idle = buffer_size(&server->in) == 0 && conn_flushed(server->client.conn) &&
                   conn_unread(server->client.conn) == 0;
    if (closing == CLOSE_NOW)
        read_rest(server);
    if (server->eof || closing == CLOSE_NOW || (closing == CLOSE_QUIET && is_idle))
        http1_server_destroy(server);
    else
        begin_linger(server, remote);
}

void http1_server_linger(http1_server_t *server)
{
    size_t got;
    conn_result_t result =
        conn_read(server->client.conn, server->client.context->scratch, CONN_TURN_BYTES, &got);
    if (result == CONN_AGAIN)
        return;
    linger_result_t taken = result == CONN_OK ? linger_take(&server->rest->linger, got) : LINGER_OVER;
    if (taken == LINGER_OVER)
        http1_server_destroy(server);
    else if (taken == LINGER_PAUSED)
        conn_want_read(server->client.conn, false);
}

/* ---- between exchanges ---- */

static void await_request(http1_server_t *server)
{
    uint32_t within = server->draining ? DRAIN_IDLE_MS : conf_of(server)->timeouts.keep_alive;
    loop_timer_start(loop_of(server), &server->read_timer, within, expired_closes);
}

static void next_request(http1_server_t *server)
{
    server->state = SERVER_IDLE;
    if (http1_server_is_filler(buffer_str(&server->in)))
        buffer_clear(&server->in, account_of(server));
    if (buffer_size(&server->in) != 0) {
        http1_server_take_head(server, buffer_str(&server->in), true);
        return;
    }
    if (server->eof) {
        remote_t remote = remote_of_connection(&server->client);
        close_gently(server, CLOSE_QUIET, &remote);
        return;
    }
    conn_want_read(server->client.conn, true);
    await_request(server);
}

/* The response has left. False if the exchange continues: a tunnel whose box ended before its client. */
static bool finish(http1_server_t *server)
{
    bool unfinished = http1_server_body_pending(server) || server->message->refused;
    /* A client that was promised keep-alive may send its next request until a head has announced the close,
     * also in a drain: it would not send a POST again. */
    bool close = !server->keep_alive || unfinished || server->ex->response.tunnel;
    if (server->ex->state == EXCHANGE_TUNNEL) {
        conn_shutdown_write(server->client.conn);
        return false;
    }
    closing_t closing = !unfinished ? CLOSE_QUIET : linger_wanted(server->ex) ? CLOSE_LINGER : CLOSE_NOW;
    remote_t remote = server->ex->remote;
    end_exchange(server, EXCHANGE_END_COMPLETE);
    if (close)
        close_gently(server, closing, &remote);
    else
        next_request(server);
    return true;
}

static void finish_cut(http1_server_t *server)
{
    message_t *message = server->message;
    bool broken = message->broken;
    if (!broken && message->until_close) {
        conn_abort(&server->client.conn); /* only a reset marks the response as incomplete */
    } else if (!broken && !(http1_writer_empty(&message->writer) && conn_flushed(server->client.conn))) {
        http1_server_flush(server); /* send the bytes from before the cut; this function then runs again */
        return;
    }
    end_exchange(server, broken ? EXCHANGE_END_CLIENT_GONE : EXCHANGE_END_CUT);
    http1_server_destroy(server);
}

/* Work deferred to the end of the turn, because calls of the exchange were on the stack. */
static void run_task(loop_task_t *task)
{
    message_t *message = CONTAINER_OF(message_t, task, task);
    http1_server_t *server = message->server;
    if (message->cut) {
        finish_cut(server);
        return;
    }
    if (message->response_ended && http1_writer_empty(&message->writer) &&
        conn_flushed(server->client.conn) && finish(server))
        return;
    if (http1_server_takes_body(server) && buffer_size(&server->in) != 0) {
        buffer_t in = server->in;
        server->in = (buffer_t){NULL};
        http1_server_take_body(server, buffer_str(&in));
        buffer_clear(&in, account_of(server));
    } else if (server->state == SERVER_EXCHANGE) {
        http1_server_update_reading(server);
    }
}

static void drain(client_t *client)
{
    http1_server_t *server = (http1_server_t *)client;
    server->draining = true; /* the next head announces the close */
    if (server->state == SERVER_IDLE)
        await_request(server);
    else if (server->ex != NULL)
        exchange_drain(server->ex);
}

static void destroy_client(client_t *client)
{
    http1_server_destroy((http1_server_t *)client);
}

/* ---- memory is short (relief.h) ---- */

static uint64_t stalled(client_t *client, uint64_t before)
{
    const http1_server_t *server = (http1_server_t *)client;
    if (server->ex == NULL || !exchange_is_stalled(server->ex, before))
        return 0;
    return server->ex->account.held;
}

static void relieve(client_t *client, uint64_t before, uint64_t box_share)
{
    http1_server_t *server = (http1_server_t *)client;
    exchange_t *ex = server->ex;
    if (ex == NULL || !exchange_is_stalled(ex, before) ||
        (box_share != 0 && budget_exchange(ex) <= box_share))
        return;
    if (ex->state == EXCHANGE_ORIGIN) {
        counter_add(&client->context->counters->memory_resets_total, 1);
        budget_shed(ex);
    } else if (budget_may_close(client)) {
        counter_add(&client->context->counters->memory_closes_total, 1);
        budget_note_relief(ex);
        conn_abort(&server->client.conn);
        http1_server_destroy(server);
    }
}

static bool idle_since(const client_t *client, uint64_t *since_ms)
{
    const http1_server_t *server = (const http1_server_t *)client;
    *since_ms = server->read_timer.due - conf_of(server)->timeouts.keep_alive;
    return server->state == SERVER_IDLE && !server->draining && loop_timer_running(&server->read_timer);
}

static void close_idle(client_t *client)
{
    expired_closes(&((http1_server_t *)client)->read_timer);
}

static const client_codec_t codec = {.drain = drain,
                                     .destroy = destroy_client,
                                     .idle_since = idle_since,
                                     .close_idle = close_idle,
                                     .stalled = stalled,
                                     .relieve = relieve};

static const conn_handlers_t handlers = {
    .readable = http1_server_readable,
    .writable = http1_server_writable,
    .hangup = http1_server_hangup,
};

void http1_server_new(const client_t *accepted)
{
    http1_server_t *server = calloc(1, sizeof(*server));
    assert(server != NULL);
    client_init(&server->client, accepted);
    server->client.codec = &codec;
    conn_set_owner(server->client.conn, &handlers, server);
    conn_set_account(server->client.conn, &server->client.account, 0);
    conn_want_read(server->client.conn, true);
    await_request(server);
}
