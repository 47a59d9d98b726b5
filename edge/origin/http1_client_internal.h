/*
 * Shared by the files of the HTTP/1 client only.
 *
 *   http1_client.c          sending: an attempt at a request, its failures, its end
 *   http1_client_read.c     receiving
 *   http1_client_connect.c  connections: how an attempt gets one and returns it
 */
#ifndef BOXEDGE_HTTP1_CLIENT_INTERNAL_H
#define BOXEDGE_HTTP1_CLIENT_INTERNAL_H

#include "backlog.h"
#include "buffer.h"
#include "chunked.h"
#include "conn.h"
#include "exchange.h"
#include "http1_response.h"
#include "http1_writer.h"

/* Maximum interim responses before the final one. */
#define INFORMATIONAL_MAX 16
/* Maximum body bytes kept for a second attempt. */
#define RESEND_BODY_BYTES 32768

typedef enum attempt_state {
    ATTEMPT_NONE,
    ATTEMPT_CONNECTING,
    ATTEMPT_HANDSHAKE, /* of TLS */
    ATTEMPT_HEAD,      /* sending the request, no final head yet */
    ATTEMPT_BODY,
    ATTEMPT_RAW, /* a tunnel */
    ATTEMPT_OVER,
} attempt_state_t;

typedef enum body_framing { BODY_NONE, BODY_LENGTH, BODY_CHUNKED, BODY_UNTIL_CLOSE } body_framing_t;

typedef struct http1_client {
    exchange_t *ex;
    conn_t *conn;
    attempt_state_t state;
    bool reused;
    bool keep_body;    /* ex->held keeps the body for a second attempt */
    bool write_broken; /* the box takes no more bytes; it may still answer */
    bool ended;        /* the box ended its direction of a tunnel */
    bool half_close;   /* the client ended its direction of a tunnel: SHUT_WR once all is written */
    unsigned informational;
    http1_writer_t writer;
    loop_timer_t timer; /* for connecting, the request's body, the first byte, or the rest of a tunnel */
    conn_stall_t stall; /* while uploading */
    backlog_t backlog;  /* of a stalled connection */
    uint64_t watched;   /* bytes written when the backlog watch began */
    buffer_t in;        /* an incomplete head, or body for which the client had no room */
    size_t head_seen;
    uint64_t connect_us; /* loop_precise_us at the start of a fresh connection */
    http1_response_head_t head;
    body_framing_t framing;
    uint64_t remaining;
    chunked_t chunked;
    char websocket_key[25];
} http1_client_t;

/* ---- http1_client.c ---- */

extern const conn_handlers_t http1_client_handlers;

/* Releases the attempt's connection and buffers. */
void http1_client_drop(http1_client_t *client);
/* Sends the request on the established connection. */
void http1_client_send(http1_client_t *client);
/* The attempt failed before a response. True: a new attempt to another API server has begun, or the exchange
 * has been answered. */
bool http1_client_elsewhere(http1_client_t *client);
/* Gives up the origin. The exchange answers with `failure`, or its response is cut. */
void http1_client_fail(http1_client_t *client, origin_failure_t failure);
/* The connection ended before a response: resends the request if that is safe, else fails. */
void http1_client_lost(http1_client_t *client);
/* The response is complete, and `left` bytes follow it. The connection returns to the pool if its next use is
 * unambiguous. */
void http1_client_finish(http1_client_t *client, size_t left);
/* The connection made progress or stalled: while stalled, the kernel's bytes count to the exchange. */
void http1_client_watch(http1_client_t *client);
/* Both sides of a tunnel have ended: limits the time for sending the client's last bytes. */
void http1_client_watch_rest(http1_client_t *client);

/* ---- http1_client_connect.c ---- */

/* Begins an attempt; `fresh` excludes pooled connections. */
void http1_client_attempt(http1_client_t *client, bool fresh);
/* Connecting succeeded or failed. */
void http1_client_connected(http1_client_t *client);
/* The socket is ready during the TLS handshake. */
void http1_client_handshake(http1_client_t *client);

typedef enum http1_next_use { HTTP1_USE_AGAIN, HTTP1_USE_RETIRED, HTTP1_USE_NEVER } http1_next_use_t;

/* The fate of a connection after its attempt. */
typedef struct http1_parting {
    http1_next_use_t use;
    uint32_t idle_ms; /* with HTTP1_USE_AGAIN */
    bool much;        /* enough bytes were written that the kernel may still hold some */
    bool whole;       /* the request was sent whole: the app may want all of it even if the client is gone */
} http1_parting_t;

/* For an abandoned attempt. */
http1_parting_t http1_client_parting(const http1_client_t *client);
/* For a complete response with `left` bytes behind it. */
http1_parting_t http1_client_parting_answered(const http1_client_t *client, size_t left);
/* Releases the connection accordingly, and nulls it. */
void http1_client_part(exchange_t *ex, conn_t **conn, const http1_parting_t *parting);

/* ---- http1_client_read.c ---- */
void http1_client_readable(void *owner);
/* The box went away while reading was stopped (conn_handlers_t.hangup). */
void http1_client_hangup(void *owner, bool reset);
/* The client has room again (origin_ops_t.resume_response). */
void http1_client_resume(exchange_t *ex);

#endif
