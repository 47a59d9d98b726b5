/*
 * Output: nghttp2's frames go into the connection's outbox, one whole frame after another, and leave in one
 * write. DATA is copied once, from the exchange's slices or the stream's buffer.
 */
#include <assert.h>

#include "http2_server_internal.h"

/* nghttp2_send_data_callback: one DATA frame, from its header to its padding. */
static int on_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *header, size_t n,
                        nghttp2_data_source *source, void *user_data)
{
    (void)source;
    http2_conn_t *conn = user_data;
    http2_stream_t *stream = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (stream == NULL)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* abandoned, about to be reset */
    assert(frame->data.padlen == 0);                  /* no callback adds padding */
    char *at = http2_outbox_data(&conn->output, header, n);
    if (at == NULL)
        return NGHTTP2_ERR_WOULDBLOCK;
    http2_stream_take(stream, at, n);
    return 0;
}

void http2_output_callbacks(nghttp2_session_callbacks *callbacks)
{
    nghttp2_session_callbacks_set_send_data_callback(callbacks, on_send_data);
}

bool http2_output_gather(http2_conn_t *conn)
{
    assert(!conn->receiving && !conn->sending);
    conn->sending = true;
    bool ok = http2_outbox_gather(&conn->output, conn->session);
    conn->sending = false;
    return ok;
}

void http2_output_goaway(http2_conn_t *conn, uint32_t code, const char *reason)
{
    http2_outbox_goaway(&conn->output, (uint32_t)nghttp2_session_get_last_proc_stream_id(conn->session), code,
                        str_from(reason));
}

conn_result_t http2_output_write(http2_conn_t *conn)
{
    size_t moved;
    conn_result_t result = http2_outbox_write(&conn->output, conn->client.conn, &moved);
    if (moved != 0) { /* the client is taking bytes */
        loop_timer_stop(&conn->write_timer);
        backlog_end(&conn->backlog);
    }
    if (result == CONN_OK)
        conn->interim = 0;
    return result;
}
