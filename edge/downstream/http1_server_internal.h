/*
 * What the files of the HTTP/1 server share (http1_server.c, http1_server_read.c, http1_server_write.c);
 * nobody else's.
 */
#ifndef BOXEDGE_HTTP1_SERVER_INTERNAL_H
#define BOXEDGE_HTTP1_SERVER_INTERNAL_H

#include "backlog.h"
#include "buffer.h"
#include "chunked.h"
#include "client.h"
#include "context.h"
#include "exchange.h"
#include "http1_writer.h"
#include "linger.h"

/* Bytes of further requests that are taken while one is answered. */
#define PIPELINE_BYTES 32768
/* Bytes of a request's rest that are thrown away where nothing more is waited for. */
#define REST_BYTES 262144
/* An idle connection lives on so long when the edge drains, for a request that is on its way. */
#define DRAIN_IDLE_MS 1000

typedef enum server_state { SERVER_IDLE, SERVER_HEAD, SERVER_EXCHANGE, SERVER_LINGER } server_state_t;

typedef enum request_body { REQUEST_NONE, REQUEST_LENGTH, REQUEST_CHUNKED, REQUEST_RAW } request_body_t;

typedef struct http1_server http1_server_t;

/* The rest of a request that was answered before its end. */
typedef struct server_rest {
    linger_t linger;
    http1_server_t *server;
} server_rest_t;

/* What one exchange needs; in its arena. */
typedef struct message {
    http1_server_t *server;
    http1_writer_t writer;
    loop_timer_t write_timer;
    conn_stall_t stall;
    backlog_t backlog; /* towards the client */
    loop_task_t task;
    request_body_t body; /* REQUEST_NONE once it has ended */
    uint64_t remaining;
    chunked_t chunked;
    bool response_ended; /* send_end was called */
    bool cut;            /* the response will not be completed */
    bool broken;         /* because the client is gone */
    bool until_close;    /* the response's end is the connection's */
    bool starved;        /* the exchange found no room */
    bool refused;        /* what the client still sends is no request */
} message_t;

/* As small as can be, since idle connections are many. */
struct http1_server {
    client_t client;
    server_state_t state : 8;
    bool keep_alive;
    bool draining;
    bool eof;           /* the client ended its direction */
    uint32_t head_seen; /* HEAD: bytes of it that were looked at */
    buffer_t in;
    exchange_t *ex;     /* NULL between two exchanges */
    message_t *message; /* of ex */
    union {
        loop_timer_t read_timer; /* but in LINGER */
        server_rest_t *rest;     /* LINGER */
    };
};
_Static_assert(sizeof(void *) != 8 || sizeof(http1_server_t) <= 160, "a size class of jemalloc");

extern const client_ops_t http1_server_ops;

static inline loop_t *loop_of(http1_server_t *server)
{
    return server->client.context->loop;
}

/* Of what lies on the connection and belongs to no exchange yet. */
static inline account_t *account_of(http1_server_t *server)
{
    return &server->client.account;
}

static inline const conf_t *conf_of(const http1_server_t *server)
{
    return server->client.context->conf;
}

/* Runs what cannot be done while calls of the exchange are on the stack, at the end of the turn. */
void http1_server_later(http1_server_t *server);
/* Ends everything; the server is gone after it. */
void http1_server_destroy(http1_server_t *server);

/* Throws away a part of the rest of a request whose response is out. */
void http1_server_linger(http1_server_t *server);

/* ---- http1_server_read.c ---- */

/* Request body (or a tunnel's bytes) may still come. */
bool http1_server_body_pending(const http1_server_t *server);
/* And the exchange takes it: to the end of the response; in a tunnel, whose directions end apart, also after
 * it. */
bool http1_server_takes_body(const http1_server_t *server);
/* Sets the interest in reading and the timer that goes with it. */
void http1_server_update_reading(http1_server_t *server);
/* The empty line that some clients send behind a body (RFC 9112 section 2.2), with nothing after it: no head
 * has begun. */
bool http1_server_is_filler(str_t data);
/* `data` begins with a head; `kept` says that it lies in server->in. */
void http1_server_take_head(http1_server_t *server, str_t data, bool kept);
/* Request body: given to the exchange as far as it has room, kept beyond. */
void http1_server_take_body(http1_server_t *server, str_t data);
void http1_server_readable(void *owner);
void http1_server_hangup(void *owner, bool reset);

/* ---- http1_server_write.c ---- */

void http1_server_flush(http1_server_t *server);
void http1_server_writable(void *owner);

#endif
