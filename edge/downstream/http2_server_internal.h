/*
 * One client connection over HTTP/2, for the http2_*.c files only.
 *
 *   http2_server.c     the connection: its session, its reads, its timers, its end
 *   http2_stream.c     a stream's request: nghttp2's callbacks, head and body to the exchange, the end
 *   http2_response.c   a stream's response: the exchange's calls, body reads by nghttp2
 *   http2_malformed.c  the end of a malformed request's stream
 *   http2_rest.c       the rest of a request whose response has ended
 *   http2_fault.c      errors that end the connection, and their reports
 *   http2_output.c     writing frames to the connection
 *
 * Invariants:
 * - nghttp2 is never entered twice: conn->receiving and conn->sending mark a running call.
 * - An exchange ends only in http2_turn, which runs at the end of a loop turn or from the connection's own
 *   handlers, or when the connection is destroyed: never below an exchange_* call.
 * - A stream lives in its exchange's arena and is freed with it.
 */
#ifndef BOXEDGE_HTTP2_SERVER_INTERNAL_H
#define BOXEDGE_HTTP2_SERVER_INTERNAL_H

#include <nghttp2/nghttp2.h>

#include "backlog.h"
#include "client.h"
#include "context.h"
#include "http2_closed.h"
#include "http2_guard.h"
#include "http2_outbox.h"
#include "http2_progress.h"
#include "http2_request.h"
#include "http2_session.h"
#include "http2_window.h"
#include "linger.h"
#include "list.h"
#include "pieces.h"

/* The connection's window. Each received byte renews it, so it limits no memory; it must only be large enough
 * for the windows of the streams. */
#define HTTP2_CONNECTION_WINDOW (2 * HTTP2_WINDOW_MAX)
/* Maximum request body bytes held for all streams of a connection within their first windows; a stream that
 * would exceed it is reset. Bytes above a first window were counted when they were granted. */
#define HTTP2_HELD_BYTES (1024 * 1024)
/* Maximum total growth of a connection's stream windows above the first ones. */
#define HTTP2_GROWN_BYTES (2 * HTTP2_WINDOW_MAX)
/* The window of a stream whose rest is discarded. */
#define HTTP2_REST_WINDOW (1024 * 1024)
/* Maximum response body bytes held for all streams of a connection. Above it a stream holds
 * BUDGET_FLOOR_BYTES, so that moving streams continue beside stalled ones. */
#define HTTP2_OUT_BYTES (1024 * 1024)
/* Response body bytes held per stream: one write takes them and their frame headers. */
#define HTTP2_ROOM_BYTES (HTTP2_OUTPUT_BYTES - 128)
/* Maximum bytes of interim heads (1xx) queued for a client that does not read; further ones are dropped. */
#define HTTP2_INTERIM_BYTES (256 * 1024)
/* Maximum frames queued in nghttp2 for a client that does not read. */
#define HTTP2_QUEUE_FRAMES 1024
/* Limits for reading from the client after our last byte, before the connection is closed. */
#define HTTP2_LINGER_MS    1000
#define HTTP2_LINGER_BYTES (256 * 1024)
/* Between the two GOAWAYs of a graceful shutdown, unless the client answers the PING first (RFC 9113 section
 * 6.8). */
#define HTTP2_NOTICE_MS 1000

/* Slices of one response that await their flush uncopied. */
#define HTTP2_STAGED 4

typedef struct http2_conn http2_conn_t;

typedef enum http2_stream_state {
    HTTP2_STREAM_HEAD,   /* the head is arriving */
    HTTP2_STREAM_OPEN,   /* the exchange was started or refused */
    HTTP2_STREAM_CLOSED, /* nghttp2 has closed it; the exchange must be ended */
} http2_stream_state_t;

typedef struct http2_stream {
    http2_conn_t *conn;
    exchange_t *ex;
    int32_t id;
    http2_stream_state_t state;
    exchange_end_t how; /* with CLOSED: how to end its exchange */

    list_t link;    /* in conn->streams or conn->closed */
    list_t touched; /* in conn->touched: request body arrived, or can be passed on again */
    list_t roomy;   /* in conn->roomy: the exchange waits for room, and some is free */

    http2_head_t head;  /* the head's, then the trailers' */
    uint64_t body_left; /* of Content-Length; LENGTH_UNKNOWN: no such field */

    bool starting;      /* its steps run once everything that arrived with the head is processed */
    bool request_ended; /* END_STREAM was received */
    bool end_passed;    /* the exchange knows of END_STREAM */
    bool tunnel;
    bool detached; /* a tunnel that nghttp2 has closed while its last bytes wait for the box */
    bool cut;
    bool malformed;      /* RFC 9113 section 8.1.1: reset after its answer */
    bool has_data;       /* nghttp2 reads a response body from the stream */
    bool deferred;       /* nghttp2 needs nghttp2_session_resume_data to continue */
    bool response_ended; /* the exchange has sent everything */
    bool end_sent;       /* END_STREAM is in the output */
    bool room_wanted;    /* room() has returned 0 to the exchange */

    http2_window_t window;
    size_t passed; /* bytes passed to the exchange since the last window update */
    pieces_t in;   /* request body for which the exchange has no room */

    buffer_t out; /* response body, then the staged slices */
    str_t staged[HTTP2_STAGED];
    unsigned staged_first, staged_end;
    size_t staged_bytes;
    fields_t trailers; /* of the response */

    loop_timer_t body_timer;  /* the client owes request body or, if malformed, the answer to a PING */
    loop_timer_t stall_timer; /* the client owes a window update */
} http2_stream_t;

/* The event that conn->timer limits. */
typedef enum http2_wait {
    HTTP2_WAIT_NOTHING,
    HTTP2_WAIT_HEAD,       /* the preface with SETTINGS, or the end of a field block */
    HTTP2_WAIT_KEEP_ALIVE, /* the next request */
    HTTP2_WAIT_NOTICE,     /* the client learns of the drain */
    HTTP2_WAIT_LINGER,     /* the client's close */
} http2_wait_t;

typedef enum http2_phase {
    HTTP2_OPEN,
    HTTP2_NOTICED,  /* draining: the first GOAWAY was sent */
    HTTP2_DRAINING, /* the last GOAWAY was sent */
    HTTP2_FINISHED, /* reads and produces nothing more; gathered output still leaves */
    HTTP2_LINGER,   /* our direction is closed */
} http2_phase_t;

struct http2_conn {
    client_t client; /* first: the worker's view */
    nghttp2_session *session;
    http2_memory_t memory; /* of the session */
    uint64_t counted;      /* part of it counted to the client's account */
    uint64_t idle;         /* part of it counted in context_t.connection_bytes while no stream is open */
    http2_phase_t phase;
    http2_guard_t guard;
    http2_progress_t progress;
    http2_closed_t closed_streams;
    bool receiving, sending;
    bool settings_came;
    const char *calm; /* the client's excess, for which the connection ends as soon as possible; NULL: none */
    bool failed;      /* nghttp2 failed permanently */
    bool faulted;     /* the connection's error was reported */
    bool has_frame;   /* a frame arrived; the last one had the type and stream below */
    uint8_t frame_type;
    uint32_t frame_stream;

    list_t streams, closed, touched, roomy;
    list_t rests;          /* streams of http2_rest.c */
    uint32_t stream_count; /* streams with an exchange, including closed ones */
    uint32_t closed_count;
    uint64_t held;          /* bytes in all `in` that lie within first windows */
    uint64_t out;           /* bytes in all `out` buffers */
    uint32_t grown;         /* total growth of the windows above the first ones */
    size_t interim;         /* bytes of interim heads since the output was last empty */
    uint64_t announced_ms;  /* when our SETTINGS were sent */
    uint32_t round_trip_ms; /* until their ACK arrived; 0: not yet */
    size_t lingered;

    http2_outbox_t output; /* whole frames */

    loop_task_t task;
    loop_timer_t timer;
    http2_wait_t wait;
    uint32_t watched_block;   /* with HTTP2_WAIT_HEAD: the block's number (http2_guard_t.blocks) */
    uint64_t blocked_ms;      /* when write_timer was started */
    bool reset;               /* conn_destroy resets the connection: its client takes no bytes */
    loop_timer_t write_timer; /* the client takes no bytes */
    conn_stall_t stall;
    backlog_t backlog; /* towards the client, while write_timer runs */
};

/* ---- http2_server.c ---- */

/* Schedules http2_turn for the end of this loop turn. */
void http2_schedule(http2_conn_t *conn);
static inline uint64_t http2_now(const http2_conn_t *conn)
{
    return loop_now(conn->client.context->loop);
}

/* ---- http2_stream.c ---- */

/* Sets nghttp2's callbacks for heads, bodies and the end of streams. */
void http2_stream_callbacks(nghttp2_session_callbacks *callbacks);
/* HEADERS or DATA for stream `id` begins. Ends the session if the client had closed that stream. */
void http2_stream_frame_begins(http2_conn_t *conn, int32_t id);
/* HEADERS or DATA is complete (nghttp2_on_frame_recv_callback). */
void http2_stream_frame(http2_conn_t *conn, const nghttp2_frame *frame);
/* HEADERS, DATA or RST_STREAM is in the output (nghttp2_on_frame_send_callback). */
void http2_stream_frame_sent(http2_conn_t *conn, const nghttp2_frame *frame);
/* Flushes and continues the request bodies of touched streams. */
void http2_streams_resume(http2_conn_t *conn);
/* The exchange has room for request body again. */
void http2_stream_wake(http2_stream_t *stream);
/* Restarts the timeout for request body. */
void http2_stream_expect_body(http2_stream_t *stream);
/* Marks a stream closed. http2_streams_end ends its exchange. */
void http2_stream_close(http2_stream_t *stream, exchange_end_t how);
/* Resets a stream and closes it immediately, even if the client does not take the reset. Its exchange ends in
 * the next turn, as after http2_stream_close. */
void http2_stream_abandon(http2_stream_t *stream, uint32_t code);
/* Ends the exchanges of closed streams. `flushed` false: except those whose last bytes have not reached the
 * kernel. */
void http2_streams_end(http2_conn_t *conn, bool flushed);

/* ---- http2_response.c ---- */

extern const client_ops_t http2_client_ops;
/* Notifies exchanges that wait for room. True if any waited. */
bool http2_streams_room(http2_conn_t *conn);
/* Copies the next n bytes of the response body to `to`; n is at most http2_stream_available. */
void http2_stream_take(http2_stream_t *stream, char *to, size_t n);
/* Discards buffered and staged bytes. */
void http2_stream_drop_output(http2_stream_t *stream);
static inline size_t http2_stream_available(const http2_stream_t *stream)
{
    return buffer_size(&stream->out) + stream->staged_bytes;
}

/* ---- http2_malformed.c ---- */

/*
 * The body or the trailers are malformed. If no response has begun, answers and resets the stream afterwards;
 * else cuts the response, or resets after its end. A request that was refused keeps its first reason.
 */
void http2_malformed_refuse(http2_stream_t *stream, const fault_t *fault);
/* The end of the answer to a malformed request is being sent, without END_STREAM. */
void http2_malformed_answered(http2_stream_t *stream);
/* A PING was acknowledged. False: another part of the codec sent it. */
bool http2_malformed_pong(http2_conn_t *conn, const uint8_t ping[8]);

/* ---- http2_rest.c ---- */

/* The response has ended before the request. Closes `stream`, whose exchange ends complete. The functions
 * below get the bytes that still arrive. */
void http2_rest_begin(http2_stream_t *stream);
/* n bytes arrived for stream `id`. False: it is not a stream of that kind. */
bool http2_rest_take(http2_conn_t *conn, int32_t id, size_t n);
/* The client sends another field section without END_STREAM: resets the stream with PROTOCOL_ERROR. */
void http2_rest_refuse(http2_conn_t *conn, int32_t id);
/* The client has ended the stream: resets it with PROTOCOL_ERROR if Content-Length announced more. */
void http2_rest_ended(http2_conn_t *conn, int32_t id);
bool http2_rest_is_open(const http2_conn_t *conn, int32_t id);
/* nghttp2 has closed stream `id`. */
void http2_rest_closed(http2_conn_t *conn, int32_t id);
void http2_rests_end(http2_conn_t *conn);

/* ---- http2_fault.c ---- */

/* An error of the connection (RFC 9113 section 5.4.1). */
typedef struct http2_fault {
    uint32_t code;
    fault_t fault;
    bool framed; /* the last frame received is at fault */
} http2_fault_t;

/* Reasons for ENHANCE_YOUR_CALM. */
#define HTTP2_CALM_BUCKET "The client sends control frames, resets, empty DATA or oversized heads too fast."
#define HTTP2_CALM_HEAD   "A field section is more than 16 times as large as limits.head_size."

/* Sets the callback that remembers frames for reports of faults. */
void http2_fault_callbacks(nghttp2_session_callbacks *callbacks);
/* The guard's current frame is at fault, even if nghttp2 has not seen it. */
void http2_fault_at_guard(http2_conn_t *conn);
/* The fault that the guard rejects in its current frame. */
http2_fault_t http2_fault_of_guard(http2_conn_t *conn, http2_guard_result_t verdict);
/* nghttp2 rejected `frame` with `error`. Writes the access line of a request that it refuses. */
void http2_fault_of_frame(http2_conn_t *conn, const nghttp2_frame *frame, int error);
/* The fault behind nghttp2's `error` on being fed `data`. */
http2_fault_t http2_fault_of_feed(ssize_t error, str_t data);
/* nghttp2 sends GOAWAY: reports the reason if it is an error. */
void http2_fault_goaway(http2_conn_t *conn, const nghttp2_goaway *goaway);
/* Logs and counts the first error that ends the connection; later ones are ignored. `words` are nghttp2's, or
 * empty. The access lines of its open streams get the reason too. */
void http2_fault_report(http2_conn_t *conn, const http2_fault_t *fault, str_t words);

/* ---- http2_output.c ---- */

void http2_output_callbacks(nghttp2_session_callbacks *callbacks);
/* Takes frames from nghttp2 until no room is left. False: nghttp2 failed permanently. */
MUST_USE bool http2_output_gather(http2_conn_t *conn);
/* Appends a GOAWAY that nghttp2 does not make. */
void http2_output_goaway(http2_conn_t *conn, uint32_t code, const char *reason);
/* Writes the gathered output. CONN_OK: all of it. */
MUST_USE conn_result_t http2_output_write(http2_conn_t *conn);
static inline bool http2_output_pending(const http2_conn_t *conn)
{
    return http2_outbox_pending(&conn->output);
}

#endif
