/*
 * The memory of one nghttp2 session: its streams, both HPACK tables, heads and frames not sent yet. Every
 * piece carries its size, so that the sum is exact.
 */
#ifndef BOXEDGE_HTTP2_MEMORY_H
#define BOXEDGE_HTTP2_MEMORY_H

#include <nghttp2/nghttp2.h>

#include <stdint.h>

/* Must outlive the session. */
typedef struct http2_memory {
    nghttp2_mem functions; /* for http2_session_new */
    uint64_t bytes;        /* held now */
} http2_memory_t;

void http2_memory_init(http2_memory_t *memory);

#endif
