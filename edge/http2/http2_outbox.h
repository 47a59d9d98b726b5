/*
 * Frames on their way to one HTTP/2 connection, gathered one after the other, so that a turn of the loop
 * sends them in one write. Only a non-empty outbox holds memory.
 */
#ifndef BOXEDGE_HTTP2_OUTBOX_H
#define BOXEDGE_HTTP2_OUTBOX_H

#include <nghttp2/nghttp2.h>

#include "account.h"
#include "conn.h"

/* Maximum bytes gathered for one write: the bytes that conn_write takes in one call. */
#define HTTP2_OUTPUT_BYTES CONN_TURN_BYTES
/* Bytes of a frame's header. */
#define HTTP2_FRAME_HEADER 9

/* Empty if only `account` is set. */
typedef struct http2_outbox {
    char *bytes; /* NULL while empty */
    size_t size, sent, capacity;
    account_t *account; /* counts `capacity` */
} http2_outbox_t;

/* Makes room for n more bytes and returns their place; the caller adds the written bytes to `size`. */
char *http2_outbox_reserve(http2_outbox_t *outbox, size_t n);
/* Appends a DATA frame's header, makes room for its n bytes after it, and returns their place. It keeps the
 * bound, because nghttp2 passes one DATA frame after the other within one call. NULL: the frame must wait
 * (NGHTTP2_ERR_WOULDBLOCK). */
char *http2_outbox_data(http2_outbox_t *outbox, const uint8_t *header, size_t n);
void http2_outbox_append(http2_outbox_t *outbox, const void *bytes, size_t n);
/* Appends the session's pending frames, as far as they fit; false: the session failed. */
MUST_USE bool http2_outbox_gather(http2_outbox_t *outbox, nghttp2_session *session);
/* Appends a hand-made GOAWAY with `reason` as its debug data (RFC 9113 section 6.8). */
void http2_outbox_goaway(http2_outbox_t *outbox, uint32_t last_stream, uint32_t code, str_t reason);
/* Writes the gathered frames; *moved is the number of bytes written. CONN_OK: all, and the memory is
 * freed. */
MUST_USE conn_result_t http2_outbox_write(http2_outbox_t *outbox, conn_t *conn, size_t *moved);
void http2_outbox_clear(http2_outbox_t *outbox);

static inline bool http2_outbox_pending(const http2_outbox_t *outbox)
{
    return outbox->size != outbox->sent;
}

#endif
