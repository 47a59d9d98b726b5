/*
 * Frames to bytes: what nghttp2 has to say is gathered into one buffer, whole frame after whole frame, and
 * leaves in one write. DATA is copied once, from the exchange's slices or the stream's buffer. The buffer
 * exists only while it holds something.
 */
#include <assert.h>

#include "http2_conn.h"

/* What most turns of a connection say; a body wants the whole at once. */
#define OUTPUT_FEW_BYTES 16384

static char *reserve(http2_conn_t *conn, size_t n)
{
    if (conn->output_size + n > conn->output_capacity) {
        size_t capacity =
            conn->output_size + n <= OUTPUT_FEW_BYTES ? OUTPUT_FEW_BYTES : (size_t)HTTP2_OUTPUT_BYTES;
        while (capacity < conn->output_size + n)
            capacity *= 2;
        char *grown = realloc(conn->output, capacity);
        if (grown == NULL)
            abort();
        conn->output = grown;
        conn->output_capacity = capacity;
    }
    return conn->output + conn->output_size;
}

static void append(http2_conn_t *conn, const void *bytes, size_t n)
{
    memcpy(reserve(conn, n), bytes, n);
    conn->output_size += n;
}

void http2_output_clear(http2_conn_t *conn)
{
    free(conn->output);
    conn->output = NULL;
    conn->output_size = conn->output_sent = conn->output_capacity = 0;
}

/* nghttp2_send_data_callback: one DATA frame, from its header to its padding. */
static int on_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *header, size_t n,
                        nghttp2_data_source *source, void *user_data)
{
    (void)session;
    http2_conn_t *conn = user_data;
    assert(frame->data.padlen == 0); /* no callback chooses any */
    /* nghttp2 hands out one DATA frame after the other within one call: the bound is kept here. */
    if (conn->output_size + 9 + n > HTTP2_OUTPUT_BYTES)
        return NGHTTP2_ERR_WOULDBLOCK;
    char *at = reserve(conn, 9 + n);
    memcpy(at, header, 9);
    http2_stream_take(source->ptr, at + 9, n);
    conn->output_size += 9 + n;
    return 0;
}

void http2_output_callbacks(nghttp2_session_callbacks *callbacks)
{
    nghttp2_session_callbacks_set_send_data_callback(callbacks, on_send_data);
}

bool http2_output_gather(http2_conn_t *conn)
{
    assert(!conn->receiving && !conn->sending);
    ssize_t n = 1;
    conn->sending = true;
    while (conn->output_size < HTTP2_OUTPUT_BYTES) { /* a head may reach beyond, by a frame */
        const uint8_t *piece;
        n = nghttp2_session_mem_send(conn->session, &piece);
        if (n <= 0)
            break;
        append(conn, piece, (size_t)n);
    }
    conn->sending = false;
    return n >= 0;
}

void http2_output_goaway(http2_conn_t *conn, uint32_t code)
{
    uint32_t last = (uint32_t)nghttp2_session_get_last_proc_stream_id(conn->session);
    const uint8_t frame[17] = {0,
                               0,
                               8,
                               NGHTTP2_GOAWAY,
                               0,
                               0,
                               0,
                               0,
                               0,
                               (uint8_t)(last >> 24 & 0x7f),
                               (uint8_t)(last >> 16),
                               (uint8_t)(last >> 8),
                               (uint8_t)last,
                               (uint8_t)(code >> 24),
                               (uint8_t)(code >> 16),
                               (uint8_t)(code >> 8),
                               (uint8_t)code};
    append(conn, frame, sizeof(frame));
}

conn_result_t http2_output_write(http2_conn_t *conn)
{
    while (http2_output_pending(conn)) {
        struct iovec iov = {conn->output + conn->output_sent, conn->output_size - conn->output_sent};
        size_t written;
        conn_result_t result = conn_write(conn->client.conn, &iov, 1, &written);
        if (result != CONN_OK)
            return result;
        conn->output_sent += written;
        loop_timer_stop(&conn->write_timer); /* the client takes bytes */
    }
    http2_output_clear(conn);
    return CONN_OK;
}
