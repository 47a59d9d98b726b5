/*
 * HTTP/2 towards origins, as its files share it. Nobody else includes this.
 *
 *   http2_origins.c        a worker's connections, and which of them a request takes
 *   http2_origin_open.c    how one begins: TCP, TLS, the session
 *   http2_origin.c         one connection: its reads and writes, how it ends
 *   http2_origin_kernel.c  the kernel's bytes of one that stands still: whose they are
 *   http2_client.c         one attempt at a request: what the exchange calls, second attempts, failures
 *   http2_client_stream.c  the attempt's stream: nghttp2's callbacks for heads and bodies
 *   http2_response_head.c  fields to a response head
 *
 * What always holds:
 * - nghttp2 is never entered twice: origin->receiving and origin->sending say that it runs. Whatever follows
 *   from a call of the exchange's (frames to write, windows to give back) waits for the end of the turn.
 * - A connection is freed only from its own handlers, its task or its timer, never below an exchange_* call.
 * - nghttp2 knows an attempt as the user data of its stream, and forgets it when the attempt lets go.
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

/* Requests at a time on one connection, where its origin allows as many; more make another connection. */
#define HTTP2_ORIGIN_STREAMS 100
/* Connections without a request, at most; the one that has been so for longest is closed. */
#define HTTP2_ORIGIN_IDLE_MAX 1024
/* Connections of one target that are looked at for one with room. */
#define HTTP2_ORIGIN_LOOKS 64
/* What an origin may send ahead for all streams. It is given back for each byte that comes; each stream has a
 * window of its own (http2_window.h), which is what is held for it at most. */
#define HTTP2_ORIGIN_WINDOW (2 * HTTP2_WINDOW_MAX)
/* Of the sentence that says why a connection is broken. */
#define HTTP2_ORIGIN_FAULT 200
/* Frames that wait in nghttp2 for an origin that does not read. */
#define HTTP2_ORIGIN_QUEUE_FRAMES 2048
/* Interim responses before the final one, at most. */
#define HTTP2_INFORMATIONAL_MAX 16
/* The most that http2_client_t.output counts: the kernel holds little more for a connection. */
#define HTTP2_OUTPUT_KNOWN 262144
/* Body bytes kept for a second attempt. */
#define HTTP2_RESEND_BYTES 32768

typedef enum http2_origin_state {
    HTTP2_ORIGIN_CONNECTING,
    HTTP2_ORIGIN_HANDSHAKE, /* of TLS */
    HTTP2_ORIGIN_OPEN,
    HTTP2_ORIGIN_LEAVING, /* takes no more requests: GOAWAY came, or the box has moved */
} http2_origin_state_t;

/* Bytes that the kernel holds for a connection. */
typedef struct http2_kernel {
    backlog_t backlog;
    account_t account; /* of the box: for bytes of no request that is still there */
    uint32_t rest;     /* counted to `account` */
    bool still;        /* the origin took nothing between the last two looks */
    uint64_t written;
    uint64_t taken;   /* of `written`, by the origin's kernel: at the last look */
    size_t untaken;   /* the others */
    size_t unwatched; /* written since the last watch began, or ended */
} http2_kernel_t;

typedef struct http2_origin {
    http2_origins_t *origins;
    struct http2_origin *next; /* of the chain */
    struct http2_origin **prev_next;
    list_t idle_link;       /* of origins->idle, while it has no request */
    origin_target_t target; /* the key; its name is the one below */
    uint64_t hash;
    char name[ORIGIN_NAME_MAX];

    http2_origin_state_t state;
    conn_t *conn;
    SSL *ssl;                 /* for the handshake, until that begins; NULL: in the clear */
    nghttp2_session *session; /* from OPEN on */
    http2_memory_t memory;    /* the session's */
    uint64_t counted;         /* of it, to the worker's account */
    http2_guard_t guard;
    http2_outbox_t output;
    http2_kernel_t kernel;
    bool receiving, sending;
    bool settings_came;
    bool failed;                    /* to be closed: nghttp2 failed, the origin went over a bound, or it
                                       stands still and has no request */
    char fault[HTTP2_ORIGIN_FAULT]; /* why it is broken: a sentence; "" where that is not known */
    bool refused;      /* over TLS, with a fatal alert: it may judge our certificate after the handshake */
    uint32_t limit;    /* requests at a time */
    uint32_t load;     /* those that wait, and streams that nghttp2 has not closed */
    uint64_t asked_ms; /* the first write since something came or all was taken; 0: none */
    uint64_t idle_ms;  /* since when it has no request */
    uint64_t announced_ms;  /* when our SETTINGS went */
    uint32_t round_trip_ms; /* until their ACK came; 0: it has not */
    list_t waiting;         /* http2_client_t.link: for the connection to be there */
    list_t clients;         /* the same, with a stream */
    list_t touched;         /* http2_client_t.touched: response body came, or may go on */
    list_t roomy;           /* http2_client_t.roomy: request body left, and there is room */
    loop_task_t task;
    loop_timer_t timer; /* of being idle */
} http2_origin_t;

typedef enum http2_client_state {
    HTTP2_CLIENT_WAITING, /* for a connection */
    HTTP2_CLIENT_HEAD,    /* the request goes out, no final head yet */
    HTTP2_CLIENT_BODY,
    HTTP2_CLIENT_OVER, /* it has let go */
} http2_client_state_t;

/* One attempt; a second one begins in the same place. */
typedef struct http2_client {
    exchange_t *ex;
    http2_origin_t *origin; /* NULL when OVER, or where all came and only the client is waited for */
    http2_client_state_t state;
    int32_t id; /* of its stream; 0 while WAITING */
    list_t link, touched, roomy;
    loop_timer_t timer; /* of connecting, of the request's body, or of the first byte */

    bool reused;         /* the connection was there before */
    bool keep_body;      /* all of the body that came is in ex->held */
    bool wrote;          /* the head went into the output */
    bool deferred;       /* nghttp2 waits for nghttp2_session_resume_data */
    bool request_ended;  /* END_STREAM went into the output */
    bool response_ended; /* END_STREAM came */
    bool reset;          /* RST_STREAM came */
    bool closed;         /* nghttp2 has closed the stream */
    size_t sent;         /* bytes of ex->held that nghttp2 has taken */
    uint32_t output;     /* bytes of its frames, up to HTTP2_OUTPUT_KNOWN */
    uint32_t kernel;     /* bytes that the kernel holds for it, counted to ex->account */
    unsigned informational;

    http2_head_t head; /* the head's, then the trailers' */
    response_t response;
    pieces_t in; /* response body that the client has no room for */
    http2_window_t window;
    size_t passed; /* to the client since the window was last looked at */
} http2_client_t;

/* ---- http2_origins.c ---- */

/*
 * Chooses a connection for the attempt, or makes one, and puts the attempt into its `waiting`. `fresh`: none
 * that was there before. False: there is none, and *error is an errno value, or 0 where the address is the
 * edge's own.
 */
MUST_USE bool http2_origins_attach(http2_origins_t *origins, http2_client_t *client, bool fresh, int *error);
/* Takes a connection out of the table; it is not chosen any more. */
void http2_origins_forget(http2_origin_t *origin);
/* It has no request. */
void http2_origins_rest(http2_origin_t *origin);
context_t *http2_origins_context(const http2_origins_t *origins);
static inline context_t *http2_origin_context(const http2_origin_t *origin)
{
    return http2_origins_context(origin->origins);
}

/* ---- http2_origin_open.c ---- */

/* Begins to connect to origin->target, with origin->ssl. False with errno where that failed at once. */
MUST_USE bool http2_origin_connect(http2_origin_t *origin);

/* ---- http2_origin.c ---- */

void http2_origin_callbacks(nghttp2_session_callbacks *callbacks);
/* There is something to read. May free the connection. */
void http2_origin_readable(http2_origin_t *origin);
/* The end of a turn, or there is room to write. May free the connection. */
void http2_origin_turn(http2_origin_t *origin);
/* Runs the end of the turn. */
void http2_origin_schedule(http2_origin_t *origin);
/* Why its connection is broken, or about to be: a sentence. The first one stays. */
void http2_origin_blame(http2_origin_t *origin, const char *reason);
/* Sends the request of an attempt that waits; the connection is open. */
void http2_origin_submit(http2_origin_t *origin, http2_client_t *client);
/* What the origin may do in return for what it got. */
void http2_origin_earn(http2_origin_t *origin, http2_guard_event_t event);
/* Closes a connection: what its requests come to is told to each. */
void http2_origin_close(http2_origin_t *origin);

/* ---- http2_origin_kernel.c ---- */

/* `n` bytes went to the kernel; `blocked`: it had no room before. */
void http2_origin_wrote(http2_origin_t *origin, size_t n, bool blocked);
/* Gives back all that is counted for the connection. Idempotent. */
void http2_origin_unwatch(http2_origin_t *origin);
/* A request has left the connection's lists. What the kernel still holds of it counts to the box. */
void http2_origin_left(http2_origin_t *origin, http2_client_t *client);

/* ---- http2_client.c ---- */

/* An attempt from a list, taken off it. Each is called back once: whoever begins again does so elsewhere. */
static inline http2_client_t *http2_client_take(list_t *list)
{
    http2_client_t *client = CONTAINER_OF(http2_client_t, link, list->next);
    list_unlink(&client->link);
    return client;
}
/* The whole response is here: what becomes of the connection concerns it no more. */
void http2_client_orphan(http2_client_t *client);
/* Gives the origin up; the exchange answers with this or is cut. */
/* The same for an answer that is wrong; the reason is said. It need not outlive the call. */
void http2_client_bad_response(http2_client_t *client, const char *reason);
/* The same with a failure of its own. */
void http2_client_wrong(http2_client_t *client, const char *reason, origin_failure_t failure);
void http2_client_fail(http2_client_t *client, origin_failure_t failure);
/* The connection could not be made: `error` as of http2_origins_attach, or EPROTO for TLS. */
void http2_client_connect_failed(http2_client_t *client, int error);
/* The connection ended before a head: sent again where that is safe, else failed. */
void http2_client_lost(http2_client_t *client);
/* The origin has not looked at the request (RFC 9113 section 8.7): sent again where the body is still here.
 */
void http2_client_refused(http2_client_t *client);
/* A stream was made for it. */
void http2_client_sending(http2_client_t *client);
/* Body bytes that came and that nghttp2 has not taken yet. */
size_t http2_client_unsent(const http2_client_t *client);
/* Some of the body was taken, or came: an origin that takes nothing for as long as it may take to answer is
 * given up. */
void http2_client_watch_upload(http2_client_t *client);
/* A final head came. */
void http2_client_answered(http2_client_t *client);
/* The response is complete. */
void http2_client_finish(http2_client_t *client);

/* ---- http2_client_stream.c ---- */

void http2_client_callbacks(nghttp2_session_callbacks *callbacks);
/* HEADERS or DATA came to its end, or RST_STREAM came. */
void http2_client_frame(http2_origin_t *origin, const nghttp2_frame *frame);
/* HEADERS or DATA went into the output. */
void http2_client_frame_sent(http2_origin_t *origin, const nghttp2_frame *frame);
/* How nghttp2 reads a request's body. */
ssize_t http2_client_read_body(nghttp2_session *session, int32_t id, uint8_t *bytes, size_t n,
                               uint32_t *flags, nghttp2_data_source *source, void *user_data);
/* Passes on what was held, flushes, gives windows back: for all touched attempts. */
void http2_clients_resume(http2_origin_t *origin);
/* Tells exchanges that there is room for request body. True where there were any. */
bool http2_clients_room(http2_origin_t *origin);
void http2_client_touch(http2_client_t *client);
/* Passes on what was held, as far as the client has room. */
void http2_client_drain(http2_client_t *client);

#endif
