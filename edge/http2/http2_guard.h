/*
 * What an HTTP/2 connection may ask of the edge beside requests: one token bucket a connection, and a scanner
 * that walks the frame headers of what the client sends before nghttp2 sees it, so that every frame is
 * charged whatever nghttp2 makes of it (docs/http.md, "HTTP/2").
 *
 * Pure: bytes and time are parameters. How prices were chosen stands in http2_guard.c.
 */
#ifndef BOXEDGE_HTTP2_GUARD_H
#define BOXEDGE_HTTP2_GUARD_H

#include "str.h"

/* Tokens: what a bucket holds at most, and what it gains in a millisecond. */
#define HTTP2_GUARD_BURST         20000
#define HTTP2_GUARD_TOKENS_PER_MS 2
#define HTTP2_GUARD_FRAME_HEADER  9
/* Encoded bytes of one field block (HEADERS and its CONTINUATIONs), at most. */
#define HTTP2_GUARD_BLOCK_BYTES 65536

typedef enum http2_guard_event {
    HTTP2_GUARD_RESET,     /* a stream was reset, by the client or by us because of what it sent */
    HTTP2_GUARD_OVERSIZE,  /* a head was over the limits: decoded, but for nothing */
    HTTP2_GUARD_DATA_SENT, /* earns: the client may answer a DATA frame with window updates */
    HTTP2_GUARD_COMPLETED, /* earns: a response was sent to its end */
    HTTP2_GUARD_REQUESTED, /* earns: the origin got a request, which it may refuse or reset */
} http2_guard_event_t;

typedef enum http2_guard_result {
    HTTP2_GUARD_OK,
    HTTP2_GUARD_STREAM,       /* a HEADERS or DATA frame begins: http2_guard_stream says for which stream */
    HTTP2_GUARD_CALM,         /* the bucket is empty: GOAWAY(ENHANCE_YOUR_CALM) */
    HTTP2_GUARD_LONG_BLOCK,   /* a field block is over its bound: the same */
    HTTP2_GUARD_BAD_PRIORITY, /* for no stream, or a stream that depends on itself: GOAWAY(PROTOCOL_ERROR).
                                 nghttp2, told that priorities of RFC 7540 are not used, does not look */
} http2_guard_result_t;

typedef struct http2_guard {
    uint64_t now; /* ms, of the last refill */
    int32_t tokens;
    uint32_t preface_left; /* bytes of the client's preface that have not come */
    uint32_t payload_left; /* of the current frame */
    uint32_t block_bytes;  /* of the current field block */
    uint8_t header[HTTP2_GUARD_FRAME_HEADER];
    uint8_t header_len; /* 9 while inside a frame's payload */
    uint8_t parent_len; /* bytes of a PRIORITY frame's dependency that came */
    uint32_t parent;
    bool block_open; /* HEADERS came without END_HEADERS */
    bool shared; /* by its owner, after init: many clients share the connection, and one must not empty the
                    bucket of all; only the bounds hold */
    uint32_t blocks; /* field blocks that began, modulo 2^32 */
} http2_guard_t;

/* A full bucket at the start of a connection; `now` in monotonic ms. */
void http2_guard_init(http2_guard_t *guard, uint64_t now);
/*
 * Walks the next n bytes from the client, in order, any cut: *taken of them, all with HTTP2_GUARD_OK. With
 * HTTP2_GUARD_STREAM it stops behind that frame's header; call it again for the rest.
 */
MUST_USE http2_guard_result_t http2_guard_scan(http2_guard_t *guard, const char *data, size_t n, uint64_t now,
                                               size_t *taken);
/* The type and the stream of the current frame. */
static inline uint8_t http2_guard_type(const http2_guard_t *guard)
{
    return guard->header[3];
}
uint32_t http2_guard_stream(const http2_guard_t *guard);
/* Charges or earns for something that the scanner cannot see. */
MUST_USE http2_guard_result_t http2_guard_note(http2_guard_t *guard, http2_guard_event_t event, uint64_t now);
/* True while a field block has begun and has not ended: the head timeout runs. */
bool http2_guard_in_block(const http2_guard_t *guard);

#endif
