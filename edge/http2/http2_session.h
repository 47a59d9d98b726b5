/*
 * The common parts of the edge's two ends of HTTP/2: it makes an nghttp2 session, converts fields to and from
 * nghttp2, and lets nghttp2 read a body. The codecs have the rest: http2_server.c towards clients,
 * http2_origin.c towards origins.
 */
#ifndef BOXEDGE_HTTP2_SESSION_H
#define BOXEDGE_HTTP2_SESSION_H

#include <nghttp2/nghttp2.h>

#include "arena.h"
#include "field.h"
#include "http2_memory.h"

typedef struct http2_session_setup {
    bool server;
    void (*set_callbacks)(nghttp2_session_callbacks *callbacks);
    uint32_t head_bytes; /* limits.head_size */
    const nghttp2_settings_entry *settings;
    size_t settings_count;
    int32_t window; /* of the connection */
    bool unchecked; /* the owner checks the messages (RFC 9113 section 8); nghttp2 only frames and HPACK */
} http2_session_setup_t;

/*
 * Makes a session that returns no window by itself, keeps no closed streams, leaves the counting of resets to
 * http2_guard.h, and has the edge's SETTINGS and the connection's window to send. `owner` is its callbacks'
 * user_data. Initializes `memory`, which must outlive it.
 */
nghttp2_session *http2_session_new(const http2_session_setup_t *setup, http2_memory_t *memory, void *owner);

/* A field for nghttp2, which copies both slices and lower-cases the name when it takes them. */
static inline nghttp2_nv http2_nv(str_t name, str_t value)
{
    return (nghttp2_nv){
        .name = (uint8_t *)name.p, .namelen = name.n, .value = (uint8_t *)value.p, .valuelen = value.n};
}

/* All fields of a section, in `pool`; pass them to nghttp2_submit_* with fields->count. */
nghttp2_nv *http2_nv_list(arena_t *pool, const fields_t *fields);

/* The bytes of a name or value that nghttp2 decoded, valid during the callback. */
static inline str_t http2_decoded(nghttp2_rcbuf *buffer)
{
    nghttp2_vec bytes = nghttp2_rcbuf_get_buf(buffer);
    return str_make((const char *)bytes.base, bytes.len);
}

/*
 * The result of a data source's read callback when up to `n` of `available` bytes may go; the bytes are
 * copied later (nghttp2_send_data_callback). Sets the flags, EOF with the last bytes of a body that is
 * `complete`. Returns NGHTTP2_ERR_DEFERRED if it has neither bytes nor an end.
 */
ssize_t http2_read_body(size_t n, size_t available, bool complete, uint32_t *flags);

/* A sentence with the reason for which nghttp2 ends a connection with this code. */
const char *http2_error_reason(uint32_t code);

#endif
