/*
 * Receiving side of the HTTP/1 server: heads, bodies, pipelined requests, departing clients.
 */
#include "http1_server_internal.h"

#include <assert.h>

#include "arena.h"
#include "context.h"
#include "http1_parse.h"
#include "list.h"
#include "request_head.h"

/* ---- reading ---- */

bool http1_server_body_pending(const http1_server_t *server)
{
    return server->message != NULL && server->message->body != REQUEST_NONE;
}

bool http1_server_takes_body(const http1_server_t *server)
{
    return http1_server_body_pending(server) &&
           (server->message->body == REQUEST_RAW || !server->message->response_ended);
}

bool http1_server_is_filler(str_t data)
{
    return str_eq(data, STR("\r\n"));
}

/* True if bytes of the client can be used or kept now. */
static bool wants_bytes(const http1_server_t *server)
{
    if (server->eof)
        return false;
    if (server->state != SERVER_EXCHANGE)
        return true;
    if (http1_server_takes_body(server))
        return exchange_request_room(server->ex) != 0 && buffer_size(&server->in) == 0;
    return buffer_size(&server->in) < PIPELINE_BYTES;
}

static void refuse_for(http1_server_t *server, int status, const char *code, const char *sentence,
                       const fault_t *fault)
{
    server->keep_alive = false;
    server->message->refused = true;
    exchange_refuse(server->ex, status, code, sentence, fault);
}

static void refuse(http1_server_t *server, int status, const char *code, const char *sentence)
{
    refuse_for(server, status, code, sentence, NULL);
}

static void body_idle_expired(loop_timer_t *timer)
{
    http1_server_t *server = CONTAINER_OF(http1_server_t, read_timer, timer);
    refuse(server, 408, "request_timeout", "The request's body did not come in time.");
}

static void head_expired(loop_timer_t *timer)
{
    http1_server_t *server = CONTAINER_OF(http1_server_t, read_timer, timer);
    server->state = SERVER_EXCHANGE;
    refuse(server, 408, "request_timeout", "The request's head did not come in time.");
}

void http1_server_update_reading(http1_server_t *server)
{
    bool want = wants_bytes(server);
    conn_want_read(server->client.conn, want);
    if (server->state != SERVER_EXCHANGE)
        return;
    if (want && http1_server_takes_body(server) && server->message->body != REQUEST_RAW)
        loop_timer_start(loop_of(server), &server->read_timer, conf_of(server)->timeouts.body_idle,
                         body_idle_expired);
    else
        loop_timer_stop(&server->read_timer);
}

static void end_body(http1_server_t *server)
{
    server->message->body = REQUEST_NONE;
    exchange_request_end(server->ex);
}

static size_t give_chunked(http1_server_t *server, str_t data)
{
    message_t *message = server->message;
    size_t room = exchange_request_room(server->ex);
    str_t input = str_make(data.p, data.n < room ? data.n : room), piece;
    size_t offered = input.n;
    fault_t fault;
    while (message->body == REQUEST_CHUNKED) {
        switch (chunked_decode(&message->chunked, &input, &piece)) {
        case CHUNKED_DATA:
            exchange_request_body(server->ex, piece);
            break;
        case CHUNKED_MORE:
            return offered - input.n;
        case CHUNKED_END:
            server->ex->request.trailers = message->chunked.trailers;
            end_body(server);
            break;
        case CHUNKED_BAD:
            message->body = REQUEST_NONE;
            fault = fault_of_chunked(&message->chunked);
            refuse_for(server, 400, "bad_chunk", "The request's chunked body is not valid.", &fault);
            return data.n;
        }
    }
    return offered - input.n;
}

/* Passes request body to the exchange as far as it has room. Returns the number of bytes used. */
static size_t give_body(http1_server_t *server, str_t data)
{
    message_t *message = server->message;
    size_t used = 0;
    while (used < data.n && http1_server_takes_body(server)) {
        str_t rest = str_from_offset(data, used);
        size_t n = exchange_request_room(server->ex);
        if (n == 0)
            break;
        if (message->body == REQUEST_CHUNKED) {
            used += give_chunked(server, rest);
            continue;
        }
        n = rest.n < n ? rest.n : n;
        if (message->body == REQUEST_LENGTH && n > message->remaining)
            n = (size_t)message->remaining;
        exchange_request_body(server->ex, str_make(rest.p, n));
        used += n;
        if (message->body == REQUEST_LENGTH && (message->remaining -= n) == 0)
            end_body(server);
    }
    exchange_request_flush(server->ex);
    return used;
}

void http1_server_take_body(http1_server_t *server, str_t data)
{
    size_t used = give_body(server, data);
    buffer_append(&server->in, str_from_offset(data, used), account_of(server));
    http1_server_update_reading(server);
}

static void begin_message(http1_server_t *server)
{
    message_t *message = arena_alloc(&server->ex->arena, sizeof(*message));
    memset(message, 0, sizeof(*message));
    message->server = server;
    http1_writer_init(&message->writer, &server->ex->account);
    server->message = message;
}

static void begin_exchange(http1_server_t *server)
{
    server->ex = exchange_new(&server->client, &http1_server_ops, server);
    server->state = SERVER_HEAD;
    server->head_seen = 0;
    begin_message(server);
    loop_timer_start(loop_of(server), &server->read_timer, conf_of(server)->timeouts.head, head_expired);
}

static void start_exchange(http1_server_t *server, const http1_request_head_t *head, str_t rest)
{
    exchange_t *ex = server->ex;
    message_t *message = server->message;
    server->state = SERVER_EXCHANGE;
    server->keep_alive = head->keep_alive && !server->draining;
    loop_timer_stop(&server->read_timer);
    if (ex->request.websocket) {
        message->body = REQUEST_RAW;
    } else if (head->chunked) {
        message->body = REQUEST_CHUNKED;
        chunked_init(&message->chunked, &ex->arena, conf_of(server)->limits.head_fields);
    } else if (ex->request.has_body) {
        message->body = REQUEST_LENGTH;
        message->remaining = ex->request.content_length;
    }
    /* A chunked body that arrives whole with its head is sent to the origin with a length. */
    bool first = message->body == REQUEST_CHUNKED && rest.n != 0;
    if (first)
        exchange_begin(ex);
    else
        exchange_start(ex);
    if (rest.n != 0 || message->body != REQUEST_NONE)
        http1_server_take_body(server, rest);
    if (first)
        exchange_go(ex);
}

static void bad_head(http1_server_t *server, const http1_error_t *error)
{
    server->state = SERVER_EXCHANGE;
    loop_timer_stop(&server->read_timer);
    fault_t fault = error->fault;
    fault.bytes = str_dup(&server->ex->arena, fault.bytes); /* the bytes may lie in server->in */
    buffer_clear(&server->in, account_of(server));
    refuse_for(server, error->status, error->code, error->sentence, &fault);
}

/* Parses an incomplete head, to refuse invalid bytes immediately. Discards the result. */
static http1_parse_t probe_head(http1_server_t *server, str_t data, http1_error_t *error)
{
    const conf_t *conf = conf_of(server);
    arena_t pool;
    request_t request = {.content_length = LENGTH_UNKNOWN};
    http1_request_head_t head;
    arena_init(&pool);
    http1_parse_t result = http1_parse_request(data, server->head_seen, conf->limits.head_bytes,
                                               conf->limits.head_fields, &pool, &request, &head, error);
    arena_clear(&pool);
    return result;
}

/* Parses a head into the exchange. Copies the text first, so that the parsed part of a refused head stays
 * valid. */
static http1_parse_t parse_head(http1_server_t *server, str_t data, http1_request_head_t *head,
                                http1_error_t *error)
{
    const conf_t *conf = conf_of(server);
    exchange_t *ex = server->ex;
    size_t bound = conf->limits.head_bytes + 2; /* an empty line may precede it */
    size_t n = data.n < bound ? data.n : bound;
    arena_t *pool = request_head_pool(ex, n);
    str_t text = str_dup(pool, str_make(data.p, n));
    return http1_parse_request(text, 0, conf->limits.head_bytes, conf->limits.head_fields, pool, &ex->request,
                               head, error);
}

void http1_server_take_head(http1_server_t *server, str_t data, bool kept)
{
    http1_error_t error;
    http1_request_head_t head;
    if (server->ex == NULL)
        begin_exchange(server);
    size_t end = http1_head_end(data, server->head_seen);
    if (end == 0) {
        if (probe_head(server, data, &error) == HTTP1_BAD) {
            http1_error_t same;
            (void)parse_head(server, data, &head, &same);
            bad_head(server, &error);
            return;
        }
        if (!kept)
            buffer_append(&server->in, data, account_of(server));
        server->head_seen = (uint32_t)data.n;
        conn_want_read(server->client.conn, true);
        return;
    }
    http1_parse_t result = parse_head(server, str_make(data.p, end), &head, &error);
    if (result != HTTP1_OK) {
        assert(result == HTTP1_BAD); /* every head ends with an empty line */
        bad_head(server, &error);
        return;
    }
    buffer_t in = server->in; /* `data` may lie in it */
    server->in = (buffer_t){NULL};
    start_exchange(server, &head, str_from_offset(data, head.len));
    buffer_clear(&in, account_of(server));
    http1_server_update_reading(server);
}

static void client_ended(http1_server_t *server, conn_result_t result)
{
    bool tunnel = server->state == SERVER_EXCHANGE && server->ex->state == EXCHANGE_TUNNEL;
    server->eof = true;
    if (result == CONN_FAILED || server->state != SERVER_EXCHANGE) {
        http1_server_destroy(server);
    } else if (tunnel && http1_server_body_pending(server)) {
        end_body(server);
        exchange_request_flush(server->ex);
        conn_want_read(server->client.conn, false);
        http1_server_later(server);
    } else if (http1_server_takes_body(server)) {
        http1_server_destroy(server); /* in mid-request: the client has gone */
    } else {
        conn_want_read(server->client.conn, false); /* a half-close: the client may still want the response */
        exchange_client_half_closed(server->ex);
    }
}

void http1_server_readable(void *owner)
{
    http1_server_t *server = owner;
    context_t *context = server->client.context;
    if (server->state == SERVER_LINGER) {
        http1_server_linger(server);
        return;
    }
    bool head = server->state != SERVER_EXCHANGE;
    bool body = !head && http1_server_takes_body(server);
    size_t cap = body ? exchange_request_room(server->ex) : CONN_TURN_BYTES, got;
    if (!wants_bytes(server) || cap == 0) {
        http1_server_update_reading(server);
        return;
    }
    conn_result_t result = conn_read(server->client.conn, context->scratch, cap, &got);
    if (result == CONN_AGAIN)
        return;
    if (result != CONN_OK) {
        client_ended(server, result);
        return;
    }
    str_t data = str_make(context->scratch, got);
    if (body) {
        http1_server_take_body(server, data);
    } else if (head && buffer_size(&server->in) == 0) {
        /* The idle timer keeps running: empty lines do not extend it. */
        if (server->state != SERVER_IDLE || !http1_server_is_filler(data))
            http1_server_take_head(server, data, false);
    } else {
        buffer_append(&server->in, data, account_of(server));
        if (head)
            http1_server_take_head(server, buffer_str(&server->in), true);
        else
            http1_server_update_reading(server);
    }
}

void http1_server_hangup(void *owner, bool reset)
{
    http1_server_t *server = owner;
    /* Reading is paused. After a FIN the client has gone if the waiting bytes do not complete the body. */
    bool lacking = http1_server_body_pending(server) && server->message->body == REQUEST_LENGTH &&
                   server->message->remaining > buffer_size(&server->in) + conn_unread(server->client.conn);
    if (reset || lacking)
        http1_server_destroy(server);
}
