/*
 * Whether an HTTP/2 connection makes progress, over all of its requests (relief.h). While memory is short, it
 * first loses the streams without progress. A client could open as many again immediately, so a connection
 * that holds memory again and has moved no byte since is closed itself.
 *
 * Pure: time is a parameter, in monotonic ms.
 */
#ifndef BOXEDGE_HTTP2_PROGRESS_H
#define BOXEDGE_HTTP2_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Body bytes, in either direction and over all requests, that make progress. */
#define HTTP2_PROGRESS_BYTES 4096
/* A shorter time without requests does not make a connection fresh. */
#define HTTP2_PROGRESS_REST_MS 5000

typedef struct http2_progress {
    uint64_t moved_ms; /* of the last progress; at first, of the connection's start */
    uint64_t busy_ms;  /* of the first request after the last full rest */
    uint64_t rest_ms;  /* end of the last request */
    uint64_t taken_ms; /* with `taken`: when relief first took streams */
    uint32_t bytes;    /* since the last progress */
    bool taken;        /* relief took streams, and no progress was made since */
} http2_progress_t;

void http2_progress_init(http2_progress_t *progress, uint64_t now);
/* A request came while none was open. */
void http2_progress_busy(http2_progress_t *progress, uint64_t now);
/* The last open request has ended. */
void http2_progress_rest(http2_progress_t *progress, uint64_t now);
/* Bytes of bodies moved. */
void http2_progress_moved(http2_progress_t *progress, size_t bytes, uint64_t now);
/* An origin's response was sent completely: progress, however short it is. */
void http2_progress_answered(http2_progress_t *progress, uint64_t now);
/* Relief took streams, or found the connection stuck. */
void http2_progress_taken(http2_progress_t *progress, uint64_t now);

/* Whether a connection with requests has had some since `before` or earlier, without progress. So a client
 * cannot feign progress by replacing its streams before each is stalled. */
bool http2_progress_is_stuck(const http2_progress_t *progress, uint64_t before);
/* Whether relief took streams at `before` or earlier, and no progress was made since. */
bool http2_progress_is_over(const http2_progress_t *progress, uint64_t before);

#endif
