/*
 * Errors that end a client's HTTP/2 connection, or a stream that never had a request (RFC 9113 section 5.4),
 * and their reports. GOAWAY carries the code and a short reason. The edge's log gets the client's address,
 * the code's name, the reason and the frame. Access lines of streams that end with the connection get the
 * reason.
 */
#include "http2_server_internal.h"

#include <assert.h>
#include <stdio.h>

#include "fault.h"
#include "list.h"

/* Maximum length of nghttp2's text for GOAWAY. */
#define WORDS_BYTES 96

/* RFC 9113 section 6. */
static const char *frame_name(int type)
{
    static const char *const names[] = {
        [NGHTTP2_DATA] = "DATA",
        [NGHTTP2_HEADERS] = "HEADERS",
        [NGHTTP2_PRIORITY] = "PRIORITY",
        [NGHTTP2_RST_STREAM] = "RST_STREAM",
        [NGHTTP2_SETTINGS] = "SETTINGS",
        [NGHTTP2_PUSH_PROMISE] = "PUSH_PROMISE",
        [NGHTTP2_PING] = "PING",
        [NGHTTP2_GOAWAY] = "GOAWAY",
        [NGHTTP2_WINDOW_UPDATE] = "WINDOW_UPDATE",
        [NGHTTP2_CONTINUATION] = "CONTINUATION",
    };
    return type < (int)(sizeof(names) / sizeof(names[0])) ? names[type] : "an unknown frame";
}

/* Sets the reason for streams that end with the connection and have none. */
static void mark_streams(const http2_conn_t *conn, const char *reason)
{
    for (list_t *link = conn->streams.next; link != &conn->streams; link = link->next) {
        exchange_t *ex = CONTAINER_OF(http2_stream_t, link, link)->ex;
        if (ex->local_code != NULL)
            continue;
        ex->local_code = "connection_error";
        ex->detail = reason;
    }
}

void http2_fault_report(http2_conn_t *conn, const http2_fault_t *fault, str_t words)
{
    char end[48], more[64 + WORDS_BYTES] = "";
    context_t *context = conn->client.context;
    if (conn->faulted)
        return;
    conn->faulted = true;
    uint32_t code = fault->code < COUNTERS_HTTP2_CODES ? fault->code : NGHTTP2_INTERNAL_ERROR;
    counter_add(&context->counters->http2_errors[code], 1);
    mark_streams(conn, fault->fault.reason);
    (void)snprintf(end, sizeof(end), "ends with %s", nghttp2_http2_strerror(code));
    if (words.n != 0)
        (void)snprintf(more, sizeof(more), " (%.*s)", (int)(words.n < WORDS_BYTES ? words.n : WORDS_BYTES),
                       words.p);
    else if (fault->framed && conn->has_frame)
        (void)snprintf(more, sizeof(more), " In %s of stream %u.", frame_name(conn->frame_type),
                       conn->frame_stream);
    fault_report_connection(&conn->client, &context->client_faults, "an HTTP/2 connection", end,
                            &fault->fault, more);
}

void http2_fault_goaway(http2_conn_t *conn, const nghttp2_goaway *goaway)
{
    /* nghttp2 reports no frame for wrong lengths. */
    bool framed = goaway->error_code != NGHTTP2_FRAME_SIZE_ERROR;
    const http2_fault_t fault = {
        goaway->error_code, {.reason = http2_error_reason(goaway->error_code)}, framed};
    if (goaway->error_code != NGHTTP2_NO_ERROR)
        http2_fault_report(conn, &fault,
                           str_make((const char *)goaway->opaque_data, goaway->opaque_data_len));
}

/* ---- detection ---- */

static void remember(http2_conn_t *conn, uint8_t type, uint32_t stream)
{
    conn->has_frame = true;
    conn->frame_type = type;
    conn->frame_stream = stream;
}

static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *user_data)
{
    (void)session;
    remember(user_data, hd->type, (uint32_t)hd->stream_id);
    return 0;
}

void http2_fault_callbacks(nghttp2_session_callbacks *callbacks)
{
    nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_begin_frame);
}

void http2_fault_at_guard(http2_conn_t *conn)
{
    remember(conn, http2_guard_type(&conn->guard), http2_guard_stream(&conn->guard));
}

/* A request above limits.streams. nghttp2 refuses it without decoding its fields, so its access line has
 * none. */
static void refuse_stream(http2_conn_t *conn)
{
    const fault_t fault = {.reason = "The client has more open requests than limits.streams allows."};
    exchange_t *ex = exchange_new(&conn->client, &http2_client_ops, NULL);
    counter_add(&conn->client.context->counters->http2_streams_refused_total, 1);
    ex->request.version = HTTP_2;
    exchange_refuse_unread(&ex, "too_many_streams", &fault);
}

void http2_fault_of_frame(http2_conn_t *conn, const nghttp2_frame *frame, int error)
{
    remember(conn, frame->hd.type, (uint32_t)frame->hd.stream_id);
    if (error == NGHTTP2_ERR_REFUSED_STREAM && frame->hd.type == NGHTTP2_HEADERS)
        refuse_stream(conn);
}

http2_fault_t http2_fault_of_guard(http2_conn_t *conn, http2_guard_result_t verdict)
{
    http2_fault_t fault = {.code = NGHTTP2_ENHANCE_YOUR_CALM, .framed = true};
    fault.fault.reason = HTTP2_CALM_BUCKET;
    if (verdict == HTTP2_GUARD_LONG_BLOCK)
        fault.fault.reason = "The field block of a head has more than 65536 bytes.";
    if (verdict == HTTP2_GUARD_BAD_PRIORITY) {
        fault.code = NGHTTP2_PROTOCOL_ERROR;
        fault.fault.reason = "A priority is for no stream, or makes a stream depend on itself.";
    }
    http2_fault_at_guard(conn);
    return fault;
}

http2_fault_t http2_fault_of_feed(ssize_t error, str_t data)
{
    http2_fault_t fault = {.code = NGHTTP2_INTERNAL_ERROR, .framed = true};
    fault.fault.reason = http2_error_reason(fault.code);
    if (error == NGHTTP2_ERR_BAD_CLIENT_MAGIC) {
        const char *end = memchr(data.p, '\r', data.n);
        str_t line = end != NULL ? str_make(data.p, (size_t)(end - data.p)) : data;
        fault.code = NGHTTP2_PROTOCOL_ERROR;
        fault.fault =
            fault_of_request_line("The connection does not begin with the preface of HTTP/2.", line);
    } else if (error == NGHTTP2_ERR_FLOODED || error == NGHTTP2_ERR_TOO_MANY_CONTINUATIONS) {
        fault.code = NGHTTP2_ENHANCE_YOUR_CALM;
        fault.fault.reason = "More answers to PING and SETTINGS wait, or more CONTINUATIONs come, than the "
                             "edge takes.";
    }
    return fault;
}
