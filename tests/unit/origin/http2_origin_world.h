/*
 * A world for tests of the HTTP/2 client: a context without a process, exchanges whose clients the test plays
 * (exchange_world.h), and an origin on loopback that speaks through nghttp2, or writes raw bytes.
 */
#ifndef BOXEDGE_HTTP2_ORIGIN_WORLD_H
#define BOXEDGE_HTTP2_ORIGIN_WORLD_H

#include "exchange_world.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <nghttp2/nghttp2.h>

#include "http2_client.h"
#include "target.h"

#define PEER_STREAMS 512

/* The origin's view of one stream, and the bytes that it still sends there. */
typedef struct peer_stream {
    char fields[4096]; /* "name: value\n" */
    char trailers[512];
    size_t body;
    char first[65536]; /* of the body */
    bool head, ended, reset;
    uint32_t code;
    size_t left;         /* bytes of 'y' that it sends yet */
    const char *trailer; /* its value, sent as "grpc-status" after them; NULL: none */
} peer_stream_t;

/* One connection, from the origin's view. */
typedef struct peer {
    int fd;
    nghttp2_session *session;
    peer_stream_t *streams[PEER_STREAMS]; /* by id / 2 */
    bool eof, goaway;
} peer_t;

typedef struct origin_world {
    context_fixture_t *fixture;
    int listener;
    uint16_t port;
} origin_world_t;

typedef exchange_world_t call_t;

origin_world_t *origin_world_new(void);
void origin_world_free(origin_world_t *world);
loop_t *world_loop(origin_world_t *world);

/* An exchange that has not started yet. */
call_t *call_new(origin_world_t *world, const char *method);
call_t *call_start(origin_world_t *world, const char *method);
void call_free(call_t *call);
void call_send(call_t *call, str_t data);
void call_end(call_t *call);
peer_stream_t *peer_stream(peer_t *peer, int32_t id);

/* A connection that the edge has made; NULL: none came. With `speaks` false it is raw. */
peer_t *peer_try_accept(origin_world_t *world, bool speaks, uint32_t streams);
peer_t *peer_accept_as(origin_world_t *world, bool speaks, uint32_t streams);
peer_t *peer_accept(origin_world_t *world);
void peer_free(peer_t *peer);

/* All of it, or the test fails. */
void peer_write(origin_world_t *world, peer_t *peer, const void *bytes, size_t n);

/* One turn of the edge, and the origin's pending reads and writes. */
void pump(origin_world_t *world, peer_t *peer);

#define TURN_UNTIL(world, condition)                                                                         \
    do {                                                                                                     \
        uint64_t until_ = loop_precise_us() + 30000000;                                                      \
        while (!(condition)) {                                                                               \
            loop_turn(world_loop(world), 1);                                                                 \
            assert_true(loop_precise_us() < until_);                                                         \
        }                                                                                                    \
    } while (0)

#define PUMP_UNTIL(world, peer, condition)                                                                   \
    do {                                                                                                     \
        uint64_t until_ = loop_precise_us() + 30000000;                                                      \
        while (!(condition)) {                                                                               \
            pump(world, peer);                                                                               \
            assert_true(loop_precise_us() < until_);                                                         \
        }                                                                                                    \
    } while (0)

/* Answers with that many bytes of 'y', and a trailer if one is given. */
void peer_answer(peer_t *peer, int32_t id, const char *status, size_t body, const char *trailer);

#endif
