/*
 * A response on its stream: the exchange's calls (client_ops_t), and the read callback of nghttp2 for bodies.
 *
 * Slices of a body await their flush uncopied. Then nghttp2 takes as much from them as windows and the output
 * allow; only the rest is copied to a buffer.
 */
#include <assert.h>

#include "arena.h"
#include "budget.h"
#include "context.h"
#include "decimal.h"
#include "http2_server_internal.h"
#include "list.h"

/* Fields of a head that fit on the stack. */
#define FEW_FIELDS 40

/* ---- heads ---- */

static size_t nv_fields(nghttp2_nv *nva, const fields_t *fields, bool tunnel)
{
    size_t n = 0;
    for (uint32_t i = 0; i < fields->count; i++) {
        const field_t *field = &fields->at[i];
        if (tunnel && field->id == FIELD_SEC_WEBSOCKET_ACCEPT) /* not in RFC 8441 section 5 */
            continue;
        nva[n++] = http2_nv(field->name, field->value);
    }
    return n;
}

typedef struct nv_list {
    nghttp2_nv few[FEW_FIELDS];
    nghttp2_nv *at;
    size_t n;
    char status[3];
} nv_list_t;

static void nv_begin(nv_list_t *list, exchange_t *ex, int status, uint32_t fields)
{
    assert(status >= 100 && status <= 999);
    size_t most = (size_t)fields + 3; /* :status, content-length, date */
    list->at = most <= FEW_FIELDS ? list->few : arena_alloc(&ex->arena, most * sizeof(*list->at));
    list->status[0] = (char)('0' + status / 100);
    list->status[1] = (char)('0' + status / 10 % 10);
    list->status[2] = (char)('0' + status % 10);
    list->at[0] = http2_nv(STR(":status"), str_make(list->status, sizeof(list->status)));
    list->n = 1;
}

static bool usable(const http2_stream_t *stream)
{
    return stream->state != HTTP2_STREAM_CLOSED && !stream->cut && stream->conn->phase < HTTP2_FINISHED;
}

/* Every hint passes, unless they pile up for a client that does not read. */
static bool interim_passes(http2_conn_t *conn, const fields_t *fields)
{
    size_t n = HTTP2_FRAME_HEADER;
    for (uint32_t i = 0; i < fields->count; i++)
        n += fields->at[i].name.n + fields->at[i].value.n;
    if (n > HTTP2_INTERIM_BYTES - conn->interim)
        return false;
    conn->interim += n;
    return true;
}

static void send_informational(exchange_t *ex, int status, const fields_t *fields)
{
    http2_stream_t *stream = ex->codec;
    if (!usable(stream))
        return;
    if (status != 100 && !interim_passes(stream->conn, fields))
        return;
    nv_list_t list;
    nv_begin(&list, ex, status, fields->count);
    list.n += nv_fields(list.at + list.n, fields, false);
    (void)nghttp2_submit_headers(stream->conn->session, NGHTTP2_FLAG_NONE, stream->id, NULL, list.at, list.n,
                                 NULL);
    if (status == 100 && !stream->request_ended)
        http2_stream_expect_body(stream);
}

static ssize_t on_read_body(nghttp2_session *session, int32_t id, uint8_t *bytes, size_t n, uint32_t *flags,
                            nghttp2_data_source *source, void *user_data);

static void send_head(exchange_t *ex)
{
    http2_stream_t *stream = ex->codec;
    loop_timer_stop(&stream->body_timer);
    if (!usable(stream))
        return;
    const response_t *response = &ex->response;
    context_t *context = ex->context;
    stream->tunnel = response->tunnel;
    nv_list_t list;
    nv_begin(&list, ex, response->tunnel ? 200 : response->status, response->fields.count);
    list.n += nv_fields(list.at + list.n, &response->fields, response->tunnel);
    if (fields_find(&response->fields, FIELD_DATE) == NULL)
        list.at[list.n++] = http2_nv(STR("date"), http_date_now(&context->date, context->loop));
    char length[DECIMAL_MAX];
    if (response->content_length != LENGTH_UNKNOWN && !response->tunnel && response->status != 204) {
        size_t digits = (size_t)(decimal_put(length, response->content_length) - length);
        list.at[list.n++] = http2_nv(STR("content-length"), str_make(length, digits));
    }
    stream->has_data = response->tunnel || !response->bodyless || stream->malformed;
    nghttp2_data_provider provider = {.read_callback = on_read_body}; /* may outlive the stream */
    int failed = nghttp2_submit_response(stream->conn->session, stream->id, list.at, list.n,
                                         stream->has_data ? &provider : NULL);
    if (failed != 0)
        (void)nghttp2_submit_rst_stream(stream->conn->session, NGHTTP2_FLAG_NONE, stream->id,
                                        NGHTTP2_INTERNAL_ERROR);
}

/* ---- bodies ---- */

/* Runs the timer while body or END_STREAM waits for the client's window update. */
static void watch_stall(http2_stream_t *stream);

static void stall_expired(loop_timer_t *timer)
{
    http2_stream_t *stream = CONTAINER_OF(http2_stream_t, stall_timer, timer);
    nghttp2_session *session = stream->conn->session;
    if (nghttp2_session_get_stream_remote_window_size(session, stream->id) <= 0 ||
        nghttp2_session_get_remote_window_size(session) <= 0) {
        (void)nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, stream->id, NGHTTP2_CANCEL);
        http2_schedule(stream->conn);
    } else {
        watch_stall(stream); /* it waits for its turn on the connection, which has its own timer */
    }
}

static void watch_stall(http2_stream_t *stream)
{
    const context_t *context = stream->conn->client.context;
    /* nghttp2 also needs a window of at least one byte for the end of a body. */
    bool end_waits = stream->has_data && stream->response_ended && !stream->end_sent;
    if (http2_stream_available(stream) != 0 || end_waits)
        loop_timer_start(context->loop, &stream->stall_timer, context->conf->timeouts.write_idle,
                         stall_expired);
    else
        loop_timer_stop(&stream->stall_timer);
}

static size_t room(const exchange_t *ex)
{
    http2_stream_t *stream = ex->codec;
    if (!usable(stream) || stream->response_ended)
        return 0;
    size_t available = http2_stream_available(stream);
    size_t bound = stream->conn->out < HTTP2_OUT_BYTES ? HTTP2_ROOM_BYTES : BUDGET_FLOOR_BYTES;
    bound = budget_bound(ex, bound);
    if (available < bound)
        return bound - available;
    stream->room_wanted = true;
    return 0;
}

/* Copies the staged slices to the buffer, because their memory is valid only during the flush. */
static void unstage(http2_stream_t *stream)
{
    stream->conn->out += stream->staged_bytes;
    for (; stream->staged_first != stream->staged_end; stream->staged_first++)
        buffer_append(&stream->out, stream->staged[stream->staged_first], &stream->ex->account);
    stream->staged_first = stream->staged_end = 0;
    stream->staged_bytes = 0;
}

static void send_body(exchange_t *ex, str_t data)
{
    http2_stream_t *stream = ex->codec;
    if (!usable(stream) || data.n == 0)
        return;
    assert(stream->has_data && !stream->response_ended);
    if (stream->staged_end == HTTP2_STAGED)
        unstage(stream);
    stream->staged[stream->staged_end++] = data;
    stream->staged_bytes += data.n;
}

static void send_end(exchange_t *ex)
{
    http2_stream_t *stream = ex->codec;
    if (!usable(stream) || stream->response_ended)
        return;
    stream->response_ended = true;
    const fields_t *trailers = &ex->response.trailers;
    for (uint32_t i = 0; i < trailers->count; i++)
        fields_add(&ex->arena, &stream->trailers, trailers->at[i].id,
                   str_dup(&ex->arena, trailers->at[i].name), str_dup(&ex->arena, trailers->at[i].value));
}

static void flush(exchange_t *ex)
{
    http2_stream_t *stream = ex->codec;
    http2_conn_t *conn = stream->conn;
    if (!usable(stream))
        return;
    if (stream->deferred && (http2_stream_available(stream) != 0 || stream->response_ended)) {
        stream->deferred = false;
        (void)nghttp2_session_resume_data(conn->session, stream->id);
    }
    http2_schedule(conn);
    if (!conn->receiving && !conn->sending && !conn->failed && !http2_output_gather(conn))
        conn->failed = true;
    if (stream->state == HTTP2_STREAM_CLOSED)
        return;
    unstage(stream);
    if (!loop_timer_running(&stream->stall_timer))
        watch_stall(stream);
}

static void cut(exchange_t *ex)
{
    http2_stream_t *stream = ex->codec;
    if (!usable(stream))
        return;
    stream->cut = true;
    http2_stream_abandon(stream, stream->malformed ? NGHTTP2_PROTOCOL_ERROR
                                 : stream->tunnel  ? NGHTTP2_CANCEL
                                                   : NGHTTP2_INTERNAL_ERROR);
}

static void abort_stream(exchange_t *ex)
{
    http2_stream_t *stream = ex->codec;
    if (!usable(stream))
        return;
    stream->cut = true;
    http2_stream_abandon(stream, NGHTTP2_CANCEL);
    http2_schedule(stream->conn);
}

static void resume_request(exchange_t *ex)
{
    http2_stream_wake(ex->codec);
}

const client_ops_t http2_client_ops = {
    .send_informational = send_informational,
    .send_head = send_head,
    .room = room,
    .send_body = send_body,
    .send_end = send_end,
    .flush = flush,
    .cut = cut,
    .abort = abort_stream,
    .resume_request = resume_request,
};

/* ---- reads by nghttp2 ---- */

static void submit_trailers(http2_stream_t *stream)
{
    (void)nghttp2_submit_trailer(stream->conn->session, stream->id,
                                 http2_nv_list(&stream->ex->arena, &stream->trailers),
                                 stream->trailers.count);
}

static ssize_t on_read_body(nghttp2_session *session, int32_t id, uint8_t *bytes, size_t n, uint32_t *flags,
                            nghttp2_data_source *source, void *user_data)
{
    (void)bytes;
    (void)source;
    (void)user_data;
    http2_stream_t *stream = nghttp2_session_get_stream_user_data(session, id);
    if (stream == NULL)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* abandoned, about to be reset */
    ssize_t taken = http2_read_body(n, http2_stream_available(stream), stream->response_ended, flags);
    stream->deferred |= taken == NGHTTP2_ERR_DEFERRED;
    if ((*flags & NGHTTP2_DATA_FLAG_EOF) != 0 && stream->malformed) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        stream->end_sent = true;
        http2_malformed_answered(stream);
    } else if ((*flags & NGHTTP2_DATA_FLAG_EOF) != 0 && stream->trailers.count != 0) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        submit_trailers(stream);
    }
    return taken;
}

void http2_stream_take(http2_stream_t *stream, char *to, size_t n)
{
    http2_conn_t *conn = stream->conn;
    exchange_progress(stream->ex, n);
    http2_progress_moved(&conn->progress, n, http2_now(conn));
    size_t buffered = buffer_size(&stream->out);
    size_t now = buffered < n ? buffered : n;
    if (now != 0) {
        memcpy(to, buffer_str(&stream->out).p, now);
        buffer_consume(&stream->out, now, &stream->ex->account);
        conn->out -= now;
    }
    while (now != n) {
        assert(stream->staged_first != stream->staged_end);
        str_t *slice = &stream->staged[stream->staged_first];
        size_t step = slice->n < n - now ? slice->n : n - now;
        memcpy(to + now, slice->p, step);
        *slice = str_from_offset(*slice, step);
        now += step;
        stream->staged_bytes -= step;
        if (slice->n == 0)
            stream->staged_first++;
    }
    if (loop_timer_running(&stream->stall_timer))
        watch_stall(stream);
    if (stream->room_wanted && http2_stream_available(stream) <= HTTP2_ROOM_BYTES / 2 &&
        !list_is_linked(&stream->roomy))
        list_insert(&conn->roomy, &stream->roomy);
}

bool http2_streams_room(http2_conn_t *conn)
{
    list_t now;
    list_init(&now);
    list_insert_all(&now, &conn->roomy);
    bool any = !list_is_empty(&now);
    while (!list_is_empty(&now)) {
        http2_stream_t *stream = CONTAINER_OF(http2_stream_t, roomy, now.next);
        list_unlink(&stream->roomy);
        stream->room_wanted = false;
        exchange_response_room(stream->ex);
    }
    return any;
}

void http2_stream_drop_output(http2_stream_t *stream)
{
    stream->conn->out -= buffer_size(&stream->out);
    buffer_clear(&stream->out, &stream->ex->account);
    stream->staged_first = stream->staged_end = 0;
    stream->staged_bytes = 0;
}
