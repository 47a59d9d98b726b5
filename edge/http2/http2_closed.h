/*
 * Which closed streams may still get frames. nghttp2 forgets a stream when it closes and ignores what comes
 * for it later. But only frames that were under way when we reset a stream are innocent; a client that goes
 * on with a stream that it ended or reset itself breaks RFC 9113 section 5.1.
 *
 * The last HTTP2_CLOSED_KEPT streams that we reset are remembered. What was reset before them is told apart
 * no longer: every stream up to the oldest that was forgotten is given the benefit of the doubt.
 */
#ifndef BOXEDGE_HTTP2_CLOSED_H
#define BOXEDGE_HTTP2_CLOSED_H

#include <stdbool.h>
#include <stdint.h>

#define HTTP2_CLOSED_KEPT 32

/* Zero-filled is empty. */
typedef struct http2_closed {
    int32_t ids[HTTP2_CLOSED_KEPT];
    uint32_t next;
    int32_t forgotten; /* the highest id that had to make room */
} http2_closed_t;

/* We reset stream `id` (over 0). Said twice is said once. */
void http2_closed_reset(http2_closed_t *closed, int32_t id);
/* True where frames for the closed stream `id` may have been under way. */
bool http2_closed_tolerates(const http2_closed_t *closed, int32_t id);

#endif
