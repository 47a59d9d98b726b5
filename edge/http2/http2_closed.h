/*
 * The closed streams that may still get frames. nghttp2 forgets a stream when it closes and ignores later
 * frames for it. But only frames that were under way when the edge reset a stream are innocent. A client that
 * continues a stream that it ended or reset itself breaks RFC 9113 section 5.1.
 *
 * The table keeps the last HTTP2_CLOSED_KEPT streams that the edge reset. Older ones cannot be distinguished
 * any more: every stream up to the highest forgotten id gets the benefit of the doubt.
 */
#ifndef BOXEDGE_HTTP2_CLOSED_H
#define BOXEDGE_HTTP2_CLOSED_H

#include <stdbool.h>
#include <stdint.h>

#define HTTP2_CLOSED_KEPT 32

/* All-zero is empty. */
typedef struct http2_closed {
    int32_t ids[HTTP2_CLOSED_KEPT];
    uint32_t next;
    int32_t forgotten; /* the highest id that was dropped */
} http2_closed_t;

/* Records that the edge reset stream `id` (over 0). Idempotent. */
void http2_closed_reset(http2_closed_t *closed, int32_t id);
/* Whether frames for the closed stream `id` may have been under way. */
bool http2_closed_tolerates(const http2_closed_t *closed, int32_t id);

#endif
