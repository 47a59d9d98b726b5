/*
 * One client connection over HTTP/2, as the http2_*.c files share it. Nobody else includes this.
 *
 *   http2_server.c   the connection: its session, its reads, its timers, how it ends
 *   http2_stream.c   a stream's request: nghttp2's callbacks, head and body to the exchange, the end
 *   http2_response.c its response: what the exchange calls, what nghttp2 reads
 *   http2_malformed.c how the stream of a malformed request ends
 *   http2_rest.c     the rest of a request whose response has ended
 *   http2_fault.c    errors that end the connection, and how they are said
 *   http2_output.c   frames to bytes on the connection
 *
 * What always holds:
 * - nghttp2 is never entered twice: conn->receiving and conn->sending say that it runs.
 * - An exchange is ended only in http2_turn, which runs at the end of a loop turn or from the connection's
 *   own handlers, and when the connection is destroyed: never below an exchange_* call.
 * - A stream lives in its exchange's arena and goes with it.
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

/* The connection's window. It is given back for each byte that comes, so it holds nothing: it is there to let
 * what the streams' windows allow be under way. */
#define HTTP2_CONNECTION_WINDOW (2 * HTTP2_WINDOW_MAX)
/* Request body bytes held for all streams of a connection within their first windows; the stream that would
 * pass it is reset. What is above a first window was counted when it was granted. */
#define HTTP2_HELD_BYTES (1024 * 1024)
/* What all stream windows of a connection have together above the first ones. */
#define HTTP2_GROWN_BYTES (2 * HTTP2_WINDOW_MAX)
/* The window of a stream whose rest is thrown away. */
#define HTTP2_REST_WINDOW (1024 * 1024)
/* Response body bytes held for all streams of a connection; a stream that would pass it holds
 * BUDGET_FLOOR_BYTES, so that those that move go on beside those that do not. */
#define HTTP2_OUT_BYTES (1024 * 1024)
/* Response body bytes that a stream holds: with the headers of their frames they leave in one write. */
#define HTTP2_ROOM_BYTES (HTTP2_OUTPUT_BYTES - 128)
/* Interim heads (1xx) that wait for a client that does not read: above this, further ones are left out. */
#define HTTP2_INTERIM_BYTES (256 * 1024)
/* Frames that wait in nghttp2 for a client that does not read. */
#define HTTP2_QUEUE_FRAMES 1024
/* After our last byte: how long, and how many bytes, the client is listened to before the connection goes. */
#define HTTP2_LINGER_MS    1000
#define HTTP2_LINGER_BYTES (256 * 1024)
/* Between the two GOAWAYs of a graceful end, where the client does not answer the PING (RFC 9113
 * section 6.8). */
#define HTTP2_NOTICE_MS 1000

/* Slices of one response that wait for their flush without a copy. */
#define HTTP2_STAGED 4

typedef struct http2_conn http2_conn_t;

typedef enum http2_stream_state {
    HTTP2_STREAM_HEAD,   /* the head is coming */
    HTTP2_STREAM_OPEN,   /* the exchange was started or refused */
    HTTP2_STREAM_CLOSED, /* nghttp2 has let go of it; the exchange is to be ended */
} http2_stream_state_t;

typedef struct http2_stream {
    http2_conn_t *conn;
    exchange_t *ex;
    int32_t id;
    http2_stream_state_t state;
    exchange_end_t how; /* with CLOSED: how its exchange ends */

    list_t link;    /* conn->streams, or conn->closed */
    list_t touched; /* conn->touched: request body came, or may go on */
    list_t roomy;   /* conn->roomy: the exchange waits for room and there is some */

    http2_head_t head;  /* the head's, then the trailers' */
    uint64_t body_left; /* of Content-Length; LENGTH_UNKNOWN: it has none */

    bool starting;      /* its steps run when all that came with the head was looked at */
    bool request_ended; /* END_STREAM came */
    bool end_passed;    /* and the exchange was told (or knew from the head) */
    bool tunnel;
    bool detached; /* a tunnel that nghttp2 has let go of, whose last bytes still wait for the box */
    bool cut;
    bool malformed;      /* RFC 9113 section 8.1.1: reset behind its answer */
    bool has_data;       /* nghttp2 reads a response body from us */
    bool deferred;       /* nghttp2 waits for nghttp2_session_resume_data */
    bool response_ended; /* the exchange has given everything */
    bool end_sent;       /* END_STREAM was put into the output */
    bool room_wanted;    /* the exchange was told that there is no room */

    http2_window_t window;
    size_t passed; /* to the exchange since the window was last looked at */
    pieces_t in;   /* request body that the exchange has no room for */

    buffer_t out; /* response body, then the staged slices */
    str_t staged[HTTP2_STAGED];
    unsigned staged_first, staged_end;
    size_t staged_bytes;
    fields_t trailers; /* of the response */

    loop_timer_t body_timer;  /* the client owes request body; or, malformed, an answer to a PING */
    loop_timer_t stall_timer; /* the client owes a window update */
} http2_stream_t;

/* What conn->timer waits for. */
typedef enum http2_wait {
    HTTP2_WAIT_NOTHING,
    HTTP2_WAIT_HEAD,       /* the preface with SETTINGS, or the end of a field block */
    HTTP2_WAIT_KEEP_ALIVE, /* the next request */
    HTTP2_WAIT_NOTICE,     /* the client knows that we drain */
    HTTP2_WAIT_LINGER,     /* the client closes */
} http2_wait_t;

typedef enum http2_phase {
    HTTP2_OPEN,
    HTTP2_NOTICED,  /* drain: the first GOAWAY went out */
    HTTP2_DRAINING, /* the last one */
    HTTP2_FINISHED, /* nothing more is read or made; what was gathered leaves */
    HTTP2_LINGER,   /* our direction has ended */
} http2_phase_t;

struct http2_conn {
    client_t client; /* first: the worker sees this */
    nghttp2_session *session;
    http2_memory_t memory; /* of the session */
    uint64_t counted;      /* of it, to the client's account */
    uint64_t idle;         /* of it, to context_t.connection_bytes: while there are no streams */
    http2_phase_t phase;
    http2_guard_t guard;
    http2_progress_t progress;
    http2_closed_t closed_streams;
    bool receiving, sending;
    bool settings_came;
    const char *calm; /* why the client asks too much: end at the next occasion; NULL: it does not */
    bool failed;      /* nghttp2 failed for good */
    bool faulted;     /* its error was said */
    bool has_frame;   /* a frame came, the last of this type for this stream: */
    uint8_t frame_type;
    uint32_t frame_stream;

    list_t streams, closed, touched, roomy;
    list_t rests;          /* of http2_rest.c */
    uint32_t stream_count; /* with an exchange, closed ones too */
    uint32_t closed_count;
    uint64_t held;          /* bytes in all `in`, within first windows */
    uint64_t out;           /* bytes in all `out` buffers */
    uint32_t grown;         /* what windows have above the first ones */
    size_t interim;         /* bytes of interim heads since all output had left */
    uint64_t announced_ms;  /* when our SETTINGS went */
    uint32_t round_trip_ms; /* until their ACK came; 0: it has not */
    size_t lingered;

    http2_outbox_t output; /* whole frames */

    loop_task_t task;
    loop_timer_t timer;
    http2_wait_t wait;
    uint32_t watched_block;   /* with HTTP2_WAIT_HEAD: which one (http2_guard_t.blocks) */
    uint64_t blocked_ms;      /* with write_timer: since when */
    bool reset;               /* conn_destroy ends it by a reset: its client takes nothing */
    loop_timer_t write_timer; /* the client takes no bytes */
    conn_stall_t stall;
    backlog_t backlog; /* towards the client, while write_timer runs */
};

/* ---- http2_server.c ---- */

/* Runs http2_turn at the end of this loop turn. */
void http2_schedule(http2_conn_t *conn);
static inline uint64_t http2_now(const http2_conn_t *conn)
{
    return loop_now(conn->client.context->loop);
}

/* ---- http2_stream.c ---- */

/* nghttp2's callbacks for heads, bodies and the end of streams. */
void http2_stream_callbacks(nghttp2_session_callbacks *callbacks);
/* HEADERS or DATA for stream `id` begins: ends the session where the client had closed that stream. */
void http2_stream_frame_begins(http2_conn_t *conn, int32_t id);
/* HEADERS or DATA came to its end (nghttp2_on_frame_recv_callback). */
void http2_stream_frame(http2_conn_t *conn, const nghttp2_frame *frame);
/* HEADERS, DATA or RST_STREAM was put into the output (nghttp2_on_frame_send_callback). */
void http2_stream_frame_sent(http2_conn_t *conn, const nghttp2_frame *frame);
/* Flushes and goes on with the request bodies of touched streams. */
void http2_streams_resume(http2_conn_t *conn);
/* The exchange takes request body again. */
void http2_stream_wake(http2_stream_t *stream);
/* Starts the wait for request body anew. */
void http2_stream_expect_body(http2_stream_t *stream);
/* Marks a stream closed, so that its exchange is ended by http2_streams_end. */
void http2_stream_close(http2_stream_t *stream, exchange_end_t how);
/* Resets a stream and closes it at once, whether or not the client takes the reset. Its exchange is ended in
 * the next turn, as after http2_stream_close. */
void http2_stream_abandon(http2_stream_t *stream, uint32_t code);
/* Ends the exchanges of closed streams; with `flushed` false not those whose last bytes are not yet in the
 * kernel. */
void http2_streams_end(http2_conn_t *conn, bool flushed);

/* ---- http2_response.c ---- */

extern const client_ops_t http2_client_ops;
/* Tells exchanges that wait for room. True where there were any. */
bool http2_streams_room(http2_conn_t *conn);
/* The next n bytes of the response body into `to`, n being at most what http2_stream_available says. */
void http2_stream_take(http2_stream_t *stream, char *to, size_t n);
/* Forgets what is buffered and staged. */
void http2_stream_drop_output(http2_stream_t *stream);
static inline size_t http2_stream_available(const http2_stream_t *stream)
{
    return buffer_size(&stream->out) + stream->staged_bytes;
}

/* ---- http2_malformed.c ---- */

/*
 * The body or the trailers are malformed. Before a response has begun this is answered, and the reset
 * follows; else it cuts the response, or comes behind the whole of it. A request that was refused keeps its
 * first reason.
 */
void http2_malformed_refuse(http2_stream_t *stream, const fault_t *fault);
/* The last of the answer to a malformed request goes out now, without END_STREAM. */
void http2_malformed_answered(http2_stream_t *stream);
/* A PING was answered. False: it is none of ours. */
bool http2_malformed_pong(http2_conn_t *conn, const uint8_t ping[8]);

/* ---- http2_rest.c ---- */

/* The response has ended before the request. Closes `stream`, whose exchange ends complete; what still comes
 * for it goes to the functions below. */
void http2_rest_begin(http2_stream_t *stream);
/* n bytes came for stream `id`. False: it is none whose rest is thrown away. */
bool http2_rest_take(http2_conn_t *conn, int32_t id, size_t n);
/* Its client sends more than one field section behind the head: it is reset with PROTOCOL_ERROR. */
void http2_rest_refuse(http2_conn_t *conn, int32_t id);
/* Its client has ended: it is reset with PROTOCOL_ERROR where its Content-Length says more. */
void http2_rest_ended(http2_conn_t *conn, int32_t id);
bool http2_rest_is_open(const http2_conn_t *conn, int32_t id);
/* nghttp2 has let go of stream `id`. */
void http2_rest_closed(http2_conn_t *conn, int32_t id);
void http2_rests_end(http2_conn_t *conn);

/* ---- http2_fault.c ---- */

/* An error of the connection (RFC 9113 section 5.4.1). */
typedef struct http2_fault {
    uint32_t code;
    fault_t fault;
    bool framed; /* the last frame that came is at fault */
} http2_fault_t;

/* Why the guard, or who feeds it, had enough. */
#define HTTP2_CALM_BUCKET "Control frames, resets, empty DATA and heads over the limits come too fast."
#define HTTP2_CALM_HEAD   "A field section is more than 16 times as large as limits.head_size."

/* Remembers frames, for what is said of a fault. */
void http2_fault_callbacks(nghttp2_session_callbacks *callbacks);
/* The guard's current frame is at fault, whether or not nghttp2 has seen it. */
void http2_fault_at_guard(http2_conn_t *conn);
/* What it is that the guard does not let pass, in its current frame. */
http2_fault_t http2_fault_of_guard(http2_conn_t *conn, http2_guard_result_t verdict);
/* nghttp2 found `frame` wrong with `error`. The access line of a request that it refuses is written here. */
void http2_fault_of_frame(http2_conn_t *conn, const nghttp2_frame *frame, int error);
/* What it is that nghttp2 fails with `error` where it was given `data`. */
http2_fault_t http2_fault_of_feed(ssize_t error, str_t data);
/* nghttp2 sends GOAWAY: says why, where that is an error. */
void http2_fault_goaway(http2_conn_t *conn, const nghttp2_goaway *goaway);
/* Says and counts the error that ends the connection, the first one only; `words` are nghttp2's, if any. The
 * access lines of its open streams will have it too. */
void http2_fault_say(http2_conn_t *conn, const http2_fault_t *fault, str_t words);

/* ---- http2_output.c ---- */

void http2_output_callbacks(nghttp2_session_callbacks *callbacks);
/* Takes frames from nghttp2 as long as there is room for them. False: nghttp2 failed for good. */
MUST_USE bool http2_output_gather(http2_conn_t *conn);
/* Appends a GOAWAY made by hand. */
void http2_output_goaway(http2_conn_t *conn, uint32_t code, const char *reason);
/* Writes what is gathered. CONN_OK: all of it. */
MUST_USE conn_result_t http2_output_write(http2_conn_t *conn);
static inline bool http2_output_pending(const http2_conn_t *conn)
{
    return http2_outbox_pending(&conn->output);
}

#endif
