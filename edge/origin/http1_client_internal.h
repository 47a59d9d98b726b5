/*
 * What the files of the HTTP/1 client share; nobody else's.
 *
 *   http1_client.c          sends: one attempt at a request, its failures, its end
 *   http1_client_read.c     receives
 *   http1_client_connect.c  connections: how an attempt gets one, and what becomes of it
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

/* Interim responses before the final one, at most. */
#define INFORMATIONAL_MAX 16
/* Body bytes kept for a second attempt. */
#define RESEND_BODY_BYTES 32768

typedef enum attempt_state {
    ATTEMPT_NONE,
    ATTEMPT_CONNECTING,
    ATTEMPT_HANDSHAKE, /* of TLS */
    ATTEMPT_HEAD,      /* the request goes out, no final head yet */
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
    bool keep_body;    /* ex->held is kept for a second attempt */
    bool write_broken; /* the box takes no more; it may still answer */
    bool ended;        /* a tunnel's box ended its direction */
    bool half_close;   /* a tunnel's client ended: SHUT_WR once all is written */
    unsigned informational;
    http1_writer_t writer;
    loop_timer_t timer; /* of connecting, of the request's body, of the first byte, or of a tunnel's rest */
    conn_stall_t stall; /* of an upload */
    backlog_t backlog;  /* of the connection, while it stands still */
    uint64_t watched;   /* bytes written when its watch began */
    buffer_t in;        /* an incomplete head, or body that the client had no room for */
    size_t head_seen;
    http1_response_head_t head;
    body_framing_t framing;
    uint64_t remaining;
    chunked_t chunked;
    char websocket_key[25];
} http1_client_t;

/* ---- http1_client.c ---- */

extern const conn_handlers_t http1_client_handlers;

/* Drops the attempt's connection and buffers. */
void http1_client_drop(http1_client_t *client);
/* The connection is there: sends the request. */
void http1_client_send(http1_client_t *client);
/* The attempt failed before a response. True: the exchange goes to another server of the API, or was answered
 * since. */
bool http1_client_elsewhere(http1_client_t *client);
/* Gives the origin up; the exchange answers with this or is cut. */
void http1_client_fail(http1_client_t *client, origin_failure_t failure);
/* The connection ended before a response: sent again where that is safe, else failed. */
void http1_client_lost(http1_client_t *client);
/* The response is complete, and `left` bytes came after it. The connection goes back to the pool where its
 * next use is unambiguous. */
void http1_client_finish(http1_client_t *client, size_t left);
/* The connection has moved, or stopped: what the kernel holds for it counts as long as it stands still. */
void http1_client_watch(http1_client_t *client);
/* Both sides of a tunnel have ended: what the client sent last must leave in time. */
void http1_client_watch_rest(http1_client_t *client);

/* ---- http1_client_connect.c ---- */

/* Begins an attempt; `fresh`: not on a pooled connection. */
void http1_client_attempt(http1_client_t *client, bool fresh);
/* The connection was made, or failed. */
void http1_client_connected(http1_client_t *client);
/* There is something to read or write in the handshake of TLS. */
void http1_client_handshake(http1_client_t *client);

typedef enum http1_next_use { HTTP1_USE_AGAIN, HTTP1_USE_RETIRED, HTTP1_USE_NEVER } http1_next_use_t;

/* What becomes of a connection once its attempt is over. */
typedef struct http1_parting {
    http1_next_use_t use;
    uint32_t idle_ms; /* with HTTP1_USE_AGAIN */
    bool much;        /* so much was written that the kernel may hold it still */
    bool whole;       /* the request is: an app may want all of it, whatever became of its client */
} http1_parting_t;

/* Of an attempt that was given up. */
http1_parting_t http1_client_parting(const http1_client_t *client);
/* Of one whose response is complete, with `left` bytes behind it. */
http1_parting_t http1_client_parting_answered(const http1_client_t *client, size_t left);
/* Lets the connection go so, and nulls it. */
void http1_client_part(exchange_t *ex, conn_t **conn, const http1_parting_t *parting);

/* ---- http1_client_read.c ---- */
void http1_client_readable(void *owner);
/* The box has gone while nothing was read from it (conn_handlers_t.hangup). */
void http1_client_hangup(void *owner, bool reset);
/* The client has room again (origin_ops_t.resume_response). */
void http1_client_resume(exchange_t *ex);

#endif
