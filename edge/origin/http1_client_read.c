/*
 * Receiving side of the HTTP/1 client: interim and final heads, bodies in every framing, and invalid
 * responses.
 */
#include "http1_client_internal.h"

#include <assert.h>

#include "client.h"
#include "context.h"
#include "forward.h"
#include "websocket.h"

/* ---- receiving ---- */

/* Read size before the head is known, if the client has no room for more. */
#define HEAD_READ_BYTES 4096

static void bad_response(http1_client_t *client, const fault_t *fault)
{
    fault_report(client->ex, fault, true);
    http1_client_fail(client, origin_failure_of(fault->kind));
}

static void bad_for(http1_client_t *client, const char *reason)
{
    fault_t fault = {.kind = FAULT_MALFORMED, .reason = reason};
    bad_response(client, &fault);
}

static bool is_websocket_accept(const http1_client_t *client, const response_t *response)
{
    char expected[29];
    websocket_accept_key(str_make(client->websocket_key, 24), expected);
    return client->ex->request.websocket &&
           fields_count(&response->fields, FIELD_SEC_WEBSOCKET_ACCEPT) == 1 &&
           str_eq(fields_value(&response->fields, FIELD_SEC_WEBSOCKET_ACCEPT), str_make(expected, 28)) &&
           str_ieq(fields_value(&response->fields, FIELD_UPGRADE), STR("websocket"));
}

/* Takes body bytes as far as the client has room. Returns the number of bytes used; the state is ATTEMPT_OVER
 * if they ended the response. */
static size_t take_chunked(http1_client_t *client, str_t data)
{
    exchange_t *ex = client->ex;
    str_t rest = data;
    fault_t fault;
    for (;;) {
        size_t room = exchange_response_body_room(ex);
        str_t input = str_make(rest.p, rest.n < room ? rest.n : room), piece;
        if (room == 0)
            return data.n - rest.n;
        size_t offered = input.n;
        chunked_result_t result = chunked_decode(&client->chunked, &input, &piece);
        rest = str_from_offset(rest, offered - input.n);
        switch (result) {
        case CHUNKED_DATA:
            exchange_response_body(ex, piece);
            if (client->state == ATTEMPT_OVER)
                return data.n;
            break;
        case CHUNKED_MORE:
            if (rest.n == 0)
                return data.n;
            break;
        case CHUNKED_END:
            ex->response.trailers = client->chunked.trailers;
            http1_client_finish(client, rest.n);
            return data.n;
        case CHUNKED_BAD:
            fault = fault_of_chunked(&client->chunked);
            bad_response(client, &fault);
            return data.n;
        }
    }
}

static size_t take_plain(http1_client_t *client, str_t data)
{
    exchange_t *ex = client->ex;
    size_t used = 0, room;
    /* Continue until all is taken or the room is 0: only then does the client report new room. */
    while (used < data.n && (room = exchange_response_body_room(ex)) != 0) {
        size_t n = data.n - used < room ? data.n - used : room;
        if (client->framing == BODY_LENGTH && n > client->remaining)
            n = (size_t)client->remaining;
        exchange_response_body(ex, str_make(data.p + used, n));
        used += n;
        if (client->state == ATTEMPT_OVER)
            return used;
        if (client->framing == BODY_LENGTH && (client->remaining -= n) == 0) {
            http1_client_finish(client, data.n - used);
            return data.n;
        }
    }
    return used;
}

/* Resumed by http1_client_resume. */
static void stop_reading(http1_client_t *client)
{
    conn_want_read(client->conn, false);
    http1_client_watch(client);
}

/* Passes on body bytes. Without room, keeps the rest and stops reading. */
static void take_body(http1_client_t *client, str_t data)
{
    size_t n = client->framing == BODY_CHUNKED ? take_chunked(client, data) : take_plain(client, data);
    if (client->state == ATTEMPT_OVER)
        return;
    if (n < data.n) {
        buffer_append(&client->in, str_from_offset(data, n), &client->ex->account);
        stop_reading(client);
    }
    exchange_response_flush(client->ex);
}

static void begin_body(http1_client_t *client, const response_t *response)
{
    exchange_t *ex = client->ex;
    if (response->bodyless)
        client->framing = BODY_NONE;
    else if (client->head.chunked)
        client->framing = BODY_CHUNKED;
    else if (client->head.until_close)
        client->framing = BODY_UNTIL_CLOSE;
    else
        client->framing = BODY_LENGTH;
    client->remaining = response->content_length;
    if (client->framing == BODY_CHUNKED)
        chunked_init(&client->chunked, &ex->arena, ex->context->conf->limits.head_fields);
}

/* The final head. After it the response can only continue or be cut. */
static void take_head(http1_client_t *client, response_t *response, str_t rest)
{
    exchange_t *ex = client->ex;
    bool tunnel = response->status == 101;
    if (tunnel && !is_websocket_accept(client, response)) {
        bad_for(client, ex->request.websocket
                            ? "The 101 has a wrong Sec-WebSocket-Accept."
                            : "A 101 answers a request that did not ask for another protocol.");
        return;
    }
    loop_timer_stop(&client->timer);
    if (!client->keep_body || ex->request_complete)
        buffer_clear(&ex->held, &ex->account);
    client->keep_body = false;
    forward_filter_response(ex, &response->fields);
    response->tunnel = tunnel;
    ex->response = *response;
    begin_body(client, response);
    client->state = tunnel ? ATTEMPT_RAW : ATTEMPT_BODY;
    http1_client_watch(client);
    if (tunnel)
        client->framing = BODY_UNTIL_CLOSE;
    exchange_response_head(ex);
    if (client->state == ATTEMPT_OVER)
        return;
    if (client->framing == BODY_NONE || (client->framing == BODY_LENGTH && client->remaining == 0))
        http1_client_finish(client, rest.n);
    else
        take_body(client, rest);
}

static void read_head(http1_client_t *client, str_t data, bool kept)
{
    exchange_t *ex = client->ex;
    const conf_t *conf = ex->context->conf;
    bool head_request = str_eq(ex->request.method, STR("HEAD"));
    for (;;) {
        response_t response = {.content_length = LENGTH_UNKNOWN};
        http1_parse_t result =
            http1_parse_response(data, client->head_seen, conf->limits.head_bytes, conf->limits.head_fields,
                                 head_request, &ex->arena, &response, &client->head);
        if (result == HTTP1_BAD) {
            ex->odd_answer = str_dup(&ex->arena, str_make(data.p, data.n < 32 ? data.n : 32));
            bad_response(client, &client->head.fault);
            return;
        }
        if (result == HTTP1_INCOMPLETE) {
            str_t copy = kept ? str_make(NULL, 0) : data;
            client->head_seen = data.n;
            if (kept) /* drop the interim responses before it */
                buffer_consume(&client->in, buffer_size(&client->in) - data.n, &ex->account);
            buffer_append(&client->in, copy, &ex->account);
            return;
        }
        client->head_seen = 0;
        str_t rest = str_from_offset(data, client->head.len);
        if (response.status >= 200 || response.status == 101) {
            buffer_t in = client->in; /* keeps the slices valid until the head and its body are passed on */
            client->in = (buffer_t){NULL};
            take_head(client, &response, rest);
            buffer_clear(&in, &ex->account);
            return;
        }
        if (++client->informational > INFORMATIONAL_MAX) {
            bad_for(client, "More than 16 interim answers (1xx) came before the final one.");
            return;
        }
        forward_filter_response(ex, &response.fields);
        exchange_response_informational(ex, response.status, &response.fields);
        if (client->state == ATTEMPT_OVER)
            return;
        data = rest;
        if (data.n == 0) {
            buffer_clear(&client->in, &ex->account);
            return;
        }
    }
}

/* The box closed or broke the connection. */
static void box_ended(http1_client_t *client, conn_result_t how)
{
    exchange_t *ex = client->ex;
    if (client->state == ATTEMPT_HEAD) {
        http1_client_lost(client);
    } else if (how == CONN_EOF && client->state == ATTEMPT_RAW && !client->ended) {
        conn_want_read(client->conn, false);
        client->ended = true;
        http1_client_watch_rest(client);
        exchange_response_end(ex);
        exchange_response_flush(ex);
    } else if (how == CONN_EOF && client->state == ATTEMPT_BODY && client->framing == BODY_UNTIL_CLOSE) {
        http1_client_finish(client, 0);
    } else {
        http1_client_fail(client, ORIGIN_CUT);
    }
}

void http1_client_hangup(void *owner, bool reset)
{
    http1_client_t *client = owner;
    if (!reset)
        return; /* bytes before the FIN are read once the client has room */
    /* Bytes before a reset can still be read; the read then reports the reset. */
    bool unread = buffer_size(&client->in) != 0 || conn_unread(client->conn) != 0;
    if (client->state == ATTEMPT_HEAD || client->ended || !unread)
        box_ended(client, CONN_FAILED);
}

void http1_client_readable(void *owner)
{
    http1_client_t *client = owner;
    exchange_t *ex = client->ex;
    size_t cap = CONN_TURN_BYTES, got;
    if (client->state == ATTEMPT_HANDSHAKE) {
        http1_client_handshake(client);
        return;
    }
    if (client->state == ATTEMPT_HEAD) {
        /* Body that arrives with the head and finds no room must be kept, so the read is limited. */
        size_t room = exchange_response_body_room(ex);
        room = room > HEAD_READ_BYTES ? room : HEAD_READ_BYTES;
        cap = room < cap ? room : cap;
    } else {
        cap = exchange_response_body_room(ex);
        if (cap == 0 || buffer_size(&client->in) != 0) {
            stop_reading(client);
            return;
        }
    }
    conn_result_t result = conn_read(client->conn, ex->context->scratch, cap, &got);
    if (result == CONN_AGAIN)
        return;
    if (result != CONN_OK) {
        box_ended(client, result);
        return;
    }
    str_t data = str_make(ex->context->scratch, got);
    if (client->state != ATTEMPT_HEAD) {
        take_body(client, data);
        return;
    }
    bool kept = buffer_size(&client->in) != 0;
    if (kept) {
        buffer_append(&client->in, data, &ex->account);
        data = buffer_str(&client->in);
    }
    read_head(client, data, kept);
}

void http1_client_resume(exchange_t *ex)
{
    http1_client_t *client = ex->origin;
    if (client->state != ATTEMPT_BODY && client->state != ATTEMPT_RAW)
        return;
    buffer_t in = client->in;
    client->in = (buffer_t){NULL};
    if (buffer_size(&in) != 0)
        take_body(client, buffer_str(&in));
    buffer_clear(&in, &ex->account);
    if (client->state != ATTEMPT_OVER && buffer_size(&client->in) == 0 && !client->ended) {
        conn_want_read(client->conn, true);
        http1_client_watch(client);
    }
}
