/*
 * Frames on their way to one HTTP/2 connection: gathered whole behind each other, so that what a turn of the
 * loop has to say leaves in one write. The memory exists only while there is something.
 */
#ifndef BOXEDGE_HTTP2_OUTBOX_H
#define BOXEDGE_HTTP2_OUTBOX_H

#include <nghttp2/nghttp2.h>

#include "account.h"
#include "conn.h"

/* Bytes gathered for one write: what conn_write takes in one call. */
#define HTTP2_OUTPUT_BYTES CONN_TURN_BYTES
/* A frame's header; in front of each DATA frame. */
#define HTTP2_FRAME_HEADER 9

/* Empty with `account` set. */
typedef struct http2_outbox {
    char *bytes; /* NULL while empty */
    size_t size, sent, capacity;
    account_t *account; /* of `capacity` */
} http2_outbox_t;

/* Room for n more bytes behind what is there; the caller adds to `size` what it put there. */
char *http2_outbox_reserve(http2_outbox_t *outbox, size_t n);
/* Puts a DATA frame's header there, with room for its n bytes behind it, and returns where these go: nghttp2
 * hands out one DATA frame after the other within one call, and the bound is kept here. NULL: the frame must
 * wait (NGHTTP2_ERR_WOULDBLOCK). */
char *http2_outbox_data(http2_outbox_t *outbox, const uint8_t *header, size_t n);
void http2_outbox_append(http2_outbox_t *outbox, const void *bytes, size_t n);
/* Appends what the session has to say, as far as it fits; false: the session failed. */
MUST_USE bool http2_outbox_gather(http2_outbox_t *outbox, nghttp2_session *session);
/* Appends a GOAWAY made by hand, with `reason` as its debug data (RFC 9113 section 6.8). */
void http2_outbox_goaway(http2_outbox_t *outbox, uint32_t last_stream, uint32_t code, str_t reason);
/* Writes what is there; *moved is the number of bytes that left. CONN_OK: all of it, and the memory is given
 * back. */
MUST_USE conn_result_t http2_outbox_write(http2_outbox_t *outbox, conn_t *conn, size_t *moved);
void http2_outbox_clear(http2_outbox_t *outbox);

static inline bool http2_outbox_pending(const http2_outbox_t *outbox)
{
    return outbox->size != outbox->sent;
}

#endif
