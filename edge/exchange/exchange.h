/*
 * An exchange: one request and its response, from the first header byte to the log line
 * (docs/internals/exchange.md, "States").
 *
 * It stands between two codecs that know nothing of each other. The client codec (http1_server, http2_server)
 * makes the exchange when a head is complete and turns the response into bytes. The origin codec
 * (http1_client, http2_client, or a local answer) does the same towards the box. Bodies flow through sinks: a
 * producer asks the other side's `room`, gives at most that many bytes, and flushes. A sink that had no room
 * reports later that it has (exchange_response_room, exchange_request_room_grew). Tunnels work the same way
 * with both bodies unframed.
 *
 *   client codec --exchange_request_*-->  exchange  --origin_ops--> origin codec
 *   client codec <--client_ops----------  exchange  <--exchange_response_*-- origin codec
 *
 * Calls nest: exchange_start may answer through client_ops before it returns. Two rules keep that safe. A
 * client codec never calls exchange_end from within one of its ops or with an exchange_* call of its own on
 * the stack; it defers the call to the end of the turn. Slices given to a sink live only until its flush
 * returns.
 */
#ifndef BOXEDGE_EXCHANGE_H
#define BOXEDGE_EXCHANGE_H

#include <netinet/in.h>

#include "arena.h"
#include "await.h"
#include "buffer.h"
#include "conf.h"
#include "fault.h"
#include "field.h"
#include "host_modes.h"
#include "loop.h"
#include "message.h"
#include "origin_failure.h"
#include "remote.h"
#include "resend.h"
#include "shared_preview.h"
#include "slots.h"
#include "store.h"
#include "str.h"

/* Maximum bytes of a body held in one direction of an exchange. */
#define EXCHANGE_BODY_BYTES 65536
typedef struct request_head request_head_t;
typedef struct link_use link_use_t;

/* The client codec's operations, called by the exchange. */
typedef struct client_ops {
    /* Sends a 1xx other than 101. It sends 100 only if the client waits for it or the box sent one. */
    void (*send_informational)(exchange_t *ex, int status, const fields_t *fields);
    /* Sends the final head, from ex->response. */
    void (*send_head)(exchange_t *ex);
    /* The body bytes that send_body takes now. After 0, wait for exchange_response_room. */
    size_t (*room)(const exchange_t *ex);
    /* Stages body bytes, at most `room`. The slice must live until the flush. */
    void (*send_body)(exchange_t *ex, str_t data);
    /* The response is complete; ex->response.trailers may hold trailers. For a tunnel: the box ended its
     * direction. */
    void (*send_end)(exchange_t *ex);
    /* Writes everything that the calls above staged. */
    void (*flush)(exchange_t *ex);
    /* Cuts a response that cannot be completed, visibly to the client: resets the stream, or closes without
     * the last chunk. */
    void (*cut)(exchange_t *ex);
    /* Ends the exchange without the bytes that the client has not taken: resets the connection or the stream,
     * at the end of the turn. NULL: no client waits for the response (subrequest.h). */
    void (*abort)(exchange_t *ex);
    /* The exchange takes more of the request body: read on. */
    void (*resume_request)(exchange_t *ex);
} client_ops_t;

/* The origin codec's operations, called by the exchange once ex->origin_ops is set. */
typedef struct origin_ops {
    /* As in client_ops_t, for the request's body. After a `room` of 0, wait for exchange_request_room_grew.
     */
    size_t (*room)(const exchange_t *ex);
    void (*send_body)(exchange_t *ex, str_t data);
    void (*send_end)(exchange_t *ex); /* trailers in ex->request.trailers; for a tunnel: half-close */
    void (*flush)(exchange_t *ex);
    /* Whether a connection takes the request. NULL: always. */
    bool (*connected)(const exchange_t *ex);
    /* Whether all sent bytes are with the kernel, or never will be. For tunnels only. */
    bool (*sent)(const exchange_t *ex);
    /* The client takes more of the response body. */
    void (*resume_response)(exchange_t *ex);
    /* Releases everything and calls nothing back: the exchange ends or gives up this origin. */
    void (*cancel)(exchange_t *ex);
    /*
     * The box has moved to `now`. If no byte of the request was sent, sets ex->box to `now`, begins again
     * there and returns true, even if the new attempt failed immediately. NULL: the origin cannot begin
     * again.
     */
    bool (*again)(exchange_t *ex, const store_box_t *now, uint64_t epoch);
} origin_ops_t;

typedef enum exchange_end {
    EXCHANGE_END_COMPLETE,    /* the kernel has the response's last byte */
    EXCHANGE_END_CLIENT_GONE, /* the client left, timed out, or broke the protocol */
    EXCHANGE_END_CUT,         /* the edge cut the response (after client_ops.cut) */
} exchange_end_t;

/* One step of an exchange (step_result_t). */
typedef struct exchange_step {
    const char *name;
    step_result_t (*run)(exchange_t *ex);
} exchange_step_t;

typedef enum exchange_state {
    EXCHANGE_HEAD,     /* the codec fills the request */
    EXCHANGE_STEPS,    /* a step runs or waits */
    EXCHANGE_ORIGIN,   /* an origin has the request; no final head yet */
    EXCHANGE_RESPONSE, /* the head went to the client */
    EXCHANGE_TUNNEL,   /* a WebSocket: raw bytes in both directions */
    EXCHANGE_DONE,     /* the response is complete or cut; only exchange_end remains */
} exchange_state_t;

/* Times of an exchange; the durations are in microseconds since `start_us`; 0: did not happen. */
typedef struct exchange_times {
    uint64_t start_us; /* loop_precise_us when the head was complete */
    uint64_t end_us;   /* the same at the end; 0: not yet, or the head never was complete */
    uint64_t wall_us;
    uint32_t head_ms;       /* from the first byte of the head to its last, in milliseconds */
    uint32_t connect_us;    /* a fresh origin connection was ready */
    uint32_t first_byte_us; /* the origin's head came */
} exchange_times_t;

/* Maximum bytes of origin_target_t.name. */
#define ORIGIN_NAME_MAX (CONF_NAME_MAX + 17)

/*
 * The destination of a request. A step chooses it (the port of a box, a server of an upstream), and the
 * origin codecs read it. Connections are pooled by name, generation and port, never by address alone.
 */
typedef struct origin_target {
    str_t name; /* a box's id, or an upstream's, which begins with '=' as no box's does */
    uint64_t generation;
    uint16_t port;
    uint16_t connect_port;   /* the port of the connection; differs from `port` for boxes at a fixed port */
    struct in6_addr address; /* IPv4 as mapped IPv6 */
    bool is_box;
    bool turned;          /* `address` is the box's loopback address in the other family */
    bool pool_after_body; /* the operator declares that the server reads every body to its end */
    bool h2;              /* HTTP/2, with prior knowledge */
    bool tls;             /* to server `server` of upstream `upstream` (origin_tls.h) */
    uint16_t upstream;
    uint16_t server;
    uint32_t first_byte_ms; /* from the end of the request */
    /*
     * The attempt failed before a response. True: ex->target is another server to try, or the exchange was
     * answered. NULL: only one server exists, and the codec's own rule (resend.h) decides about another
     * attempt. If it is set, the meaning of a response depends on its request, which stays until the end.
     */
    bool (*elsewhere)(exchange_t *ex, const resend_facts_t *facts);
    struct origin_tls *origin_tls; /* if `tls`; borrowed while the exchange goes there */
} origin_target_t;

struct exchange {
    arena_t arena;
    context_t *context;
    client_t *client;        /* the connection */
    list_t in_context;       /* among all of its context */
    remote_t remote;         /* the client (remote.h) */
    account_t account;       /* all memory of the exchange; its share is that of its box, once known */
    account_t named;         /* between `account` and the connection's, if a trusted proxy names the client */
    arena_mark_t arena_seen; /* the arena is counted up to here */
    uint64_t arena_bytes;    /* bytes of the arena counted so far */
    uint64_t progress_ms;    /* loop_now at the last progress (exchange_progress) */
    uint32_t moved;          /* bytes since then */
    exchange_state_t state;
    exchange_end_t end;          /* set by exchange_end */
    const exchange_step_t *step; /* the step that runs or waits */

    const client_ops_t *client_ops;
    void *codec;
    const origin_ops_t *origin_ops; /* NULL: no origin yet */
    void *origin;

    request_t request;
    request_head_t *head; /* of a large head (request_head.h); NULL: the head is in `arena`, or was freed */
    response_t response;
    bool request_complete;  /* exchange_request_end was called */
    bool response_complete; /* client_ops.send_end was called */

    const store_preview_t *preview; /* a reference, set by the route step; else preview_none */
    store_box_t box;
    uint64_t box_epoch;     /* of the store, not after `box` was read */
    bool internal;          /* made by the edge for another exchange (subrequest.h): no access line */
    bool routed;            /* preview and box are set */
    struct api *api;        /* state of an exchange with the API, else NULL */
    origin_target_t target; /* once an origin was chosen */
    buffer_t held;          /* request body not passed on yet, or kept to be sent again */
    str_t reply_rest;       /* unsent rest of the body of a local answer */
    bool sent_again;        /* a second attempt was made */
    bool asks_again;        /* its answer may lead to another request with the same head */
    bool tries_host;        /* `host_mode` is tried for this exchange, not known */
    host_mode_t host_mode;  /* of a preview with auto */
    str_t odd_answer;       /* the first bytes, 32 at most, of an answer that was no HTTP; else empty */
    bool continued;         /* 100 (Continue) was sent */
    bool preflight;         /* let through without credentials: only the head of its answer comes back */
    link_use_t *link;       /* the link whose session opened the preview (links.h); NULL: none */
    str_t session_cookie;   /* Set-Cookie of the edge itself, for the response's head; empty: none */
    void *tunnel;           /* frame tracker while a tunnel is open */
    struct activity_entry *activity; /* among those of its box (activity.h), once it goes there */
    struct refusal *refusal;         /* once its box refused it (refused.h); else NULL */
    struct withheld *withheld;       /* the beginning of an answer that is judged (withheld.h); else NULL */

    await_t await; /* its wait: of a step, or after its origin has left */

    slot_claim_t slots;     /* for connections to origins */
    struct wake_turn *wake; /* its wake (wake_times.h); NULL: its box ran already */

    struct trace *trace; /* NULL: not sampled */

    uint16_t flight; /* its record (flights.h); 0: none */

    char request_id[37];
    const char *detail; /* the reason of a refusal or failure, if more specific than the code; else NULL */
    const char *cause;  /* the same for the access line alone (cause.h); else NULL */
    const char *local_code; /* the stable code of an answer that the edge made, else NULL */
    int status;             /* sent; 0: none */
    uint64_t request_bytes; /* of the body, received from the client */
    uint64_t response_bytes;
    exchange_times_t times;
    char origin_text[64]; /* address and port of the origin that was tried, such as "10.0.0.7:3000" */
};

/* ---- calls of the client codec ---- */

/*
 * Makes an exchange for `client`. `codec` is the codec's own object (a stream, a connection), kept in
 * ex->codec. The codec fills ex->request with slices of ex->arena, then calls exchange_start, or
 * exchange_refuse if the head is bad.
 */
exchange_t *exchange_new(client_t *client, const client_ops_t *ops, void *codec);
/* Runs the steps of a checked head. The exchange may have been answered on return. */
void exchange_start(exchange_t *ex);
/*
 * The two halves of exchange_start. Between them, in the same turn, the codec can give body bytes that came
 * with the head, so that the head for the origin can state the length of a complete body. exchange_go is a
 * no-op if the exchange was answered since exchange_begin.
 */
void exchange_begin(exchange_t *ex);
void exchange_go(exchange_t *ex);
/* The same for a request of the edge itself: starts at `step`, under the id of the request that it serves. */
void exchange_start_at(exchange_t *ex, const exchange_step_t *step, const char *request_id);
/*
 * Answers a request that the codec rejects (400, 408, 414, 431, 501...) instead of starting it. `code` is the
 * stable word of docs/http.md; the client sees `sentence`; `fault` (may be NULL) adds details. exchange_end
 * writes the access line as usual.
 */
void exchange_refuse(exchange_t *ex, int status, const char *code, const char *sentence,
                     const fault_t *fault);

/* Ends, without an answer, a request whose head the codec refused to read. The access line and the log state
 * the reason. Frees and nulls. */
void exchange_refuse_unread(exchange_t **ex, const char *code, const fault_t *fault);

/* Adds the growth of the arena to ex->account. The exchange calls it before it waits; a codec calls it when
 * it lets an exchange wait. Cheap if nothing has grown. */
void exchange_count(exchange_t *ex);
/* Frees an allocation of the arena that is no longer needed (arena_give_back). */
void exchange_give_back(exchange_t *ex, const void *bytes);
/* Records that bytes of a body went to the client's kernel or came from it. When memory is short, relief
 * (relief.h) first ends exchanges that hold memory without progress for EXCHANGE_STALL_MS. A trickle of bytes
 * is no progress. */
void exchange_progress(exchange_t *ex, size_t bytes);
#define EXCHANGE_STALL_MS 5000
/* Whether an exchange holds memory and has made no progress since `before` (loop_now). */
static inline bool exchange_is_stalled(const exchange_t *ex, uint64_t before)
{
    return ex->state > EXCHANGE_HEAD && ex->progress_ms <= before;
}
/* Counts the exchange's memory to the share of its box too, once that is known. */
void exchange_set_share(exchange_t *ex, str_t box);
/*
 * Answers an error of a step or an origin: JSON for programs, a page for a navigation (docs/http.md,
 * "Errors"). `retry_after` is in seconds; 0: none.
 */
void exchange_reply_error(exchange_t *ex, int status, const char *code, const char *sentence,
                          unsigned retry_after);
/* The same with additional fields (WWW-Authenticate, Allow...). */
void exchange_reply_error_with(exchange_t *ex, int status, const char *code, const char *sentence,
                               const fields_t *extra);
/* Answers a navigation with `html` as its page; otherwise like exchange_reply_error_with. */
void exchange_reply_page(exchange_t *ex, int status, const char *code, const fields_t *extra, str_t html);
/*
 * Answers with a complete body. Adds `fields` (may be NULL) to Content-Type and Content-Length; slices must
 * live as long as the arena. HEAD gets no body. The caller sets ex->local_code if it needs one.
 */
void exchange_reply(exchange_t *ex, int status, str_t content_type, const fields_t *fields, str_t body);

/* The request body bytes that the exchange takes now. After 0, wait for client_ops.resume_request. */
size_t exchange_request_room(const exchange_t *ex);
/* Bytes of the request's body, at most exchange_request_room. The slice must live until the flush. */
void exchange_request_body(exchange_t *ex, str_t data);
/* The request is complete; ex->request.trailers may hold trailers. For a tunnel: the client ended its
 * direction. */
void exchange_request_end(exchange_t *ex);
/* Call once after each batch of exchange_request_body/_end. */
void exchange_request_flush(exchange_t *ex);
/* The client took bytes and has room for more of the response body. */
void exchange_response_room(exchange_t *ex);
/*
 * Prepares for the end of the edge: the pipeline's hooks may close a tunnel. Other exchanges continue. The
 * codec calls it for each exchange of a drained client.
 */
void exchange_drain(exchange_t *ex);
/*
 * The client ended its direction after a whole request. Only a write shows whether it still wants the
 * response or has gone. If no response has begun, the client gets a 102 (Processing, RFC 2518 section 10.1).
 * A client that is present ignores it. The kernel of one that is gone resets the connection, which the codec
 * then reports as the client's end.
 */
void exchange_client_half_closed(exchange_t *ex);
/* Logs the exchange, releases everything that it holds, frees and nulls. */
void exchange_end(exchange_t **ex, exchange_end_t how);

/* ---- calls of the origin codec ---- */

/* An interim head: 1xx but not 101 (asserted). Drops it if the client may not get it (100 twice, HTTP/1.0).
 */
void exchange_response_informational(exchange_t *ex, int status, const fields_t *fields);
/* The codec has filled ex->response. */
void exchange_response_head(exchange_t *ex);
/* The response body bytes that the client takes now. After 0, wait for origin_ops.resume_response. */
size_t exchange_response_body_room(const exchange_t *ex);
/* Bytes of the response's body, at most exchange_response_body_room. The slice must live until the flush. */
void exchange_response_body(exchange_t *ex, str_t data);
/* The response is complete; for a tunnel: the box ended its direction. */
void exchange_response_end(exchange_t *ex);
/* Call once after each batch of the calls above, except for interim heads. */
void exchange_response_flush(exchange_t *ex);
/* The origin takes request body again, or the kernel has the last of it. */
void exchange_request_room_grew(exchange_t *ex);
/* A connection for the exchange is ready, or none will come, and no byte was sent. False: the exchange was
 * answered or has begun again, and the codec is done with it. */
MUST_USE bool exchange_origin_connected(exchange_t *ex);
/* No connection could be made. exchange_origin_failed, or another attempt, follows. */
void exchange_origin_unreachable(exchange_t *ex);
/* Whether connections that the exchange leaves may serve other exchanges. */
bool exchange_may_pool(const exchange_t *ex);
/* The origin failed and has released the exchange. Before a head, the client gets 502, 503 or 504; afterwards
 * the response is cut. */
void exchange_origin_failed(exchange_t *ex, origin_failure_t failure);

#endif
