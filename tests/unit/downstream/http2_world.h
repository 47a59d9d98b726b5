/*
 * A world for tests of the HTTP/2 server: a context with a loop, a server on one end of a socket pair, an
 * nghttp2 client on the other, and an origin that the test plays. Included by tests of http2_server only.
 */
#ifndef HTTP2_WORLD_H
#define HTTP2_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client.h"
#include "context.h"
#include "http2_server_internal.h"
#include "pipeline.h"
#include "step.h"

#define WORLD_STREAMS 512

/* The client's view of one of its streams. */
typedef struct seen {
    int status;
    unsigned informational; /* 1xx heads */
    char fields[2048];      /* "name: value\n" of the final head */
    char trailers[512];
    size_t body;
    char first[4096]; /* of the body */
    bool head_came;   /* the final one */
    bool ended;       /* END_STREAM */
    bool closed;
    bool reset;
    uint32_t code;
    const char *upload; /* bytes that the client's data source still has */
    size_t upload_left;
    bool upload_open; /* more may come: deferred instead of ended */
} seen_t;

typedef struct world {
    loop_t *loop;
    conf_t conf;
    counters_t counters;
    context_t own;
    context_t *context; /* `own`, unless the test provides another one */
    client_t *server;
    int fd; /* the client's end */
    nghttp2_session *client;
    bool eof;      /* the server ended its direction */
    bool reads;    /* the client takes bytes */
    bool consumes; /* and gives windows back */
    bool goaway;
    uint32_t goaway_code;
    unsigned goaways;
    uint64_t bytes_in;
    seen_t *seen; /* WORLD_STREAMS, by stream id / 2 */
    unsigned window_updates;
    uint64_t window_given; /* for streams */

    /* The origin that the test plays. */
    exchange_t *last; /* the latest exchange */
    unsigned started, cancelled, resumed;
    bool answer_at_once; /* 200 "ok" from the step */
    bool waits;          /* the step waits */
    size_t origin_room;  /* the result of origin_ops.room */
    size_t
        refuses_at; /* at the flush of that many body bytes it answers 413 instead of continuing; 0: never */
    size_t taken;
    char request_body[4096];
    bool request_ended;
} world_t;

size_t origin_room(const exchange_t *ex);
bool origin_sent(const exchange_t *ex);
void origin_nothing(exchange_t *ex);

/* Responses of the played origin. */
void origin_head(exchange_t *ex, int status, uint64_t length, bool bodyless, bool tunnel);
void origin_body(exchange_t *ex, const char *bytes, size_t n);
void origin_end(exchange_t *ex);
seen_t *world_seen(world_t *world, int32_t id);
void world_turn(world_t *world);
bool client_receives(world_t *world);

/* Turns the loop and moves bytes until nothing happens any more. */
void world_pump(world_t *world);

/* Turns the loop until `condition` holds; fails the test after `ms`. */
#define world_until(world, condition, ms)                                                                    \
    do {                                                                                                     \
        uint64_t end_ = loop_precise_us() + (uint64_t)(ms)*1000;                                             \
        for (world_pump(world); !(condition); world_pump(world)) {                                           \
            assert_true(loop_precise_us() < end_);                                                           \
            loop_turn((world)->loop, 5);                                                                     \
        }                                                                                                    \
    } while (0)

void world_start(world_t *world);
/* The same with `context`, zero-filled, for tests of features. */
void world_start_in(world_t *world, context_t *context, const pipeline_t *pipeline);

/* Connects, after the test has set limits. */
void http2_world_connect(world_t *world);
bool world_closed(const world_t *world);

/* Ends the connection at both ends; asserts that it left no memory. Another one may follow. */
void http2_world_disconnect(world_t *world);
void world_stop(world_t *world);
nghttp2_nv nv(const char *name, const char *value);

/* A request without a body. Returns the stream's id. */
int32_t world_raw_request(world_t *world, const nghttp2_nv *nva, size_t n);

#define WORLD_EXTRA 200

int32_t world_request(world_t *world, const char *method, const char *path, const nghttp2_nv *extra,
                      size_t n);

/* A request with a body that the client sends as windows allow; `open`: its end is not sent. */
int32_t world_raw_upload(world_t *world, const nghttp2_nv *nva, size_t count, const char *body, size_t n,
                         bool open);
int32_t world_upload(world_t *world, const nghttp2_nv *extra, size_t extra_count, const char *body, size_t n,
                     bool open);

/* The open upload sends that many more; `open` as before. */
void world_upload_more(world_t *world, int32_t id, const char *body, size_t n, bool open);

/* Literal fields of a request. */
#define NV(n, v)                                                                                             \
    {                                                                                                        \
        .name = (uint8_t *)(n), .namelen = sizeof(n) - 1, .value = (uint8_t *)(v), .valuelen = sizeof(v) - 1 \
    }
#define METHOD    NV(":method", "GET")
#define SCHEME    NV(":scheme", "https")
#define AUTHORITY NV(":authority", "a-1.test")
#define PATH      NV(":path", "/")

/* The fields of a list of at most 8; a field without a name ends it earlier. */
size_t world_nv_count(const nghttp2_nv *nva);

/* Raw bytes from the client, past its session. */
void world_raw(world_t *world, const void *bytes, size_t n);

/* A world for each test: *state. */
int world_set_up(void **state);
int world_tear_down(void **state);

#endif
