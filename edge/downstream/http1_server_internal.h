/*
 * Shared by http1_server.c, http1_server_read.c and http1_server_write.c only.
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

/* Bytes of later requests that are buffered during an exchange. */
#define PIPELINE_BYTES 32768
/* Maximum bytes of a request's rest that are discarded before an immediate close. */
#define REST_BYTES 262144
/* Life of an idle connection after a drain has begun, for a request already under way. */
#define DRAIN_IDLE_MS 1000

typedef enum server_state { SERVER_IDLE, SERVER_HEAD, SERVER_EXCHANGE, SERVER_LINGER } server_state_t;

typedef enum request_body { REQUEST_NONE, REQUEST_LENGTH, REQUEST_CHUNKED, REQUEST_RAW } request_body_t;

typedef struct http1_server http1_server_t;

/* The rest of a request that was answered before its end. */
typedef struct server_rest {
    linger_t linger;
    http1_server_t *server;
} server_rest_t;

/* The codec's state of one exchange, in its arena. */
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
    bool until_close;    /* the end of the connection ends the response */
    bool starved;        /* the exchange found no room */
    bool refused;        /* the client's further bytes are not a request */
} message_t;

/* As small as possible, because idle connections are many. */
struct http1_server {
    client_t client;
    server_state_t state : 8;
    bool keep_alive; /* announced, once the response's head is out */
    bool draining;
    bool eof;           /* the client ended its direction */
    uint32_t head_seen; /* HEAD: bytes of the head that were scanned */
    buffer_t in;
    exchange_t *ex;     /* NULL between exchanges */
    message_t *message; /* of ex */
    union {
        loop_timer_t read_timer; /* unless in LINGER */
        server_rest_t *rest;     /* in LINGER */
    };
};
_Static_assert(sizeof(void *) != 8 || sizeof(http1_server_t) <= 160, "a size class of jemalloc");

extern const client_ops_t http1_server_ops;

static inline loop_t *loop_of(http1_server_t *server)
{
    return server->client.context->loop;
}

/* Account for bytes on the connection that belong to no exchange yet. */
static inline account_t *account_of(http1_server_t *server)
{
    return &server->client.account;
}

static inline const conf_t *conf_of(const http1_server_t *server)
{
    return server->client.context->conf;
}

/* Schedules, for the end of the turn, the work that must not run below calls of the exchange. */
void http1_server_later(http1_server_t *server);
/* Ends the exchange and the connection, and frees the server. */
void http1_server_destroy(http1_server_t *server);

/* Reads and discards part of the rest of an answered request. */
void http1_server_linger(http1_server_t *server);

/* ---- http1_server_read.c ---- */

/* More request body (or tunnel bytes) may arrive. */
bool http1_server_body_pending(const http1_server_t *server);
/* The exchange also takes such bytes: until the end of the response; in a tunnel, whose directions end
 * separately, even later. */
bool http1_server_takes_body(const http1_server_t *server);
/* Sets read interest and its timer. */
void http1_server_update_reading(http1_server_t *server);
/* The empty line that some clients send after a body (RFC 9112 section 2.2), and no byte of a head. */
bool http1_server_is_filler(str_t data);
/* `data` begins with a head; `kept`: it lies in server->in. */
void http1_server_take_head(http1_server_t *server, str_t data, bool kept);
/* Passes request body to the exchange as far as it has room, and keeps the rest. */
void http1_server_take_body(http1_server_t *server, str_t data);
void http1_server_readable(void *owner);
void http1_server_hangup(void *owner, bool reset);

/* ---- http1_server_write.c ---- */

void http1_server_flush(http1_server_t *server);
void http1_server_writable(void *owner);

#endif
