/*
 * One connection to an HTTP/2 origin: an nghttp2 client session on a conn_t.
 *
 * Reads feed nghttp2, whose callbacks act on the attempts. All further work waits for http2_origin_turn at
 * the end of the loop turn, so all frames of a turn leave in one write. Requests are sent as soon as the
 * connection is open, before the origin's SETTINGS arrive. If these allow fewer, the origin refuses the
 * excess, and refused requests are resent.
 *
 * Reading never stops: the windows of the streams bound the bytes that an origin may send ahead.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>

#include "arena.h"
#include "forward.h"
#include "http2_client.h"
#include "http2_client_internal.h"
#include "list.h"
#include "origin_tls.h"
#include "target.h"

/* Writes of up to HTTP2_OUTPUT_BYTES per connection and loop turn. */
#define ROUNDS 4
/* Reads after the origin has closed: more than a kernel keeps for a connection (tcp_rmem). */
#define REST_READS (8 * 1024 * 1024 / CONN_TURN_BYTES)

static loop_t *loop_of(const http2_origin_t *origin)
{
    return http2_origin_context(origin)->loop;
}

/* Counts the session's current memory to the worker's account. */
static void count_session(http2_origin_t *origin)
{
    account_move(&http2_origin_context(origin)->memory.account, origin->counted, origin->memory.bytes);
    origin->counted = origin->memory.bytes;
}

/* ---- the end ---- */

static bool is_connected(const http2_origin_t *origin)
{
    return origin->state >= HTTP2_ORIGIN_OPEN;
}

/* The first reason stays. */
static void blame(http2_origin_t *origin, const char *reason, str_t words)
{
    if (origin->fault[0] != '\0')
        return;
    if (words.n != 0)
        (void)snprintf(origin->fault, sizeof(origin->fault), "%s (%.*s)", reason, STR_ARG(words));
    else
        (void)snprintf(origin->fault, sizeof(origin->fault), "%s", reason);
}

void http2_origin_blame(http2_origin_t *origin, const char *reason)
{
    blame(origin, reason, str_make(NULL, 0));
}

static void end_broken(const http2_origin_t *origin, http2_client_t *client)
{
    const char *reason = origin->fault[0] != '\0'
                             ? origin->fault
                             : "The app's connection broke a rule of HTTP/2, or a bound of the edge.";
    if (origin->settings_came || client->state == HTTP2_CLIENT_BODY)
        http2_client_bad_response(client, reason);
    else
        http2_client_wrong(client, reason, ORIGIN_NOT_HTTP2);
}

/* Reports the end of the connection to a request. */
static void end_client(const http2_origin_t *origin, http2_client_t *client, bool broken)
{
    if (client->response_ended)
        http2_client_orphan(client);
    else if (client->state == HTTP2_CLIENT_BODY && !broken)
        http2_client_fail(client, ORIGIN_CUT);
    else if (broken)
        end_broken(origin, client);
    else if (origin->refused)
        http2_client_connect_failed(client, EPROTO);
    else
        http2_client_lost(client);
}

/* `broken`: the origin violated HTTP/2, as opposed to closing. */
static void close_as(http2_origin_t *origin, bool broken)
{
    assert(!origin->receiving && !origin->sending);
    http2_origin_unwatch(origin);
    http2_origins_forget(origin);
    while (!list_is_empty(&origin->waiting))
        end_client(origin, http2_client_take(&origin->waiting), broken);
    while (!list_is_empty(&origin->clients))
        end_client(origin, http2_client_take(&origin->clients), broken);
    assert(list_is_empty(&origin->touched) && list_is_empty(&origin->roomy));
    loop_undefer(&origin->task);
    loop_timer_stop(&origin->timer);
    http2_outbox_clear(&origin->output);
    if (origin->session != NULL)
        nghttp2_session_del(origin->session);
    count_session(origin);
    if (origin->conn != NULL)
        conn_give_up(&origin->conn); /* all streams have ended */
    SSL_free(origin->ssl);
    free(origin);
}

static bool gather(http2_origin_t *origin)
{
    assert(!origin->receiving && !origin->sending);
    origin->sending = true;
    bool ok = http2_outbox_gather(&origin->output, origin->session);
    origin->sending = false;
    return ok;
}

/* Sends GOAWAY if it fits immediately, and closes. */
static void leave(http2_origin_t *origin, uint32_t code, bool broken)
{
    size_t moved;
    if (is_connected(origin)) {
        (void)nghttp2_session_terminate_session(origin->session, code);
        if (gather(origin) && http2_outbox_write(&origin->output, origin->conn, &moved) == CONN_OK)
            conn_shutdown_write(origin->conn); /* orderly, because all of it left */
    }
    close_as(origin, broken);
}

void http2_origin_close(http2_origin_t *origin)
{
    leave(origin, NGHTTP2_NO_ERROR, false);
}

/* ---- a turn ---- */

static void idle_expired(loop_timer_t *timer)
{
    http2_origin_close(CONTAINER_OF(http2_origin_t, timer, timer));
}

/* Sets wants and the idle timer. May free the connection. */
static void settle(http2_origin_t *origin, bool blocked)
{
    bool over =
        nghttp2_session_want_read(origin->session) == 0 && nghttp2_session_want_write(origin->session) == 0;
    bool unused = origin->load == 0;
    if (over || (unused && origin->state == HTTP2_ORIGIN_LEAVING)) {
        /* If a request remains, nghttp2 ended the session because of the origin's frames. */
        leave(origin, NGHTTP2_NO_ERROR, !unused);
        return;
    }
    count_session(origin);
    conn_want_write(origin->conn, blocked || !conn_flushed(origin->conn));
    if (unused && !list_is_linked(&origin->idle_link)) {
        http2_origins_rest(origin);
        loop_timer_start(loop_of(origin), &origin->timer,
                         http2_origin_context(origin)->conf->timeouts.pool_idle, idle_expired);
    }
}

/* One round: passes bodies in, writes frames out. Returns the write's result; *more: another round has work.
 */
static conn_result_t round_trip(http2_origin_t *origin, bool *more)
{
    size_t moved;
    bool blocked = http2_outbox_pending(&origin->output);
    *more = false;
    http2_clients_resume(origin);
    if (!origin->failed && !gather(origin))
        origin->failed = true;
    conn_result_t result = http2_outbox_write(&origin->output, origin->conn, &moved);
    if (moved != 0 && origin->unanswered_ms == 0)
        origin->unanswered_ms = loop_now(loop_of(origin));
    http2_origin_wrote(origin, moved, blocked);
    bool room = http2_clients_room(origin);
    if (result == CONN_OK)
        *more = room || nghttp2_session_want_write(origin->session) != 0 || !list_is_empty(&origin->touched);
    return result;
}

static void receive(http2_origin_t *origin, const char *data, size_t n);

/* The origin has closed or reset the connection. */
static void ended(http2_origin_t *origin)
{
    SSL *ssl = conn_ssl(origin->conn);
    origin->refused = ssl != NULL && origin_tls_refused(ssl);
    if (origin->refused) {
        char reason[TARGET_TLS_REASON_MAX];
        target_tls_failed(http2_origin_context(origin), ssl, reason);
    }
    close_as(origin, false);
}

/* The origin takes no more bytes. It may have answered before it closed, so read that first. */
static void read_rest(http2_origin_t *origin)
{
    char *buffer = http2_origin_context(origin)->scratch;
    size_t got;
    for (int i = 0; i < REST_READS && conn_read(origin->conn, buffer, CONN_TURN_BYTES, &got) == CONN_OK; i++)
        receive(origin, buffer, got);
    ended(origin);
}

void http2_origin_turn(http2_origin_t *origin)
{
    if (!is_connected(origin)) {
        if (origin->load == 0)
            close_as(origin, false); /* no request is waiting for it */
        return;
    }
    bool more = true;
    conn_result_t result = CONN_OK;
    for (int round = 0; round < ROUNDS && more && result == CONN_OK; round++)
        result = round_trip(origin, &more);
    if (origin->failed)
        leave(origin, NGHTTP2_ENHANCE_YOUR_CALM, true);
    else if (result != CONN_OK && result != CONN_AGAIN)
        read_rest(origin);
    else
        settle(origin, more || result == CONN_AGAIN);
}

static void run_task(loop_task_t *task)
{
    http2_origin_turn(CONTAINER_OF(http2_origin_t, task, task));
}

void http2_origin_schedule(http2_origin_t *origin)
{
    loop_defer(loop_of(origin), &origin->task, run_task);
}

/* ---- receiving ---- */

static void on_settings(http2_origin_t *origin)
{
    uint32_t allowed =
        nghttp2_session_get_remote_settings(origin->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    origin->settings_came = true;
    origin->limit = allowed < HTTP2_ORIGIN_STREAMS ? allowed : HTTP2_ORIGIN_STREAMS;
    if (origin->limit == 0)
        origin->limit = 1; /* it may allow more later; one request finds out */
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
    (void)session;
    http2_origin_t *origin = user_data;
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
    case NGHTTP2_DATA:
    case NGHTTP2_RST_STREAM:
        http2_client_frame(origin, frame);
        break;
    case NGHTTP2_SETTINGS:
        if ((frame->hd.flags & NGHTTP2_FLAG_ACK) == 0)
            on_settings(origin);
        else
            origin->round_trip_ms = http2_round_trip_ms(origin->announced_ms, loop_now(loop_of(origin)));
        break;
    case NGHTTP2_GOAWAY:
        origin->state = HTTP2_ORIGIN_LEAVING;
        break;
    default:
        break;
    }
    return 0;
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
    (void)session;
    if (frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS)
        http2_client_frame_sent(user_data, frame);
    if (frame->hd.type == NGHTTP2_GOAWAY && frame->goaway.error_code != NGHTTP2_NO_ERROR)
        blame(user_data, http2_error_reason(frame->goaway.error_code),
              str_make((const char *)frame->goaway.opaque_data, frame->goaway.opaque_data_len));
    return 0;
}

void http2_origin_callbacks(nghttp2_session_callbacks *callbacks)
{
    http2_client_callbacks(callbacks);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_send);
}

static const char *bound_of(http2_guard_result_t verdict)
{
    if (verdict == HTTP2_GUARD_LONG_BLOCK)
        return "The field block of a head has more than 65536 bytes.";
    if (verdict == HTTP2_GUARD_BAD_PRIORITY)
        return "A priority is for no stream, or makes a stream depend on itself.";
    return "Control frames, resets and empty DATA come too fast.";
}

/* *good: the number of bytes for nghttp2. False: the last of them exceeds a bound. */
static bool scan(http2_origin_t *origin, const char *data, size_t n, size_t *good)
{
    for (*good = 0; *good != n;) {
        size_t taken;
        http2_guard_result_t verdict =
            http2_guard_scan(&origin->guard, data + *good, n - *good, loop_now(loop_of(origin)), &taken);
        *good += taken;
        if (verdict == HTTP2_GUARD_OK || verdict == HTTP2_GUARD_STREAM)
            continue;
        http2_origin_blame(origin, bound_of(verdict));
        return false;
    }
    return true;
}

static void receive(http2_origin_t *origin, const char *data, size_t n)
{
    origin->unanswered_ms = 0;
    if (origin->failed)
        return;
    size_t good;
    bool bounded = scan(origin, data, n, &good);
    origin->receiving = true;
    ssize_t taken = nghttp2_session_mem_recv(origin->session, (const uint8_t *)data, good);
    origin->receiving = false;
    http2_clients_resume(origin); /* while `data` is valid */
    bool queues = http2_outbox_pending(&origin->output) &&
                  nghttp2_session_get_outbound_queue_size(origin->session) > HTTP2_ORIGIN_QUEUE_FRAMES;
    if (queues)
        http2_origin_blame(origin, "Too many frames wait for an app that does not read.");
    if (taken < 0 || !bounded || queues)
        origin->failed = true;
}

void http2_origin_readable(http2_origin_t *origin)
{
    char *buffer = http2_origin_context(origin)->scratch;
    size_t got;
    conn_result_t result = conn_read(origin->conn, buffer, CONN_TURN_BYTES, &got);
    if (result == CONN_AGAIN)
        return;
    if (result != CONN_OK) {
        ended(origin);
        return;
    }
    receive(origin, buffer, got);
    http2_origin_schedule(origin);
}

/* ---- requests ---- */

void http2_origin_earn(http2_origin_t *origin, http2_guard_event_t event)
{
    http2_guard_result_t result = http2_guard_note(&origin->guard, event, loop_now(loop_of(origin)));
    assert(result == HTTP2_GUARD_OK); /* these events only add allowance */
    (void)result;
}

/* Hands the head to nghttp2, which copies it. Returns the stream's id; negative if none is left. */
static int32_t submit_head(http2_origin_t *origin, http2_client_t *client)
{
    const exchange_t *ex = client->ex;
    fields_t fields = {0};
    arena_t pool;
    arena_init(&pool);
    forward_request_fields(ex, &pool, &fields);
    nghttp2_data_provider provider = {.read_callback = http2_client_read_body};
    int32_t id = nghttp2_submit_request(origin->session, NULL, http2_nv_list(&pool, &fields), fields.count,
                                        ex->request.has_body ? &provider : NULL, client);
    arena_clear(&pool);
    return id;
}

void http2_origin_submit(http2_origin_t *origin, http2_client_t *client)
{
    assert(is_connected(origin) && client->id == 0);
    int32_t id = submit_head(origin, client);
    if (id < 0) {
        origin->state = HTTP2_ORIGIN_LEAVING;
        list_insert(&origin->waiting, &client->link);
        http2_client_refused(client);
        return;
    }
    client->id = id;
    list_insert(&origin->clients, &client->link);
    http2_origin_earn(origin, HTTP2_GUARD_REQUESTED);
    http2_client_sending(client);
    http2_origin_schedule(origin);
}
