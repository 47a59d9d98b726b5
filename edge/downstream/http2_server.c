/*
 * A client's connection over HTTP/2: an nghttp2 session on a conn_t, its phases and its timers.
 *
 * Reads feed nghttp2, whose callbacks act on streams. All further work (frames to write, room for bodies,
 * exchanges to end) waits for http2_turn at the end of the loop turn, so all frames of a turn leave in one
 * write. Phases only move forward (http2_phase_t).
 */
#include <assert.h>

#include "budget.h"
#include "context.h"
#include "http2_server_internal.h"
#include "list.h"

/* Writes of up to HTTP2_OUTPUT_BYTES per connection and loop turn. */
#define ROUNDS 4

static void set_phase(http2_conn_t *conn, http2_phase_t phase)
{
    assert(phase > conn->phase);
    conn->phase = phase;
}

static loop_t *loop_of(const http2_conn_t *conn)
{
    return conn->client.context->loop;
}

/* Counts nghttp2's memory: its tables, and streams and frames if any. */
static void count_session(http2_conn_t *conn)
{
    uint64_t now = conn->memory.bytes, idle = conn->stream_count == 0 ? now : 0;
    account_move(&conn->client.account, conn->counted, now);
    conn->client.context->connection_bytes += idle - conn->idle; /* modulo 2^64 */
    conn->counted = now;
    conn->idle = idle;
}

/* ---- the end ---- */

static void close_streams(http2_conn_t *conn)
{
    while (!list_is_empty(&conn->streams)) {
        http2_stream_t *stream = CONTAINER_OF(http2_stream_t, link, conn->streams.next);
        bool answered = stream->malformed && stream->end_sent;
        http2_stream_close(stream, answered ? EXCHANGE_END_COMPLETE : EXCHANGE_END_CLIENT_GONE);
    }
}

static void conn_destroy(http2_conn_t *conn)
{
    assert(!conn->receiving && !conn->sending);
    bool flushed = !http2_output_pending(conn) && conn_flushed(conn->client.conn);
    close_streams(conn);
    http2_streams_end(conn, flushed);
    for (list_t *link = conn->closed.next; link != &conn->closed; link = link->next) {
        http2_stream_t *stream = CONTAINER_OF(http2_stream_t, link, link);
        if (stream->how == EXCHANGE_END_COMPLETE)
            stream->how = EXCHANGE_END_CLIENT_GONE; /* its last bytes were never sent */
    }
    http2_streams_end(conn, true);
    http2_rests_end(conn);
    assert(conn->stream_count == 0 && conn->held == 0 && conn->out == 0 && conn->grown == 0);
    loop_undefer(&conn->task);
    loop_timer_stop(&conn->timer);
    loop_timer_stop(&conn->write_timer);
    backlog_end(&conn->backlog);
    http2_outbox_clear(&conn->output);
    nghttp2_session_del(conn->session);
    count_session(conn); /* now zero */
    if (conn->reset)
        conn_abort(&conn->client.conn);
    client_fini(&conn->client);
    free(conn);
}

static void destroy(client_t *client)
{
    conn_destroy((http2_conn_t *)client);
}

static void timer_expired(loop_timer_t *timer);

static void wait_for(http2_conn_t *conn, http2_wait_t wait)
{
    const conf_t *conf = conn->client.context->conf;
    static const uint32_t fixed[] = {
        [HTTP2_WAIT_NOTICE] = HTTP2_NOTICE_MS, [HTTP2_WAIT_LINGER] = HTTP2_LINGER_MS};
    if (conn->wait == wait)
        return;
    conn->wait = wait;
    if (wait == HTTP2_WAIT_NOTHING)
        loop_timer_stop(&conn->timer);
    else if (wait == HTTP2_WAIT_HEAD)
        loop_timer_start(loop_of(conn), &conn->timer, conf->timeouts.head, timer_expired);
    else if (wait == HTTP2_WAIT_KEEP_ALIVE)
        loop_timer_start(loop_of(conn), &conn->timer, conf->timeouts.keep_alive, timer_expired);
    else
        loop_timer_start(loop_of(conn), &conn->timer, fixed[wait], timer_expired);
}

/* Sends GOAWAY and ends the connection, without nghttp2's remaining frames. Exchanges end in the next
 * http2_turn. */
static void finish_for(http2_conn_t *conn, http2_fault_t fault)
{
    if (conn->phase >= HTTP2_FINISHED)
        return;
    set_phase(conn, HTTP2_FINISHED);
    if (fault.code == NGHTTP2_ENHANCE_YOUR_CALM)
        counter_add(&conn->client.context->counters->http2_abuse_total, 1);
    http2_fault_report(conn, &fault, str_make(NULL, 0));
    close_streams(conn);
    http2_rests_end(conn);
    http2_output_goaway(conn, fault.code, fault.fault.reason);
    wait_for(conn, HTTP2_WAIT_LINGER);
    http2_schedule(conn);
}

static void finish(http2_conn_t *conn, uint32_t code, const char *reason)
{
    finish_for(conn, (http2_fault_t){.code = code, .fault = {.reason = reason}});
}

/*
 * All output is sent: closes our direction and reads from the client a little longer, because closing a
 * socket with unread bytes would destroy data that the client has not read.
 */
static void linger(http2_conn_t *conn)
{
    set_phase(conn, HTTP2_LINGER);
    close_streams(conn);
    http2_streams_end(conn, true);
    http2_rests_end(conn);
    http2_outbox_clear(&conn->output);
    loop_timer_stop(&conn->write_timer);
    backlog_end(&conn->backlog);
    wait_for(conn, HTTP2_WAIT_LINGER);
    conn_shutdown_write(conn->client.conn);
    conn_want_write(conn->client.conn, false);
    conn_want_read(conn->client.conn, true);
}

/* ---- a turn ---- */

static void write_expired(loop_timer_t *timer)
{
    http2_conn_t *conn = CONTAINER_OF(http2_conn_t, write_timer, timer);
    conn->reset = conn_stalled(conn->client.conn, &conn->stall);
    if (conn->reset)
        conn_destroy(conn);
    else
        loop_timer_start(loop_of(conn), timer,
                         conn->client.context->conf->timeouts.write_idle / CONN_STALL_LOOKS, write_expired);
}

/* Sets wants and timers. `blocked`: more output is pending, and the kernel may have no room for it. */
static void settle(http2_conn_t *conn, bool blocked)
{
    const conf_t *conf = conn->client.context->conf;
    bool waits = blocked || http2_output_pending(conn) || !conn_flushed(conn->client.conn);
    conn_want_write(conn->client.conn, waits);
    /* Responses of which only the kernel lacks bytes hold exchanges that nghttp2 no longer counts. */
    bool reads = conn->phase < HTTP2_FINISHED && conn->closed_count <= conf->limits.streams;
    conn_want_read(conn->client.conn, reads);
    if (!waits) {
        loop_timer_stop(&conn->write_timer);
        backlog_end(&conn->backlog);
    } else if (!loop_timer_running(&conn->write_timer)) {
        backlog_watch(conn->client.context->backlogs, &conn->backlog, conn->client.conn,
                      &conn->client.account);
        conn->stall = (conn_stall_t){.looks = 0};
        conn->blocked_ms = http2_now(conn);
        loop_timer_start(loop_of(conn), &conn->write_timer, conf->timeouts.write_idle / CONN_STALL_LOOKS,
                         write_expired);
    }
    if (conn->phase == HTTP2_FINISHED || conn->phase == HTTP2_NOTICED)
        return;
    if (!reads) {
        wait_for(conn, HTTP2_WAIT_NOTHING); /* the write timer is running */
    } else if (!conn->settings_came || http2_guard_in_block(&conn->guard)) {
        if (conn->watched_block != conn->guard.blocks)
            wait_for(conn, HTTP2_WAIT_NOTHING); /* a new block: restart the timer */
        conn->watched_block = conn->guard.blocks;
        wait_for(conn, HTTP2_WAIT_HEAD);
    } else {
        bool idle = conn->stream_count == 0 && list_is_empty(&conn->rests);
        wait_for(conn, idle ? HTTP2_WAIT_KEEP_ALIVE : HTTP2_WAIT_NOTHING);
    }
}

/* One round: passes bodies in, writes frames out. Returns the write's result; *more: another round has work.
 */
static conn_result_t round_trip(http2_conn_t *conn, bool *more)
{
    *more = false;
    if (conn->phase < HTTP2_FINISHED) {
        http2_streams_resume(conn);
        if (!conn->failed && !http2_output_gather(conn))
            conn->failed = true;
        if (conn->calm != NULL)
            finish(conn, NGHTTP2_ENHANCE_YOUR_CALM, conn->calm);
        else if (conn->failed)
            finish(conn, NGHTTP2_INTERNAL_ERROR, "The edge failed.");
    }
    conn_result_t result = http2_output_write(conn);
    if (result == CONN_OK && conn->phase < HTTP2_FINISHED)
        *more = http2_streams_room(conn) || nghttp2_session_want_write(conn->session) != 0 ||
                !list_is_empty(&conn->touched);
    return result;
}

static bool is_finished(http2_conn_t *conn)
{
    if (http2_output_pending(conn))
        return false;
    return conn->phase == HTTP2_FINISHED ||
           (nghttp2_session_want_read(conn->session) == 0 && nghttp2_session_want_write(conn->session) == 0);
}

/* May free the connection. */
static void http2_turn(http2_conn_t *conn)
{
    if (conn->phase == HTTP2_LINGER)
        return;
    bool more = true;
    conn_result_t result = CONN_OK;
    for (int round = 0; round < ROUNDS && more && result == CONN_OK; round++)
        result = round_trip(conn, &more);
    if (result != CONN_OK && result != CONN_AGAIN) {
        conn_destroy(conn);
        return;
    }
    http2_streams_end(conn, !http2_output_pending(conn) && conn_flushed(conn->client.conn));
    count_session(conn);
    if (is_finished(conn))
        linger(conn);
    else
        settle(conn, more || result == CONN_AGAIN);
}

static void run_task(loop_task_t *task)
{
    http2_turn(CONTAINER_OF(http2_conn_t, task, task));
}

void http2_schedule(http2_conn_t *conn)
{
    loop_defer(loop_of(conn), &conn->task, run_task);
}

/* The second GOAWAY of a drain: streams up to the last one received are completed. */
static void drain_finally(http2_conn_t *conn)
{
    set_phase(conn, HTTP2_DRAINING);
    wait_for(conn, HTTP2_WAIT_NOTHING);
    (void)nghttp2_submit_goaway(conn->session, NGHTTP2_FLAG_NONE,
                                nghttp2_session_get_last_proc_stream_id(conn->session), NGHTTP2_NO_ERROR,
                                NULL, 0);
    http2_schedule(conn);
}

static void timer_expired(loop_timer_t *timer)
{
    http2_conn_t *conn = CONTAINER_OF(http2_conn_t, timer, timer);
    http2_wait_t wait = conn->wait;
    conn->wait = HTTP2_WAIT_NOTHING;
    switch (wait) {
    case HTTP2_WAIT_HEAD:
        finish(conn, NGHTTP2_PROTOCOL_ERROR,
               "The preface or a field block did not come within timeouts.head.");
        break;
    case HTTP2_WAIT_KEEP_ALIVE:
        (void)nghttp2_session_terminate_session(conn->session, NGHTTP2_NO_ERROR);
        break;
    case HTTP2_WAIT_NOTICE:
        drain_finally(conn);
        break;
    case HTTP2_WAIT_LINGER:
        conn_destroy(conn);
        return;
    case HTTP2_WAIT_NOTHING:
        assert(false);
    }
    http2_turn(conn);
}

/* ---- draining (RFC 9113 section 6.8) ---- */

static void drain(client_t *client)
{
    http2_conn_t *conn = (http2_conn_t *)client;
    if (conn->phase != HTTP2_OPEN)
        return;
    set_phase(conn, HTTP2_NOTICED);
    (void)nghttp2_submit_shutdown_notice(conn->session);
    (void)nghttp2_submit_ping(conn->session, NGHTTP2_FLAG_NONE, NULL);
    wait_for(conn, HTTP2_WAIT_NOTICE);
    list_t *next;
    for (list_t *link = conn->streams.next; link != &conn->streams; link = next) {
        next = link->next;
        http2_stream_t *stream = CONTAINER_OF(http2_stream_t, link, link);
        if (stream->state == HTTP2_STREAM_OPEN)
            exchange_drain(stream->ex);
    }
    http2_schedule(conn);
}

/* ---- memory is short (relief.h) ---- */

/* The client takes none of the bytes that the connection itself holds. */
static bool is_blocked(const http2_conn_t *conn, uint64_t before)
{
    return loop_timer_running(&conn->write_timer) && conn->blocked_ms <= before;
}

/* The whole connection has requests and makes no progress. */
static bool is_stuck(const http2_conn_t *conn, uint64_t before)
{
    return conn->stream_count != 0 && http2_progress_is_stuck(&conn->progress, before);
}

static uint64_t stalled(client_t *client, uint64_t before)
{
    http2_conn_t *conn = (http2_conn_t *)client;
    uint64_t n = is_blocked(conn, before) ? conn->counted + conn->output.capacity + conn->backlog.counted : 0;
    for (list_t *link = conn->streams.next; link != &conn->streams; link = link->next) {
        const http2_stream_t *stream = CONTAINER_OF(http2_stream_t, link, link);
        if (exchange_is_stalled(stream->ex, before))
            n += stream->ex->account.held;
    }
    return n == 0 && is_stuck(conn, before) ? client->account.held : n;
}

/* Sends GOAWAY(code) if it fits, and closes. */
static void leave(http2_conn_t *conn, uint32_t code, const char *reason)
{
    http2_output_goaway(conn, code, reason);
    if (http2_output_write(conn) == CONN_OK)
        conn_shutdown_write(conn->client.conn);
    conn_destroy(conn);
}

/* The stage after resets of streams: the connection holds memory again, without progress since. */
static bool is_over(const http2_conn_t *conn, uint64_t before)
{
    return http2_progress_is_over(&conn->progress, before) && budget_may_close(&conn->client) &&
           budget_is_tight(conn->client.context);
}

/* Resets stalled streams; with `box_share`, only those whose box holds more. True if any was reset. */
static bool take_streams(http2_conn_t *conn, uint64_t before, uint64_t box_share)
{
    list_t *next;
    bool any = false;
    for (list_t *link = conn->streams.next; link != &conn->streams; link = next) {
        http2_stream_t *stream = CONTAINER_OF(http2_stream_t, link, link);
        next = link->next;
        if (!exchange_is_stalled(stream->ex, before) ||
            (box_share != 0 && budget_exchange(stream->ex) <= box_share))
            continue;
        counter_add(&conn->client.context->counters->memory_resets_total, 1);
        budget_note_relief(stream->ex);
        http2_stream_abandon(stream, NGHTTP2_ENHANCE_YOUR_CALM);
        any = true;
    }
    return any;
}

static void relieve(client_t *client, uint64_t before, uint64_t box_share)
{
    http2_conn_t *conn = (http2_conn_t *)client;
    counters_t *counters = client->context->counters;
    bool of_address = box_share == 0;
    if (of_address && is_blocked(conn, before) && budget_may_close(client)) {
        counter_add(&counters->memory_closes_total, 1);
        for (list_t *link = conn->streams.next; link != &conn->streams; link = link->next)
            budget_note_relief(CONTAINER_OF(http2_stream_t, link, link)->ex);
        conn->reset = true;
        conn_destroy(conn);
        return;
    }
    if (of_address && stalled(client, before) != 0 && is_over(conn, before)) {
        counter_add(&counters->memory_closes_total, 1);
        conn->reset = conn_untaken(client->conn) >= CONN_LITTLE_BYTES;
        const http2_fault_t fault = {NGHTTP2_ENHANCE_YOUR_CALM, {.reason = BUDGET_RELIEF_REASON}, false};
        http2_fault_report(conn, &fault, str_make(NULL, 0));
        leave(conn, fault.code, fault.fault.reason);
        return;
    }
    bool taken = take_streams(conn, before, box_share);
    if (of_address && (taken || is_stuck(conn, before)))
        http2_progress_taken(&conn->progress, http2_now(conn));
    if (conn->closed_count != 0)
        http2_turn(conn);
}

/* ---- receiving ---- */

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
    (void)session;
    http2_conn_t *conn = user_data;
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
    case NGHTTP2_DATA:
        http2_stream_frame(conn, frame);
        break;
    case NGHTTP2_SETTINGS:
        if ((frame->hd.flags & NGHTTP2_FLAG_ACK) == 0)
            conn->settings_came = true;
        else
            conn->round_trip_ms = http2_round_trip_ms(conn->announced_ms, http2_now(conn));
        break;
    case NGHTTP2_PING:
        if ((frame->hd.flags & NGHTTP2_FLAG_ACK) != 0 &&
            !http2_malformed_pong(conn, frame->ping.opaque_data) && conn->phase == HTTP2_NOTICED)
            drain_finally(conn);
        break;
    default:
        break;
    }
    return 0;
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
    (void)session;
    if (frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS ||
        frame->hd.type == NGHTTP2_RST_STREAM)
        http2_stream_frame_sent(user_data, frame);
    else if (frame->hd.type == NGHTTP2_GOAWAY)
        http2_fault_goaway(user_data, &frame->goaway);
    return 0;
}

/* A response head that cannot be sent (it exceeds nghttp2's limit) must not leave its stream hanging. */
static int on_frame_not_send(nghttp2_session *session, const nghttp2_frame *frame, int error, void *user_data)
{
    (void)user_data;
    if (frame->hd.type == NGHTTP2_HEADERS && error != NGHTTP2_ERR_STREAM_CLOSED &&
        error != NGHTTP2_ERR_STREAM_CLOSING)
        (void)nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                                        NGHTTP2_INTERNAL_ERROR);
    return 0;
}

/* Feeds nghttp2 the bytes from *from to `to`. */
static void feed(http2_conn_t *conn, const char **from, const char *to)
{
    if (*from == to || conn->phase >= HTTP2_FINISHED)
        return;
    conn->receiving = true;
    ssize_t taken = nghttp2_session_mem_recv(conn->session, (const uint8_t *)*from, (size_t)(to - *from));
    conn->receiving = false;
    str_t fed = str_make(*from, (size_t)(to - *from));
    *from = to;
    if (conn->calm != NULL)
        finish(conn, NGHTTP2_ENHANCE_YOUR_CALM, conn->calm);
    else if (taken < 0)
        finish_for(conn, http2_fault_of_feed(taken, fed));
}

/* The guard is one frame header ahead of nghttp2, so that it sees each frame's stream in its state before the
 * frame. */
static void receive(http2_conn_t *conn, const char *data, size_t n)
{
    const char *from = data, *end = data + n;
    for (const char *at = data; at != end && conn->phase < HTTP2_FINISHED;) {
        size_t taken;
        http2_guard_result_t verdict =
            http2_guard_scan(&conn->guard, at, (size_t)(end - at), http2_now(conn), &taken);
        size_t header = taken < HTTP2_GUARD_FRAME_HEADER ? taken : HTTP2_GUARD_FRAME_HEADER;
        at += taken;
        feed(conn, &from, verdict == HTTP2_GUARD_STREAM ? at - header : at);
        if (verdict == HTTP2_GUARD_STREAM)
            http2_stream_frame_begins(conn, (int32_t)http2_guard_stream(&conn->guard));
        else if (verdict != HTTP2_GUARD_OK)
            finish_for(conn, http2_fault_of_guard(conn, verdict));
    }
    feed(conn, &from, end);
    http2_streams_resume(conn); /* while `data` is valid */
    if (http2_output_pending(conn) &&
        nghttp2_session_get_outbound_queue_size(conn->session) > HTTP2_QUEUE_FRAMES)
        finish(conn, NGHTTP2_ENHANCE_YOUR_CALM, "Too many frames wait for a client that does not read.");
}

static void on_readable(void *owner)
{
    http2_conn_t *conn = owner;
    char *buffer = conn->client.context->scratch;
    size_t got;
    conn_result_t result = conn_read(conn->client.conn, buffer, CONN_TURN_BYTES, &got);
    if (result == CONN_AGAIN)
        return;
    if (result == CONN_OK && conn->phase == HTTP2_LINGER)
        conn->lingered += got;
    if (result != CONN_OK || conn->lingered > HTTP2_LINGER_BYTES) {
        conn_destroy(conn);
        return;
    }
    if (conn->phase < HTTP2_FINISHED)
        receive(conn, buffer, got);
    http2_schedule(conn);
}

static void on_writable(void *owner)
{
    http2_turn(owner);
}

/* Reading is paused for a client that takes no bytes: it will not recover. */
static void on_hangup(void *owner, bool reset)
{
    (void)reset;
    conn_destroy(owner);
}

static bool idle_since(const client_t *client, uint64_t *since_ms)
{
    const http2_conn_t *conn = (const http2_conn_t *)client;
    *since_ms = conn->timer.due - client->context->conf->timeouts.keep_alive;
    return conn->phase == HTTP2_OPEN && conn->wait == HTTP2_WAIT_KEEP_ALIVE && conn->stream_count == 0 &&
           loop_timer_running(&conn->timer);
}

static void close_idle(client_t *client)
{
    leave((http2_conn_t *)client, NGHTTP2_NO_ERROR, "");
}

static const client_codec_t codec = {.drain = drain,
                                     .destroy = destroy,
                                     .idle_since = idle_since,
                                     .close_idle = close_idle,
                                     .stalled = stalled,
                                     .relieve = relieve};

static const conn_handlers_t handlers = {
    .readable = on_readable, .writable = on_writable, .hangup = on_hangup};

/* ---- start ---- */

static void set_callbacks(nghttp2_session_callbacks *callbacks)
{
    http2_stream_callbacks(callbacks);
    http2_output_callbacks(callbacks);
    http2_fault_callbacks(callbacks);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_send);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, on_frame_not_send);
}

static nghttp2_session *session_new(http2_conn_t *conn)
{
    const conf_t *conf = conn->client.context->conf;
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, conf->limits.streams},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, conf->limits.head_bytes},
        {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
    };
    const http2_session_setup_t setup = {.server = true,
                                         .unchecked = true, /* the answer has the reason */
                                         .set_callbacks = set_callbacks,
                                         .head_bytes = conf->limits.head_bytes,
                                         .settings = settings,
                                         .settings_count = sizeof(settings) / sizeof(settings[0]),
                                         .window = HTTP2_CONNECTION_WINDOW};
    return http2_session_new(&setup, &conn->memory, conn);
}

void http2_server_new(const client_t *accepted)
{
    http2_conn_t *conn = calloc(1, sizeof(*conn));
    if (conn == NULL)
        abort();
    client_init(&conn->client, accepted);
    conn->client.codec = &codec;
    list_init(&conn->streams);
    list_init(&conn->closed);
    list_init(&conn->touched);
    list_init(&conn->roomy);
    list_init(&conn->rests);
    http2_guard_init(&conn->guard, http2_now(conn));
    http2_progress_init(&conn->progress, http2_now(conn));
    conn->guard.shared = client_is_proxy(&conn->client);
    conn->output.account = &conn->client.account;
    conn->session = session_new(conn);
    conn->announced_ms = http2_now(conn);
    conn_set_owner(conn->client.conn, &handlers, conn);
    conn_set_account(conn->client.conn, &conn->client.account, 0);
    http2_schedule(conn);
}
