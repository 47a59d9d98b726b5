/*
 * Shared by the files of the HTTP/2 client only.
 *
 *   http2_origins.c        a worker's connections, and the choice of one for a request
 *   http2_origin_open.c    opening a connection: TCP, TLS, the session
 *   http2_origin.c         one connection: its reads, its writes, its end
 *   http2_origin_kernel.c  accounting of the kernel's bytes of a stalled connection
 *   http2_client.c         one attempt at a request: the exchange's calls, second attempts, failures
 *   http2_client_stream.c  the attempt's stream: nghttp2's callbacks for heads and bodies
 *
 * Invariants:
 * - nghttp2 is never entered twice: origin->receiving and origin->sending mark a running call. Results of the
 *   exchange's calls (frames to write, windows to renew) wait for the end of the turn.
 * - A connection is freed only from its own handlers, its task or its timer, never below an exchange_* call.
 * - nghttp2 holds an attempt as the user data of its stream, and forgets it when the attempt detaches.
 */
#ifndef BOXEDGE_HTTP2_CLIENT_INTERNAL_H
#define BOXEDGE_HTTP2_CLIENT_INTERNAL_H

#include <nghttp2/nghttp2.h>

#include "backlog.h"
#include "context.h"
#include "http2_client.h"
#include "http2_guard.h"
#include "http2_outbox.h"
#include "http2_response_head.h"
#include "http2_session.h"
#include "http2_window.h"
#include "list.h"
#include "pieces.h"

/* Maximum concurrent requests per connection, if its origin allows as many; more open another connection. */
#define HTTP2_ORIGIN_STREAMS 100
/* Maximum connections without a request; the longest unused is closed. */
#define HTTP2_ORIGIN_IDLE_MAX 1024
/* Connections of one target that are checked for room. */
#define HTTP2_ORIGIN_LOOKS 64
/* The connection window: bytes that an origin may send ahead on all streams. Each received byte renews it;
 * the window of each stream (http2_window.h) bounds the bytes held for it. */
#define HTTP2_ORIGIN_WINDOW (2 * HTTP2_WINDOW_MAX)
/* Size of the sentence that explains a broken connection. */
#define HTTP2_ORIGIN_FAULT 200
/* Maximum frames queued in nghttp2 for an origin that does not read. */
#define HTTP2_ORIGIN_QUEUE_FRAMES 2048
/* Maximum interim responses before the final one. */
#define HTTP2_INFORMATIONAL_MAX 16
/* Upper limit of http2_client_t.output: the kernel holds little more for a connection. */
#define HTTP2_OUTPUT_KNOWN 262144
/* Maximum body bytes kept for a second attempt. */
#define HTTP2_RESEND_BYTES 32768

typedef enum http2_origin_state {
    HTTP2_ORIGIN_CONNECTING,
    HTTP2_ORIGIN_HANDSHAKE, /* of TLS */
    HTTP2_ORIGIN_OPEN,
    HTTP2_ORIGIN_LEAVING, /* takes no more requests: GOAWAY received, or the box has moved */
} http2_origin_state_t;

/* Bytes that the kernel holds for a connection. */
typedef struct http2_kernel {
    backlog_t backlog;
    account_t account; /* of the box: for bytes whose request is gone */
    uint32_t rest;     /* counted to `account` */
    bool still;        /* the origin took nothing between the last two checks */
    uint64_t written;
    uint64_t taken;   /* part of `written` that the origin's kernel had taken at the last check */
    size_t untaken;   /* the rest of `written` */
    size_t unwatched; /* bytes written since the last watch began or ended */
} http2_kernel_t;

typedef struct http2_origin {
    http2_origins_t *origins;
    struct http2_origin *next; /* in the hash chain */
    struct http2_origin **prev_next;
    list_t idle_link;       /* in origins->idle, while it has no request */
    origin_target_t target; /* the key; its name points to `name` */
    uint64_t hash;
    char name[ORIGIN_NAME_MAX];

    http2_origin_state_t state;
    conn_t *conn;
    SSL *ssl;                 /* for the coming handshake, then NULL; NULL also without TLS */
    nghttp2_session *session; /* from OPEN on */
    http2_memory_t memory;    /* the session's */
    uint64_t counted;         /* part of it counted to the worker's account */
    http2_guard_t guard;
    http2_outbox_t output;
    http2_kernel_t kernel;
    bool receiving, sending;
    bool settings_came;
    bool failed; /* must be closed: nghttp2 failed, the origin exceeded a bound, or the connection is stalled
                    and unused */
    char fault[HTTP2_ORIGIN_FAULT]; /* why the connection is broken: a sentence; "" if unknown */
    bool refused;   /* by a fatal TLS alert: the origin may check our certificate after the handshake */
    uint32_t limit; /* maximum concurrent requests */
    uint32_t load;  /* waiting requests, and streams that nghttp2 has not closed */
    uint64_t unanswered_ms; /* first write since the last byte or full acknowledgement; 0: none */
    uint64_t connect_us;    /* loop_precise_us at the start of the connection */
    uint64_t idle_ms;       /* when the last request ended */
    uint64_t announced_ms;  /* when our SETTINGS were sent */
    uint32_t round_trip_ms; /* until their ACK arrived; 0: not yet */
    list_t waiting;         /* http2_client_t.link: waiting for the connection */
    list_t clients;         /* http2_client_t.link: with a stream */
    list_t touched;         /* http2_client_t.touched: response body arrived, or can be passed on again */
    list_t roomy;           /* http2_client_t.roomy: request body was sent, and room for more is free */
    loop_task_t task;
    loop_timer_t timer; /* closes an unused connection */
} http2_origin_t;

typedef enum http2_client_state {
    HTTP2_CLIENT_WAITING, /* for the connection */
    HTTP2_CLIENT_HEAD,    /* sending the request, no final head yet */
    HTTP2_CLIENT_BODY,
    HTTP2_CLIENT_OVER, /* detached */
} http2_client_state_t;

/* One attempt. A second one reuses the struct. */
typedef struct http2_client {
    exchange_t *ex;
    http2_origin_t *origin; /* NULL when OVER, or when only the client has yet to take the response */
    http2_client_state_t state;
    int32_t id; /* of the stream; 0 while WAITING */
    list_t link, touched, roomy;
    loop_timer_t timer; /* for connecting, the request's body, or the first byte */

    bool reused;         /* the connection existed before */
    bool keep_body;      /* ex->held has the whole body so far */
    bool wrote;          /* the head is in the output */
    bool deferred;       /* nghttp2 needs nghttp2_session_resume_data to continue */
    bool request_ended;  /* END_STREAM is in the output */
    bool response_ended; /* END_STREAM was received */
    bool reset;          /* RST_STREAM was received */
    bool closed;         /* nghttp2 has closed the stream */
    size_t sent;         /* bytes of ex->held that nghttp2 has taken */
    uint32_t output;     /* bytes of its frames, at most HTTP2_OUTPUT_KNOWN */
    uint32_t kernel;     /* bytes held by the kernel, counted to ex->account */
    unsigned informational;

    http2_head_t head; /* the head's, then the trailers' */
    response_t response;
    pieces_t in; /* response body for which the client has no room */
    http2_window_t window;
    size_t passed; /* bytes passed to the client since the last window update */
} http2_client_t;

/* ---- http2_origins.c ---- */

/*
 * Chooses or opens a connection for the attempt and adds the attempt to its `waiting`. `fresh` excludes open
 * connections. False: none is possible. *error is then an errno value, or 0 if the address is the edge's own.
 */
MUST_USE bool http2_origins_attach(http2_origins_t *origins, http2_client_t *client, bool fresh, int *error);
/* Removes a connection from the table, so that it is not chosen again. */
void http2_origins_forget(http2_origin_t *origin);
/* The connection has no request left. */
void http2_origins_rest(http2_origin_t *origin);
context_t *http2_origins_context(const http2_origins_t *origins);
static inline context_t *http2_origin_context(const http2_origin_t *origin)
{
    return http2_origins_context(origin->origins);
}

/* ---- http2_origin_open.c ---- */

/* Starts connecting to origin->target, with origin->ssl. False with errno on immediate failure. */
MUST_USE bool http2_origin_connect(http2_origin_t *origin);

/* ---- http2_origin.c ---- */

void http2_origin_callbacks(nghttp2_session_callbacks *callbacks);
/* The socket is readable. May free the connection. */
void http2_origin_readable(http2_origin_t *origin);
/* Runs at the end of a turn, and when the socket is writable. May free the connection. */
void http2_origin_turn(http2_origin_t *origin);
/* Schedules http2_origin_turn for the end of the turn. */
void http2_origin_schedule(http2_origin_t *origin);
/* Records why the connection is or will be broken, as a sentence. The first reason stays. */
void http2_origin_blame(http2_origin_t *origin, const char *reason);
/* Sends the request of a waiting attempt on an open connection. */
void http2_origin_submit(http2_origin_t *origin, http2_client_t *client);
/* Extends the guard's allowance after `event`. */
void http2_origin_earn(http2_origin_t *origin, http2_guard_event_t event);
/* Closes a connection and reports the outcome to each of its requests. */
void http2_origin_close(http2_origin_t *origin);

/* ---- http2_origin_kernel.c ---- */

/* `n` bytes went to the kernel; `blocked`: it had no room before. */
void http2_origin_wrote(http2_origin_t *origin, size_t n, bool blocked);
/* Removes everything counted for the connection. Idempotent. */
void http2_origin_unwatch(http2_origin_t *origin);
/* A request has left the connection's lists. The kernel's bytes of it now count to the box. */
void http2_origin_left(http2_origin_t *origin, http2_client_t *client);

/* ---- http2_client.c ---- */

/* Takes the first attempt off a list. Each is called once, because a new attempt joins another connection. */
static inline http2_client_t *http2_client_take(list_t *list)
{
    http2_client_t *client = CONTAINER_OF(http2_client_t, link, list->next);
    list_unlink(&client->link);
    return client;
}
/* Detaches an attempt whose whole response has arrived, so that the connection's end does not affect it. */
void http2_client_orphan(http2_client_t *client);
/* Fails the attempt because of a wrong answer. Reports `reason`, which need not outlive the call. */
void http2_client_bad_response(http2_client_t *client, const char *reason);
/* The same, failing with `failure`. */
void http2_client_wrong(http2_client_t *client, const char *reason, origin_failure_t failure);
/* Gives up the origin. The exchange answers with `failure`, or its response is cut. */
void http2_client_fail(http2_client_t *client, origin_failure_t failure);
/* Connecting failed: `error` as from http2_origins_attach, or EPROTO for TLS. */
void http2_client_connect_failed(http2_client_t *client, int error);
/* The connection ended before a head: resends the request if that is safe, else fails. */
void http2_client_lost(http2_client_t *client);
/* The origin has not processed the request (RFC 9113 section 8.7): resends it if the body is still held. */
void http2_client_refused(http2_client_t *client);
/* The attempt has a stream now. */
void http2_client_sending(http2_client_t *client);
/* Body bytes received that nghttp2 has not taken yet. */
size_t http2_client_unsent(const http2_client_t *client);
/* Body bytes were taken or arrived. An origin that takes none for as long as it may take to answer is given
 * up. */
void http2_client_watch_upload(http2_client_t *client);
/* The final head has arrived. */
void http2_client_answered(http2_client_t *client);
/* The response is complete. */
void http2_client_finish(http2_client_t *client);

/* ---- http2_client_stream.c ---- */

void http2_client_callbacks(nghttp2_session_callbacks *callbacks);
/* HEADERS or DATA is complete, or RST_STREAM was received. */
void http2_client_frame(http2_origin_t *origin, const nghttp2_frame *frame);
/* HEADERS or DATA is in the output. */
void http2_client_frame_sent(http2_origin_t *origin, const nghttp2_frame *frame);
/* Read callback of nghttp2 for a request's body. */
ssize_t http2_client_read_body(nghttp2_session *session, int32_t id, uint8_t *bytes, size_t n,
                               uint32_t *flags, nghttp2_data_source *source, void *user_data);
/* For all touched attempts: passes on held bytes, flushes, renews windows. */
void http2_clients_resume(http2_origin_t *origin);
/* Notifies exchanges of room for request body. True if any was waiting. */
bool http2_clients_room(http2_origin_t *origin);
void http2_client_touch(http2_client_t *client);
/* Passes on held bytes as far as the client has room. */
void http2_client_drain(http2_client_t *client);

#endif
