/*
 * The bounds on an HTTP/2 peer beside its requests: one token bucket per connection, and a scanner that walks
 * the frame headers of the input before nghttp2 sees it. So every frame is charged, however nghttp2 treats it
 * (docs/http.md, "HTTP/2").
 *
 * Pure: bytes and time are parameters. http2_guard.c explains the prices.
 */
#ifndef BOXEDGE_HTTP2_GUARD_H
#define BOXEDGE_HTTP2_GUARD_H

#include "str.h"

/* Tokens: the capacity of a bucket, and its gain per millisecond. */
#define HTTP2_GUARD_BURST         20000
#define HTTP2_GUARD_TOKENS_PER_MS 2
#define HTTP2_GUARD_FRAME_HEADER  9
/* Maximum encoded bytes of one field block (HEADERS and its CONTINUATIONs). */
#define HTTP2_GUARD_BLOCK_BYTES 65536

typedef enum http2_guard_event {
    HTTP2_GUARD_RESET,     /* a stream was reset by the peer, or by the edge because of the peer's frames */
    HTTP2_GUARD_OVERSIZE,  /* a head was over the limits: decoded for nothing */
    HTTP2_GUARD_DATA_SENT, /* earns: the client may answer a DATA frame with window updates */
    HTTP2_GUARD_COMPLETED, /* earns: a response was sent completely */
    HTTP2_GUARD_REQUESTED, /* earns: the origin got a request, which it may refuse or reset */
} http2_guard_event_t;

typedef enum http2_guard_result {
    HTTP2_GUARD_OK,
    HTTP2_GUARD_STREAM,       /* a HEADERS or DATA frame begins; http2_guard_stream has its stream */
    HTTP2_GUARD_CALM,         /* the bucket is empty: GOAWAY(ENHANCE_YOUR_CALM) */
    HTTP2_GUARD_LONG_BLOCK,   /* a field block is over its bound: GOAWAY(ENHANCE_YOUR_CALM) */
    HTTP2_GUARD_BAD_PRIORITY, /* for no stream, or a stream that depends on itself: GOAWAY(PROTOCOL_ERROR).
                                 nghttp2 does not check it once priorities of RFC 7540 are off */
} http2_guard_result_t;

typedef struct http2_guard {
    uint64_t now; /* ms, at the last refill */
    int32_t tokens;
    uint32_t preface_left; /* bytes of the client's preface still to come */
    uint32_t payload_left; /* of the current frame */
    uint32_t block_bytes;  /* of the current field block */
    uint8_t header[HTTP2_GUARD_FRAME_HEADER];
    uint8_t header_len; /* 9 inside a frame's payload */
    uint8_t parent_len; /* bytes of a PRIORITY frame's dependency so far */
    uint32_t parent;
    bool block_open; /* HEADERS came without END_HEADERS */
    bool shared; /* set by its owner after init: many clients share the connection, and one must not empty the
                    bucket of all; only the bounds hold */
    uint32_t blocks; /* field blocks begun, modulo 2^32 */
} http2_guard_t;

/* Starts a connection with a full bucket; `now` is in monotonic ms. */
void http2_guard_init(http2_guard_t *guard, uint64_t now);
/*
 * Walks the next n bytes from the peer, in order, cut anywhere. *taken is the number walked: all with
 * HTTP2_GUARD_OK. HTTP2_GUARD_STREAM stops after that frame's header; call again for the rest.
 */
MUST_USE http2_guard_result_t http2_guard_scan(http2_guard_t *guard, const char *data, size_t n, uint64_t now,
                                               size_t *taken);
/* The type and the stream of the current frame. */
static inline uint8_t http2_guard_type(const http2_guard_t *guard)
{
    return guard->header[3];
}
uint32_t http2_guard_stream(const http2_guard_t *guard);
/* Charges or earns for an event that the scanner cannot see. */
MUST_USE http2_guard_result_t http2_guard_note(http2_guard_t *guard, http2_guard_event_t event, uint64_t now);
/* Whether a field block has begun and not ended: the head timeout runs. */
bool http2_guard_in_block(const http2_guard_t *guard);

#endif
