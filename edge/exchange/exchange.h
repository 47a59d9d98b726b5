/*
 * An exchange: one request and its response, from the first header byte to the log line (docs/design.md, "One
 * exchange").
 *
 * It stands between two codecs that know nothing of each other. The client codec (http1_server, http2_server)
 * makes the exchange when a head is complete and turns the response into bytes; the origin codec
 * (http1_client, or a local answer) does the same towards the box. Bodies flow through sinks: whoever has
 * bytes asks the other side's `room`, gives at most that many, and flushes. A sink that had no room says so
 * later, when it has (exchange_response_room, exchange_request_room_grew). Tunnels are the same with both
 * bodies unframed.
 *
 *   client codec --exchange_request_*-->  exchange  --origin_ops--> origin codec
 *   client codec <--client_ops----------  exchange  <--exchange_response_*-- origin codec
 *
 * Calls nest: exchange_start may answer at once through client_ops before it returns. Two rules keep that
 * safe: a client codec never calls exchange_end from within one of its ops or with an exchange_* call of its
 * own on the stack (it defers to the end of the turn), and slices given to a sink live only until its flush
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
#include "loop.h"
#include "message.h"
#include "origin_failure.h"
#include "remote.h"
#include "resend.h"
#include "slots.h"
#include "store.h"
#include "str.h"

/* Bytes of a body held in one direction of one exchange, at most. */
#define EXCHANGE_BODY_BYTES 65536
typedef struct request_head request_head_t;

/* What an exchange calls on the client's side. */
typedef struct client_ops {
    /* A 1xx other than 101 (100 included, sent only where the client waits for it or the box sent one). */
    void (*send_informational)(exchange_t *ex, int status, const fields_t *fields);
    /* The final head, from ex->response. */
    void (*send_head)(exchange_t *ex);
    /* How many body bytes send_body takes now; 0 means wait for exchange_response_room. */
    size_t (*room)(const exchange_t *ex);
    void (*send_body)(exchange_t *ex, str_t data);
    /* The response is complete; ex->response.trailers may hold trailers. For a tunnel: the box ended its
     * direction. */
    void (*send_end)(exchange_t *ex);
    /* Writes what the calls above staged. */
    void (*flush)(exchange_t *ex);
    /* The response cannot be completed: cut it so that the client notices (reset the stream; close without
     * the last chunk). */
    void (*cut)(exchange_t *ex);
    /* There is room again for request body: read on. */
    void (*resume_request)(exchange_t *ex);
} client_ops_t;

/* What an exchange calls on the origin's side, once ex->origin_ops is set. */
typedef struct origin_ops {
    size_t (*room)(const exchange_t *ex);
    void (*send_body)(exchange_t *ex, str_t data);
    void (*send_end)(exchange_t *ex); /* trailers in ex->request.trailers; for a tunnel: half-close */
    void (*flush)(exchange_t *ex);
    /* Everything that was sent has been handed to the kernel, or never will be. Asked of tunnels only. */
    bool (*sent)(const exchange_t *ex);
    /* The client has room again for response body. */
    void (*resume_response)(exchange_t *ex);
    /* The exchange ends or gives up this origin: let go of everything; nothing is called back after it. */
    void (*cancel)(exchange_t *ex);
    /*
     * The box is elsewhere `now`. Where no byte of the request was sent, ex->box becomes that and the origin
     * begins again there; true, also where it failed at once. NULL: it never does.
     */
    bool (*again)(exchange_t *ex, const store_box_t *now, uint64_t epoch);
} origin_ops_t;

typedef enum exchange_end {
    EXCHANGE_END_COMPLETE,    /* the response's last byte was handed to the kernel */
    EXCHANGE_END_CLIENT_GONE, /* the client left, timed out, or broke the protocol */
    EXCHANGE_END_CUT,         /* the response was cut by the edge (after client_ops.cut) */
} exchange_end_t;

/* One step of an exchange (step_result_t). */
typedef struct exchange_step {
    const char *name;
    step_result_t (*run)(exchange_t *ex);
} exchange_step_t;

typedef enum exchange_state {
    EXCHANGE_HEAD,     /* the codec fills the request */
    EXCHANGE_STEPS,    /* a step runs or waits */
    EXCHANGE_ORIGIN,   /* the request was handed to an origin; no final head yet */
    EXCHANGE_RESPONSE, /* the head went to the client */
    EXCHANGE_TUNNEL,   /* a WebSocket: raw bytes both ways */
    EXCHANGE_DONE,     /* the response is complete or was cut; only exchange_end is left */
} exchange_state_t;

/* What came of an exchange whose box did not run, or not yet. */
typedef enum wake_outcome {
    WAKE_OUTCOME_NONE,    /* its box ran */
    WAKE_OUTCOME_OK,      /* it waited, and its box woke */
    WAKE_OUTCOME_FAILED,  /* it waited, and its box did not wake, or not in time */
    WAKE_OUTCOME_PAGE,    /* it got the waiting page */
    WAKE_OUTCOME_REFUSED, /* it may not wake its box, or too many wait */
    WAKE_OUTCOME_LEFT,    /* its client left while it waited */
} wake_outcome_t;

/* Durations in microseconds since the head was complete; 0: did not happen. */
typedef struct exchange_times {
    uint64_t start_us; /* loop_precise_us when the head was complete */
    uint64_t wall_us;
    uint32_t connect_us;    /* a fresh origin connection was ready */
    uint32_t first_byte_us; /* the origin's head came */
} exchange_times_t;

/* Of origin_target_t.name, in bytes. */
#define ORIGIN_NAME_MAX (CONF_NAME_MAX + 17)

/*
 * Where a request goes: set by the step that chooses (the port of a box, a server of an upstream), read by
 * the origin codecs. Connections are pooled by name, generation and port, never by address alone.
 */
typedef struct origin_target {
    str_t name; /* a box's id, or that of an upstream, which begins with '=' as no box does */
    uint64_t generation;
    uint16_t port;
    uint16_t connect_port;   /* where the connection goes; differs from `port` for boxes at a fixed port */
    struct in6_addr address; /* IPv4 as mapped IPv6 */
    bool is_box;
    bool turned;          /* `address` is the other loopback address than the box's */
    bool pool_after_body; /* the server reads every body to its end, by its operator's word */
    bool h2;              /* HTTP/2, with prior knowledge */
    bool tls;             /* to server `server` of upstream `upstream` (origin_tls.h) */
    uint16_t upstream;
    uint16_t server;
    uint32_t first_byte_ms; /* from the end of the request */
    /*
     * The attempt failed before a response. True: ex->target is another server, which is to be tried, or the
     * exchange was answered. NULL: there is one place only, where the codec's own rule (resend.h) may try
     * again. Where it is set, what a response means depends on its request, which stays until the end.
     */
    bool (*elsewhere)(exchange_t *ex, const resend_facts_t *facts);
    struct origin_tls *origin_tls; /* where `tls`; borrowed for as long as the exchange goes there */
} origin_target_t;

struct exchange {
    arena_t arena;
    context_t *context;
    client_t *client;        /* the connection */
    remote_t remote;         /* the client, by remote.h */
    account_t account;       /* of all that it holds; its share is that of its box, once that is known */
    account_t named;         /* between that and the connection's, where a trusted proxy names the client */
    arena_mark_t arena_seen; /* up to where the arena is counted */
    uint64_t arena_bytes;    /* counted so far */
    uint64_t progress_ms;    /* loop_now when it last got further (exchange_progress) */
    uint32_t moved;          /* bytes since then */
    exchange_state_t state;
    exchange_end_t end;          /* by exchange_end */
    const exchange_step_t *step; /* runs or waits */

    const client_ops_t *client_ops;
    void *codec;
    const origin_ops_t *origin_ops; /* NULL: no origin took it yet */
    void *origin;

    request_t request;
    request_head_t *head; /* of a large head (request_head.h); NULL: it lies in `arena`, or was freed */
    response_t response;
    bool request_complete;  /* exchange_request_end was called */
    bool response_complete; /* client_ops.send_end was called */

    store_preview_t preview; /* by the route step */
    store_box_t box;
    uint64_t box_epoch;     /* of the store, when `box` was read or before */
    bool internal;          /* the edge's own, for another exchange (subrequest.h): no access line */
    bool routed;            /* preview and box are set */
    struct api *api;        /* of an exchange with the API; NULL: it is none */
    origin_target_t target; /* once an origin was chosen */
    buffer_t held;          /* request body taken and not yet passed on, or kept to be sent again */
    str_t reply_rest;       /* of the body of a local answer: what the client had no room for yet */
    bool sent_again;        /* a second attempt was made */
    bool continued;         /* 100 (Continue) went out */
    bool preflight;         /* let through without credentials: of its answer only the head comes back */
    str_t session_cookie;   /* Set-Cookie of the edge's own, for the response's head; empty: none */
    void *tunnel;           /* frame tracker while a tunnel is open */
    struct activity_entry *activity; /* in that of its box (activity.h), once the request goes there */
    const struct listening
        *listening; /* its box refused: what listens there (listening.h); NULL: not known */
    bool explained; /* the reason of its failure was looked for (refused.h) */

    await_t await; /* of its step */

    slot_claim_t slots;     /* of connections to origins */
    struct wake_turn *wake; /* NULL: it never waited for its box */
    uint64_t wake_began_ms; /* loop_now when it began to wait; 0: did not */
    struct {
        uint32_t resume_ms; /* until its box ran */
        uint32_t listen_ms; /* until its port listened after that */
        uint32_t waited_ms; /* by this exchange */
        uint32_t went_us;   /* since the head was complete, when it went on to its box */
        bool woken;         /* it waited, and went on to its box */
        wake_outcome_t outcome;
    } wake_times;

    char request_id[37];
    const char *detail; /* why it is refused or failed, where more is known than the code says; else NULL */
    const char *local_code; /* the stable word of an answer that the edge made, else NULL */
    int status;             /* sent; 0: none */
    uint64_t request_bytes; /* of the body, taken from the client */
    uint64_t response_bytes;
    exchange_times_t times;
    char origin_text[64]; /* "10.0.0.7:3000", where one was tried */
};

/* ---- the client codec's calls ---- */

/*
 * A new exchange for `client`. `codec` is the codec's own (a stream, a connection): ex->codec. The codec
 * fills ex->request with slices of ex->arena, then calls exchange_start, or exchange_refuse where the head
 * was bad.
 */
exchange_t *exchange_new(client_t *client, const client_ops_t *ops, void *codec);
void exchange_start(exchange_t *ex);
/*
 * The two halves of exchange_start: body bytes that came with the head can be given between them, in the same
 * turn. So the head that goes to the origin can say how long a complete body is. exchange_go is a no-op where
 * the exchange was answered since exchange_begin.
 */
void exchange_begin(exchange_t *ex);
void exchange_go(exchange_t *ex);
/* The same for a request of the edge's own: at a step of its choice, under the id of the request that it is
 * for. */
void exchange_start_at(exchange_t *ex, const exchange_step_t *step, const char *request_id);
/*
 * Answers in place of starting: a request that the codec found wrong (400, 408, 414, 431, 501...). `code` is
 * the stable word of docs/http.md, `sentence` is shown, and what `fault` (may be NULL) knows beyond it. The
 * access line is written at exchange_end as for any other.
 */
void exchange_refuse(exchange_t *ex, int status, const char *code, const char *sentence,
                     const fault_t *fault);

/* Ends a request that the codec refused without reading its head, and that gets no answer: the access line
 * and the log say why. Frees and nulls. */
void exchange_refuse_unread(exchange_t **ex, const char *code, const fault_t *fault);

/* Counts what the arena has grown by to ex->account. The exchange does so itself whenever it waits for
 * others; a codec where it lets an exchange wait. Cheap where nothing has grown. */
void exchange_count(exchange_t *ex);
/* Gives back what was allocated from the arena and is not needed any more (arena_give_back). */
void exchange_give_back(exchange_t *ex, const void *bytes);
/* Bytes of a body went on to the client's kernel or came from it. An exchange that holds memory and does not
 * get further for EXCHANGE_STALL_MS is the first to go when memory is short (relief.h); a few bytes now and
 * then are no progress. */
void exchange_progress(exchange_t *ex, size_t bytes);
#define EXCHANGE_STALL_MS 5000
/* Whether an exchange holds memory and has not got further since `before` (loop_now). */
static inline bool exchange_is_stalled(const exchange_t *ex, uint64_t before)
{
    return ex->state > EXCHANGE_HEAD && ex->progress_ms <= before;
}
/* Its box is known: what it holds counts to the share of that box too. */
void exchange_set_share(exchange_t *ex, str_t box);
/*
 * Answers an error from a step or an origin: JSON for programs, a page for a navigation (docs/http.md,
 * "Errors"). `retry_after` in seconds; 0: none.
 */
void exchange_reply_error(exchange_t *ex, int status, const char *code, const char *sentence,
                          unsigned retry_after);
/* The same with further fields (WWW-Authenticate, Allow...). */
void exchange_reply_error_with(exchange_t *ex, int status, const char *code, const char *sentence,
                               const fields_t *extra);
/* A page of the edge's own in place of an error: like exchange_reply_error_with, for a navigation. */
void exchange_reply_page(exchange_t *ex, int status, const char *code, const fields_t *extra, str_t html);
/*
 * Answers with a body that is complete now. `fields` (may be NULL) are added to Content-Type and
 * Content-Length; slices must live as long as the arena. HEAD gets no body. ex->local_code is set by the
 * caller where it wants one.
 */
void exchange_reply(exchange_t *ex, int status, str_t content_type, const fields_t *fields, str_t body);

/* How many request body bytes are taken now. After 0, client_ops.resume_request says when to go on. */
size_t exchange_request_room(const exchange_t *ex);
void exchange_request_body(exchange_t *ex, str_t data);
/* The request is complete (trailers, if any, in ex->request.trailers). For a tunnel: the client ended its
 * direction. */
void exchange_request_end(exchange_t *ex);
/* Call once after a batch of exchange_request_body/_end. */
void exchange_request_flush(exchange_t *ex);
/* The client took bytes: there is room again for response body. */
void exchange_response_room(exchange_t *ex);
/*
 * The edge is about to end: a tunnel is closed with code 1012 between two frames, at a time spread over the
 * drain period. Others go on. To be called by the codec for each of its exchanges when its client is drained.
 */
void exchange_drain(exchange_t *ex);
/*
 * The client ended its direction after a whole request. It may still want the response, or have gone: that
 * shows only when something is sent to it. Where no response has begun it gets a 102 (Processing, RFC 2518
 * section 10.1): a client that is there passes over it, and the kernel of one that is gone resets the
 * connection, which its codec then reports as its end.
 */
void exchange_client_half_closed(exchange_t *ex);
/* Logs, releases everything that the exchange holds, frees it and nulls. */
void exchange_end(exchange_t **ex, exchange_end_t how);

/* ---- the origin codec's calls ---- */

void exchange_response_informational(exchange_t *ex, int status, const fields_t *fields);
/* ex->response is filled. */
void exchange_response_head(exchange_t *ex);
size_t exchange_response_body_room(const exchange_t *ex);
void exchange_response_body(exchange_t *ex, str_t data);
void exchange_response_end(exchange_t *ex);
void exchange_response_flush(exchange_t *ex);
/* The origin takes request body again, or has handed the last of it to the kernel. */
void exchange_request_room_grew(exchange_t *ex);
/* A connection for the exchange is there, or will not come, and nothing was sent on it. False: the exchange
 * was answered, or has begun again; the codec has nothing more to do with it. */
MUST_USE bool exchange_origin_connected(exchange_t *ex);
/* No connection could be made; exchange_origin_failed, or another attempt, follows. */
void exchange_origin_unreachable(exchange_t *ex);
/* Whether connections that the exchange leaves may carry others. */
bool exchange_may_pool(const exchange_t *ex);
/* The origin failed and has let go of the exchange: before a head this is answered (502, 504), after it the
 * response is cut. */
void exchange_origin_failed(exchange_t *ex, origin_failure_t failure);

#endif
