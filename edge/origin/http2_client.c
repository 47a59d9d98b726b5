/*
 * One attempt at a request over HTTP/2. Its state only moves forward: WAITING, HEAD, BODY, OVER. A second
 * attempt reuses the struct, once. Each exchange_* call may detach the exchange, so the state is checked
 * again after it.
 *
 * Received body is in ex->held and leaves from there as the origin's windows allow. A short body is kept,
 * because a request that the origin has not processed may be resent with any method (RFC 9113 section 8.7).
 */
#include "http2_client.h"

#include <assert.h>
#include <errno.h>

#include "arena.h"
#include "cause.h"
#include "context.h"
#include "descriptors.h"
#include "http2_client_internal.h"
#include "list.h"
#include "request_head.h"
#include "resend.h"
#include "target.h"

static void attempt(http2_client_t *client, bool fresh);

/* ---- release ---- */

static void unlink_from(list_t *link)
{
    if (list_is_linked(link))
        list_unlink(link);
}

/* Detaches from the connection. Resets the stream unless both directions are complete. */
static void detach(http2_client_t *client)
{
    http2_origin_t *origin = client->origin;
    exchange_t *ex = client->ex;
    loop_timer_stop(&client->timer);
    pieces_clear(&client->in, &ex->account);
    http2_window_end(&client->window, &ex->account);
    client->state = HTTP2_CLIENT_OVER;
    if (origin == NULL)
        return;
    client->origin = NULL;
    unlink_from(&client->link);
    unlink_from(&client->touched);
    unlink_from(&client->roomy);
    http2_origin_left(origin, client);
    if (client->id == 0) {
        origin->load--;
    } else if (!client->closed) {
        (void)nghttp2_session_set_stream_user_data(origin->session, client->id, NULL);
        if (!client->request_ended || !client->response_ended)
            (void)nghttp2_submit_rst_stream(origin->session, NGHTTP2_FLAG_NONE, client->id, NGHTTP2_CANCEL);
    }
    http2_origin_schedule(origin);
}

void http2_client_fail(http2_client_t *client, origin_failure_t failure)
{
    exchange_t *ex = client->ex;
    detach(client);
    ex->origin_ops = NULL;
    exchange_origin_failed(ex, failure);
}

void http2_client_orphan(http2_client_t *client)
{
    http2_origin_t *origin = client->origin;
    assert(client->response_ended);
    if (!client->closed)
        (void)nghttp2_session_set_stream_user_data(origin->session, client->id, NULL);
    client->origin = NULL;
    http2_window_end(&client->window, &client->ex->account);
    /* A pending notification of room must not get lost: none follows. */
    bool due = list_is_linked(&client->touched);
    unlink_from(&client->link);
    unlink_from(&client->touched);
    unlink_from(&client->roomy);
    http2_origin_left(origin, client);
    if (due && client->state == HTTP2_CLIENT_BODY)
        http2_client_drain(client);
}

static bool response_began(const http2_client_t *client)
{
    return client->informational != 0 || client->head.bytes != 0;
}

static void send_again(http2_client_t *client)
{
    exchange_t *ex = client->ex;
    detach(client);
    ex->sent_again = true;
    counter_add(&ex->context->counters->origin_resends_total, 1);
    attempt(client, true);
}

static resend_facts_t facts_of(const http2_client_t *client)
{
    return (resend_facts_t){
        .method = client->ex->request.method,
        .reused = client->reused,
        .sent_again = client->ex->sent_again,
        .response_began = response_began(client),
        .wrote = client->wrote,
        .body_held = client->keep_body,
    };
}

/* The attempt failed before a response. True: a new attempt to another API server has begun, or the exchange
 * has been answered. */
static bool try_elsewhere(http2_client_t *client, const resend_facts_t *facts)
{
    const origin_target_t *target = &client->ex->target;
    if (target->elsewhere == NULL || !target->elsewhere(client->ex, facts))
        return false;
    detach(client);
    attempt(client, true);
    return true;
}

void http2_client_lost(http2_client_t *client)
{
    resend_facts_t facts = facts_of(client);
    if (try_elsewhere(client, &facts))
        return;
    if (client->ex->target.elsewhere == NULL && resend_allowed(&facts))
        send_again(client);
    else
        http2_client_fail(client, ORIGIN_CLOSED);
}

void http2_client_refused(http2_client_t *client)
{
    resend_facts_t facts = facts_of(client);
    facts.reused = true; /* the origin is healthy, only this connection is not */
    facts.wrote = false; /* not processed: any method may be resent */
    if (try_elsewhere(client, &facts))
        return;
    if (client->ex->target.elsewhere == NULL && resend_allowed(&facts))
        send_again(client);
    else
        http2_client_fail(client, ORIGIN_REFUSED);
}

void http2_client_finish(http2_client_t *client)
{
    exchange_t *ex = client->ex;
    detach(client); /* the rest of the request is not needed */
    ex->origin_ops = NULL;
    buffer_clear(&ex->held, &ex->account);
    exchange_response_end(ex);
    exchange_response_flush(ex);
}

static void op_cancel(exchange_t *ex)
{
    detach(ex->origin);
}

/* ---- sending ---- */

static void first_byte_timeout(loop_timer_t *timer)
{
    http2_client_t *client = CONTAINER_OF(http2_client_t, timer, timer);
    resend_facts_t facts = facts_of(client);
    facts.reused = false; /* silence is the server's fault, on a reused connection too */
    if (!try_elsewhere(client, &facts))
        http2_client_fail(client, ORIGIN_TIMEOUT);
}

static void await_first_byte(http2_client_t *client)
{
    exchange_t *ex = client->ex;
    loop_timer_start(ex->context->loop, &client->timer, ex->target.first_byte_ms, first_byte_timeout);
}

/* Call once nghttp2 has the head and no second attempt is possible. */
static void release_head(http2_client_t *client)
{
    if (client->ex->target.elsewhere == NULL && !client->ex->asks_again)
        request_head_release(client->ex);
}

/* Drops the bytes that nghttp2 has taken. Rules out a second attempt. */
static void stop_keeping(http2_client_t *client)
{
    exchange_t *ex = client->ex;
    if (!client->keep_body)
        return;
    client->keep_body = false;
    buffer_consume(&ex->held, client->sent, &ex->account);
    client->sent = 0;
    release_head(client);
}

size_t http2_client_unsent(const http2_client_t *client)
{
    return buffer_size(&client->ex->held) - client->sent;
}

void http2_client_watch_upload(http2_client_t *client)
{
    if (client->state != HTTP2_CLIENT_HEAD || client->ex->request_complete)
        return; /* the first-byte timer is running */
    if (http2_client_unsent(client) != 0)
        await_first_byte(client);
    else
        loop_timer_stop(&client->timer);
}

void http2_client_sending(http2_client_t *client)
{
    client->state = HTTP2_CLIENT_HEAD;
    if (buffer_size(&client->ex->held) > HTTP2_RESEND_BYTES)
        stop_keeping(client);
    if (client->ex->sent_again)
        release_head(client);
    if (client->ex->request_complete)
        await_first_byte(client);
    else
        http2_client_watch_upload(client);
}

void http2_client_answered(http2_client_t *client)
{
    loop_timer_stop(&client->timer);
    stop_keeping(client);
}

static size_t op_room(const exchange_t *ex)
{
    return EXCHANGE_BODY_BYTES - buffer_size(&ex->held);
}

static void op_send_body(exchange_t *ex, str_t data)
{
    http2_client_t *client = ex->origin;
    if (client->state != HTTP2_CLIENT_WAITING && buffer_size(&ex->held) + data.n > HTTP2_RESEND_BYTES)
        stop_keeping(client);
    bool all_sent = http2_client_unsent(client) == 0;
    buffer_append(&ex->held, data, &ex->account);
    if (all_sent)
        http2_client_watch_upload(client);
}

static void op_send_end(exchange_t *ex)
{
    http2_client_t *client = ex->origin;
    if (client->state == HTTP2_CLIENT_HEAD)
        await_first_byte(client);
}

static void op_flush(exchange_t *ex)
{
    http2_client_t *client = ex->origin;
    if (client->origin == NULL || !client->deferred)
        return;
    if (buffer_size(&ex->held) == client->sent && !ex->request_complete)
        return;
    client->deferred = false;
    (void)nghttp2_session_resume_data(client->origin->session, client->id);
    http2_origin_schedule(client->origin);
}

static bool op_sent(const exchange_t *ex)
{
    (void)ex;
    return true; /* only tunnels ask */
}

static void op_resume_response(exchange_t *ex)
{
    http2_client_t *client = ex->origin;
    if (client->state == HTTP2_CLIENT_BODY && client->origin == NULL)
        http2_client_drain(client);
    else if (client->state == HTTP2_CLIENT_BODY)
        http2_client_touch(client);
}

/* ---- connecting ---- */

static void fail_connect(http2_client_t *client, origin_failure_t failure)
{
    exchange_t *ex = client->ex;
    resend_facts_t facts = facts_of(client);
    counter_add(&ex->context->counters->origin_connect_failures_total, 1);
    exchange_origin_unreachable(ex);
    if (!try_elsewhere(client, &facts))
        http2_client_fail(client, failure);
}

static void connect_timeout(loop_timer_t *timer)
{
    http2_client_t *client = CONTAINER_OF(http2_client_t, timer, timer);
    if (!exchange_origin_connected(client->ex))
        return;
    cause_note(client->ex, "connect: no answer within %u ms", client->ex->context->conf->timeouts.connect);
    fail_connect(client, ORIGIN_CONNECT_TIMEOUT);
}

static void refused(http2_client_t *client)
{
    exchange_t *ex = client->ex;
    detach(client);
    if (target_other_loopback(ex)) {
        attempt(client, false);
        return;
    }
    counter_add(&ex->context->counters->origin_connect_failures_total, 1);
    exchange_origin_unreachable(ex);
    ex->origin_ops = NULL;
    exchange_origin_failed(ex, ORIGIN_NOT_LISTENING);
}

void http2_client_connect_failed(http2_client_t *client, int error)
{
    exchange_t *ex = client->ex;
    if (error != 0 && error != EPROTO)
        cause_note_connect(ex, error);
    if (error == 0)
        http2_client_fail(client, ORIGIN_IS_EDGE);
    else if (descriptors_ran_out(error))
        http2_client_fail(client, ORIGIN_NO_DESCRIPTOR);
    else if (error == EPROTO)
        fail_connect(client, ORIGIN_TLS_FAILED);
    else if (error != ECONNREFUSED)
        fail_connect(client, ORIGIN_UNREACHABLE);
    else if (ex->target.is_box)
        refused(client);
    else
        fail_connect(client, ORIGIN_NOT_LISTENING);
}

static void attempt(http2_client_t *client, bool fresh)
{
    exchange_t *ex = client->ex;
    context_t *context = ex->context;
    int error;
    *client = (http2_client_t){.ex = ex, .keep_body = true, .response = {.content_length = LENGTH_UNKNOWN}};
    http2_window_init(&client->window);
    if (!http2_origins_attach(context->http2_origins, client, fresh, &error)) {
        http2_client_connect_failed(client, error);
        return;
    }
    if (!client->reused) {
        loop_timer_start(context->loop, &client->timer, context->conf->timeouts.connect, connect_timeout);
        return;
    }
    list_unlink(&client->link);
    http2_origin_submit(client->origin, client);
}

static const origin_ops_t ops;

void http2_client_start(exchange_t *ex)
{
    http2_client_t *client = arena_alloc(&ex->arena, sizeof(*client));
    *client = (http2_client_t){.ex = ex};
    ex->origin = client;
    ex->origin_ops = &ops;
    if (ex->request.websocket)
        http2_client_fail(client, ORIGIN_NO_WEBSOCKET);
    else
        attempt(client, false);
}

static bool op_again(exchange_t *ex, const store_box_t *now, uint64_t epoch)
{
    http2_client_t *client = ex->origin;
    if (client->state != HTTP2_CLIENT_WAITING)
        return false;
    detach(client);
    target_box_again(ex, now, epoch);
    attempt(client, true);
    return true;
}

static bool op_connected(const exchange_t *ex)
{
    const http2_client_t *client = ex->origin;
    return client->state != HTTP2_CLIENT_WAITING;
}

static const origin_ops_t ops = {
    .room = op_room,
    .send_body = op_send_body,
    .send_end = op_send_end,
    .flush = op_flush,
    .connected = op_connected,
    .sent = op_sent,
    .resume_response = op_resume_response,
    .cancel = op_cancel,
    .again = op_again,
};
