/*
 * One stream between nghttp2 and its exchange: the request's head and body from nghttp2's callbacks, and the
 * end of both. http2_response.c has the other direction.
 *
 * Request body goes straight to the exchange while it has room; the rest is held. Every byte renews the
 * connection's window immediately, so that a held stream never stalls others. The stream's window is renewed
 * as the exchange takes bytes (http2_window.h), so a stream holds at most the bytes granted to the client.
 */
#include <assert.h>

#include "http2_server_internal.h"

#include "arena.h"
#include "budget.h"
#include "context.h"
#include "list.h"

static http2_head_limits_t limits_of(const http2_conn_t *conn)
{
    const conf_t *conf = conn->client.context->conf;
    return (http2_head_limits_t){.fields = conf->limits.head_fields, .bytes = conf->limits.head_bytes};
}

static http2_stream_t *find(http2_conn_t *conn, int32_t id)
{
    return nghttp2_session_get_stream_user_data(conn->session, id);
}

static void reset(http2_stream_t *stream, uint32_t code)
{
    (void)nghttp2_submit_rst_stream(stream->conn->session, NGHTTP2_FLAG_NONE, stream->id, code);
    http2_schedule(stream->conn);
}

/* ---- heads ---- */

static void stream_new(http2_conn_t *conn, int32_t id)
{
    exchange_t *ex = exchange_new(&conn->client, &http2_client_ops, NULL);
    http2_stream_t *stream = arena_alloc(&ex->arena, sizeof(*stream));
    *stream = (http2_stream_t){.conn = conn, .ex = ex, .id = id, .body_left = LENGTH_UNKNOWN};
    http2_window_init(&stream->window);
    ex->codec = stream;
    ex->request.version = HTTP_2;
    list_insert(&conn->streams, &stream->link);
    if (conn->stream_count++ == 0)
        http2_progress_busy(&conn->progress, http2_now(conn));
    (void)nghttp2_session_set_stream_user_data(conn->session, id, stream);
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
    (void)session;
    http2_conn_t *conn = user_data;
    if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        stream_new(conn, frame->hd.stream_id);
        return 0;
    }
    http2_stream_t *stream = find(conn, frame->hd.stream_id);
    if (stream != NULL)
        stream->head = (http2_head_t){.bytes = 0};
    return 0;
}

static int answer(http2_conn_t *conn, http2_head_result_t result)
{
    if (result == HTTP2_HEAD_OK)
        return 0;
    conn->calm = HTTP2_CALM_HEAD;
    return NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, nghttp2_rcbuf *name,
                     nghttp2_rcbuf *value, uint8_t flags, void *user_data)
{
    (void)session;
    (void)flags;
    http2_conn_t *conn = user_data;
    http2_stream_t *stream = find(conn, frame->hd.stream_id);
    if (stream == NULL || stream->state == HTTP2_STREAM_CLOSED)
        return 0;
    str_t name_str = http2_decoded(name), value_str = http2_decoded(value);
    http2_head_limits_t limits = limits_of(conn);
    if (frame->headers.cat == NGHTTP2_HCAT_REQUEST)
        return answer(conn, http2_head_field(&stream->head, stream->ex, &limits, name_str,
                                             nghttp2_rcbuf_is_static(name) != 0, value_str));
    if (stream->malformed)
        return 0;
    return answer(conn, http2_trailer_field(&stream->head, &stream->ex->arena, &stream->ex->request.trailers,
                                            &limits, name_str, value_str));
}

/*
 * Streams of one urgency share the connection in turns. Otherwise a download that is not "incremental" (RFC
 * 9218) would block all others until its end, including those of other previews.
 */
static void set_priority(http2_stream_t *stream)
{
    nghttp2_extpri extpri = {.urgency = http2_urgency(&stream->ex->request.fields), .inc = 1};
    (void)nghttp2_session_change_extpri_stream_priority(stream->conn->session, stream->id, &extpri, 1);
}

static void note(http2_conn_t *conn, http2_guard_event_t event)
{
    if (http2_guard_note(&conn->guard, event, http2_now(conn)) == HTTP2_GUARD_CALM)
        conn->calm = HTTP2_CALM_BUCKET;
}

/* Runs the body timer while the exchange has room and no response has begun. */
static void watch_body(http2_stream_t *stream)
{
    const exchange_t *ex = stream->ex;
    if (stream->malformed)
        return; /* http2_malformed.c uses the timer */
    bool waits_for_continue = ex->request.expect_continue && !ex->continued;
    bool owed = stream->state == HTTP2_STREAM_OPEN && ex->request.has_body && !stream->request_ended &&
                ex->state < EXCHANGE_RESPONSE && !waits_for_continue && stream->in.size == 0 &&
                exchange_request_room(ex) > 0;
    if (owed)
        http2_stream_expect_body(stream);
    else
        loop_timer_stop(&stream->body_timer);
}

static void body_expired(loop_timer_t *timer)
{
    http2_stream_t *stream = CONTAINER_OF(http2_stream_t, body_timer, timer);
    if (stream->ex->state < EXCHANGE_RESPONSE)
        exchange_refuse(stream->ex, 408, "request_timeout", "The request's body did not come in time.", NULL);
}

void http2_stream_expect_body(http2_stream_t *stream)
{
    const context_t *context = stream->conn->client.context;
    loop_timer_start(context->loop, &stream->body_timer, context->conf->timeouts.body_idle, body_expired);
}

static void touch(http2_stream_t *stream)
{
    if (!list_is_linked(&stream->touched))
        list_insert(&stream->conn->touched, &stream->touched);
}

/* Many clients end a request without a body with an empty DATA frame in the same packet, and the origin's
 * head should reflect that. So the steps run after the whole packet is processed. */
static void start(http2_stream_t *stream)
{
    exchange_t *ex = stream->ex;
    stream->starting =
        ex->request.has_body && ex->request.content_length == LENGTH_UNKNOWN && !ex->request.websocket;
    if (!stream->starting) {
        exchange_start(ex);
        return;
    }
    exchange_begin(ex);
    touch(stream);
}

static void head_complete(http2_stream_t *stream, bool end_stream)
{
    exchange_t *ex = stream->ex;
    stream->request_ended = stream->end_passed = end_stream;
    exchange_count(ex);
    http2_refusal_t refusal = http2_head_finish(&stream->head, ex, end_stream);
    if (stream->head.oversize)
        note(stream->conn, HTTP2_GUARD_OVERSIZE);
    stream->state = HTTP2_STREAM_OPEN;
    stream->malformed = refusal.malformed;
    stream->body_left = ex->request.content_length;
    set_priority(stream);
    if (refusal.status != 0)
        exchange_refuse(ex, refusal.status, refusal.code, refusal.sentence, &refusal.fault);
    else
        start(stream);
    watch_body(stream);
}

static void refuse(http2_stream_t *stream, const char *reason)
{
    http2_malformed_refuse(stream, &(fault_t){.reason = reason});
}

static void take_trailers(http2_stream_t *stream, bool end_stream)
{
    if (stream->head.malformed)
        http2_malformed_refuse(stream, &stream->head.fault);
    else if (stream->head.oversize)
        refuse(stream, "The trailers are larger, or more, than limits.head_size and "
                       "limits.head_fields allow.");
    else if (!end_stream)
        refuse(stream, "A second field section does not end the request.");
}

/* ---- request bodies ---- */

/* Counts n bytes. False if they exceed Content-Length. */
static bool take_length(http2_stream_t *stream, size_t n)
{
    if (stream->body_left == LENGTH_UNKNOWN)
        return true;
    if (n > stream->body_left)
        return false;
    stream->body_left -= n;
    return true;
}

/* The part of n held bytes within the first window, which no credit covers. */
static size_t first_bytes(size_t n)
{
    return n < HTTP2_WINDOW_MIN ? n : HTTP2_WINDOW_MIN;
}

static void hold(http2_stream_t *stream, str_t data)
{
    http2_conn_t *conn = stream->conn;
    uint64_t held = conn->held - first_bytes(stream->in.size) + first_bytes(stream->in.size + data.n);
    if (held > HTTP2_HELD_BYTES) {
        const fault_t fault = {
            .reason = "The bodies that the edge holds for the client's connection are over 1 MiB."};
        if (stream->ex->local_code == NULL) {
            stream->ex->local_code = "too_much_held";
            fault_report(stream->ex, &fault, false);
        }
        reset(stream, NGHTTP2_ENHANCE_YOUR_CALM);
        return;
    }
    pieces_append(&stream->in, data, &stream->ex->account);
    conn->held = held;
}

static void release_held(http2_stream_t *stream, size_t n)
{
    http2_conn_t *conn = stream->conn;
    conn->held = conn->held - first_bytes(stream->in.size) + first_bytes(stream->in.size - n);
    pieces_consume(&stream->in, n, &stream->ex->account);
}

static void pass(http2_stream_t *stream, str_t data)
{
    http2_conn_t *conn = stream->conn;
    http2_progress_moved(&conn->progress, data.n, http2_now(conn));
    exchange_request_body(stream->ex, data);
    stream->passed += data.n;
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes, size_t n,
                         void *user_data)
{
    (void)flags;
    http2_conn_t *conn = user_data;
    (void)nghttp2_session_consume_connection(session, n);
    http2_stream_t *stream = find(conn, id);
    if (stream == NULL && http2_rest_take(conn, id, n))
        return 0;
    if (stream == NULL || stream->state != HTTP2_STREAM_OPEN || stream->malformed)
        return 0; /* discard: a reset follows or was sent */
    if (!take_length(stream, n)) {
        refuse(stream, "The body is longer than its Content-Length.");
        return 0;
    }
    if (stream->ex->state == EXCHANGE_DONE)
        return 0; /* http2_rest.c renews the window once the response has left */
    str_t data = str_make((const char *)bytes, n);
    size_t room = stream->in.size == 0 ? exchange_request_room(stream->ex) : 0;
    size_t now = room < n ? room : n;
    if (now != 0)
        pass(stream, str_make(data.p, now));
    if (now != n && stream->state == HTTP2_STREAM_OPEN)
        hold(stream, str_from_offset(data, now));
    touch(stream);
    return 0;
}

/* Renews the window for bytes that the exchange has taken since the last update. */
static void give_window(http2_stream_t *stream)
{
    http2_conn_t *conn = stream->conn;
    http2_window_t *window = &stream->window;
    size_t passed = stream->passed;
    stream->passed = 0;
    if (stream->request_ended) {
        http2_window_end(window, &stream->ex->account);
        return;
    }
    if (stream->ex->state >= EXCHANGE_ORIGIN) { /* until then bytes are only kept */
        conn->grown -= window->size - HTTP2_WINDOW_MIN;
        http2_window_took(window, passed, stream->in.size != 0, http2_now(conn), conn->round_trip_ms,
                          HTTP2_WINDOW_MIN + HTTP2_GROWN_BYTES - conn->grown);
        conn->grown += window->size - HTTP2_WINDOW_MIN;
    }
    http2_window_count(window, conn->session, stream->id, &stream->ex->account); /* frees budget */
    if (stream->ex->state != EXCHANGE_DONE && (passed != 0 || exchange_request_room(stream->ex) != 0))
        http2_window_renew(window, conn->session, stream->id, stream->in.size,
                           budget_credit(conn->client.context), &stream->ex->account);
}

/* Passes on the next `n` held bytes. An answer during their flush may close the stream and free its held
 * bytes. So the bytes in transit are moved to `in` first. */
static void pass_some(http2_stream_t *stream, size_t n)
{
    http2_conn_t *conn = stream->conn;
    account_t *account = &stream->ex->account;
    pieces_t in = stream->in;
    stream->in = (pieces_t){.size = 0};
    pass(stream, str_make(pieces_front(&in).p, n));
    exchange_request_flush(stream->ex);
    conn->held -= first_bytes(in.size);
    pieces_consume(&in, n, account);
    if (stream->state == HTTP2_STREAM_CLOSED) {
        pieces_clear(&in, account);
    } else {
        assert(stream->in.size == 0); /* no frame is received meanwhile */
        stream->in = in;
        conn->held += first_bytes(in.size);
    }
}

static void pass_held(http2_stream_t *stream)
{
    while (stream->state != HTTP2_STREAM_CLOSED && stream->in.size != 0) {
        size_t room = exchange_request_room(stream->ex), n = pieces_front(&stream->in).n;
        if (room == 0)
            return;
        pass_some(stream, room < n ? room : n);
    }
}

/* Drops the held rest of an answered request. */
static void drop_unwanted(http2_stream_t *stream)
{
    if (stream->ex->state == EXCHANGE_DONE)
        release_held(stream, stream->in.size);
}

static void resume(http2_stream_t *stream)
{
    exchange_t *ex = stream->ex;
    exchange_request_flush(ex); /* also for a closed stream: no slice of the read buffer may remain */
    if (stream->state == HTTP2_STREAM_CLOSED)
        return;
    drop_unwanted(stream);
    pass_held(stream);
    if (stream->state == HTTP2_STREAM_CLOSED)
        return;
    drop_unwanted(stream); /* it may have been answered meanwhile */
    /* The box cannot see the end of a handshake before the tunnel is open. */
    bool handshake = ex->request.websocket && ex->state < EXCHANGE_TUNNEL;
    if (stream->request_ended && !stream->end_passed && stream->in.size == 0 && !handshake) {
        stream->end_passed = true;
        exchange_request_end(ex);
        exchange_request_flush(ex);
        if (stream->state == HTTP2_STREAM_CLOSED)
            return;
    }
    if (stream->starting) {
        stream->starting = false;
        exchange_go(ex);
        if (stream->in.size != 0) /* the origin may have room for bytes that the steps left */
            http2_stream_wake(stream);
    }
    if (stream->state == HTTP2_STREAM_CLOSED)
        return;
    if (stream->detached && stream->end_passed && ex->state == EXCHANGE_DONE) {
        http2_stream_close(stream, EXCHANGE_END_COMPLETE);
        return;
    }
    give_window(stream);
    watch_body(stream);
}

void http2_streams_resume(http2_conn_t *conn)
{
    list_t now;
    list_init(&now);
    list_insert_all(&now, &conn->touched);
    while (!list_is_empty(&now)) {
        http2_stream_t *stream = CONTAINER_OF(http2_stream_t, touched, now.next);
        list_unlink(&stream->touched);
        resume(stream);
    }
}

void http2_stream_abandon(http2_stream_t *stream, uint32_t code)
{
    nghttp2_session *session = stream->conn->session;
    if (stream->detached) { /* nghttp2 has closed it before */
        http2_stream_close(stream, EXCHANGE_END_CUT);
        return;
    }
    (void)nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, stream->id, code);
    /* Further frames for it are ignored, as after the reset itself. */
    http2_closed_reset(&stream->conn->closed_streams, stream->id);
    (void)nghttp2_session_set_stream_user_data(session, stream->id, NULL);
    http2_stream_close(stream, EXCHANGE_END_CUT);
}

void http2_stream_wake(http2_stream_t *stream)
{
    if (stream->state != HTTP2_STREAM_OPEN)
        return;
    touch(stream);
    http2_schedule(stream->conn);
}

/* ---- frames and the end ---- */

void http2_stream_frame_begins(http2_conn_t *conn, int32_t id)
{
    if (id <= nghttp2_session_get_last_proc_stream_id(conn->session) && find(conn, id) == NULL &&
        !http2_rest_is_open(conn, id) && !http2_closed_tolerates(&conn->closed_streams, id)) {
        (void)nghttp2_session_terminate_session(conn->session, NGHTTP2_STREAM_CLOSED);
        http2_fault_at_guard(conn);
    }
}

void http2_stream_frame(http2_conn_t *conn, const nghttp2_frame *frame)
{
    http2_stream_t *stream = find(conn, frame->hd.stream_id);
    bool end_stream = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (stream == NULL && frame->hd.type == NGHTTP2_HEADERS && !end_stream)
        http2_rest_refuse(conn, frame->hd.stream_id);
    if (stream == NULL && end_stream)
        http2_rest_ended(conn, frame->hd.stream_id);
    if (stream == NULL || stream->state == HTTP2_STREAM_CLOSED)
        return;
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        head_complete(stream, end_stream);
        return;
    }
    if (frame->hd.type == NGHTTP2_HEADERS)
        take_trailers(stream, end_stream);
    if (end_stream && stream->state == HTTP2_STREAM_OPEN) {
        if (stream->body_left != LENGTH_UNKNOWN && stream->body_left != 0 && !stream->malformed)
            refuse(stream, "The body is shorter than its Content-Length.");
        stream->request_ended = true;
        touch(stream);
    }
}

/* The body announced by Content-Length is complete, so an app may have answered already. Only END_STREAM is
 * missing, which many clients send in a separate frame. A reset would hit a correct client. */
static bool body_has_come(const http2_stream_t *stream)
{
    const exchange_t *ex = stream->ex;
    return ex->request.content_length != LENGTH_UNKNOWN &&
           ex->request_bytes + stream->in.size >= ex->request.content_length;
}

/* A tunnel closed by the edge has a rest: the client's Close frame and its end. A rejected handshake has
 * none, and the reset shows that its 200 opened no tunnel. */
static bool rest_is_awaited(const http2_stream_t *stream)
{
    if (stream->ex->request.websocket)
        return stream->tunnel;
    return linger_wanted(stream->ex) || body_has_come(stream);
}

/* nghttp2 resets the stream because of a frame: records the reason. */
static void explain_reset(http2_stream_t *stream, uint32_t code)
{
    exchange_t *ex = stream->ex;
    fault_t fault = {.reason = "A frame of the stream breaks a rule of HTTP/2."};
    if (stream->state != HTTP2_STREAM_OPEN || stream->malformed || code == NGHTTP2_ENHANCE_YOUR_CALM)
        return;
    if (code == NGHTTP2_FLOW_CONTROL_ERROR)
        fault.reason = "DATA passes the stream's window, or WINDOW_UPDATE takes it over 2^31 - 1 bytes.";
    ex->local_code = "bad_request";
    fault_report(ex, &fault, false);
}

static void reset_sent(http2_conn_t *conn, int32_t id, uint32_t code)
{
    http2_stream_t *stream = find(conn, id);
    http2_closed_reset(&conn->closed_streams, id);
    /* These codes are the edge's own resets; the client provokes the others. */
    if (code == NGHTTP2_NO_ERROR || code == NGHTTP2_INTERNAL_ERROR || code == NGHTTP2_CANCEL)
        return;
    note(conn, HTTP2_GUARD_RESET);
    if (stream != NULL)
        explain_reset(stream, code);
}

void http2_stream_frame_sent(http2_conn_t *conn, const nghttp2_frame *frame)
{
    if (frame->hd.type == NGHTTP2_RST_STREAM) {
        reset_sent(conn, frame->hd.stream_id, frame->rst_stream.error_code);
        return;
    }
    if (frame->hd.type == NGHTTP2_DATA && frame->hd.length != 0)
        note(conn, HTTP2_GUARD_DATA_SENT);
    if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0)
        return;
    http2_stream_t *stream = find(conn, frame->hd.stream_id);
    if (stream == NULL)
        return;
    stream->end_sent = true;
    loop_timer_stop(&stream->stall_timer);
    note(conn, HTTP2_GUARD_COMPLETED);
    if (stream->request_ended || (stream->tunnel && stream->ex->state != EXCHANGE_DONE))
        return;
    if (stream->malformed) /* became malformed while the answer's end was being sent */
        reset(stream, NGHTTP2_PROTOCOL_ERROR);
    else if (rest_is_awaited(stream))
        http2_rest_begin(stream);
    else
        reset(stream, NGHTTP2_NO_ERROR); /* RFC 9113 section 8.1 */
}

void http2_stream_close(http2_stream_t *stream, exchange_end_t how)
{
    http2_conn_t *conn = stream->conn;
    assert(stream->state != HTTP2_STREAM_CLOSED);
    stream->state = HTTP2_STREAM_CLOSED;
    stream->how = how;
    list_unlink(&stream->link);
    list_insert(&conn->closed, &stream->link);
    conn->closed_count++;
    if (list_is_linked(&stream->roomy))
        list_unlink(&stream->roomy);
    loop_timer_stop(&stream->body_timer);
    loop_timer_stop(&stream->stall_timer);
    release_held(stream, stream->in.size);
    conn->grown -= stream->window.size - HTTP2_WINDOW_MIN;
    http2_window_end(&stream->window, &stream->ex->account);
    http2_stream_drop_output(stream);
    http2_schedule(conn);
}

/* nghttp2 is about to reset the stream (over the limit, for example); until then its frames are ignored. */
static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int error, void *user_data)
{
    (void)session;
    http2_conn_t *conn = user_data;
    http2_fault_of_frame(conn, frame, error);
    if (frame->hd.stream_id > 0)
        http2_closed_reset(&conn->closed_streams, frame->hd.stream_id);
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *user_data)
{
    (void)session;
    (void)code;
    http2_stream_t *stream = find(user_data, id);
    if (stream == NULL)
        http2_rest_closed(user_data, id);
    if (stream == NULL || stream->state == HTTP2_STREAM_CLOSED)
        return 0;
    bool complete = stream->end_sent && (stream->request_ended || !stream->tunnel) && !stream->cut;
    if (complete && stream->tunnel && stream->ex->state != EXCHANGE_DONE) {
        stream->detached = true;
        http2_stream_wake(stream);
    } else if (complete) {
        http2_stream_close(stream, EXCHANGE_END_COMPLETE);
    } else {
        http2_stream_close(stream, stream->cut ? EXCHANGE_END_CUT : EXCHANGE_END_CLIENT_GONE);
    }
    return 0;
}

void http2_streams_end(http2_conn_t *conn, bool flushed)
{
    list_t *next;
    for (list_t *link = conn->closed.next; link != &conn->closed; link = next) {
        next = link->next;
        http2_stream_t *stream = CONTAINER_OF(http2_stream_t, link, link);
        if (!flushed && stream->how == EXCHANGE_END_COMPLETE)
            continue;
        list_unlink(&stream->link);
        if (list_is_linked(&stream->touched))
            list_unlink(&stream->touched);
        conn->closed_count--;
        conn->stream_count--;
        exchange_t *ex = stream->ex; /* the arena holds the stream */
        if (stream->how == EXCHANGE_END_COMPLETE && ex->local_code == NULL)
            http2_progress_answered(&conn->progress, http2_now(conn));
        if (conn->stream_count == 0)
            http2_progress_rest(&conn->progress, http2_now(conn));
        exchange_end(&ex, stream->how);
    }
}

void http2_stream_callbacks(nghttp2_session_callbacks *callbacks)
{
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback2(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data_chunk);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
}
