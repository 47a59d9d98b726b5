/*
 * Whether one HTTP/2 connection gets further, all of its requests together (relief.h). While memory is short
 * it first loses the streams that got no further. A client could open as many again at once: a connection
 * that holds again and has moved nothing since goes itself.
 *
 * Pure: time is a parameter, in monotonic ms.
 */
#ifndef BOXEDGE_HTTP2_PROGRESS_H
#define BOXEDGE_HTTP2_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Body bytes in either direction, of all requests, that are progress. */
#define HTTP2_PROGRESS_BYTES 4096
/* A shorter time without requests does not make a connection fresh. */
#define HTTP2_PROGRESS_REST_MS 5000

typedef struct http2_progress {
    uint64_t moved_ms; /* of the last progress; at first, of the connection's beginning */
    uint64_t busy_ms;  /* of the first request behind the last whole rest */
    uint64_t rest_ms;  /* when the last request ended */
    uint64_t taken_ms; /* with `taken`: when streams were first taken */
    uint32_t bytes;    /* since the last progress */
    bool taken;        /* streams were taken, and no progress was made since */
} http2_progress_t;

void http2_progress_init(http2_progress_t *progress, uint64_t now);
/* A request came where none was open. */
void http2_progress_busy(http2_progress_t *progress, uint64_t now);
/* The last open request has ended. */
void http2_progress_rest(http2_progress_t *progress, uint64_t now);
/* Bytes of bodies moved. */
void http2_progress_moved(http2_progress_t *progress, size_t bytes, uint64_t now);
/* An origin's response was sent to its end: progress, however short it is. */
void http2_progress_answered(http2_progress_t *progress, uint64_t now);
/* Relief took streams, or found the connection stuck. */
void http2_progress_taken(http2_progress_t *progress, uint64_t now);

/* Of a connection with requests: it has had some since `before` or longer, and made no progress. So streams
 * that a client replaces before each is stalled do not pass for progress. */
bool http2_progress_is_stuck(const http2_progress_t *progress, uint64_t before);
/* Streams were taken at `before` or earlier, and no progress was made since. */
bool http2_progress_is_over(const http2_progress_t *progress, uint64_t before);

#endif
