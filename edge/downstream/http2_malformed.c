/*
 * Streams of malformed requests (RFC 9113 section 8.1.1): a whole answer with the reason, then a reset with
 * PROTOCOL_ERROR in place of END_STREAM. Most clients that read both at once report only the reset. So a PING
 * follows the answer, and the reset follows the client's acknowledgement, or HTTP2_NOTICE_MS.
 */
#include "http2_server_internal.h"

#include "context.h"
#include "list.h"

/* The first bytes of such a PING, followed by the stream's id. */
static const uint8_t mark[4] = {'4', '0', '0', ' '};

static void reset(http2_stream_t *stream)
{
    (void)nghttp2_submit_rst_stream(stream->conn->session, NGHTTP2_FLAG_NONE, stream->id,
                                    NGHTTP2_PROTOCOL_ERROR);
    http2_schedule(stream->conn);
}

void http2_malformed_refuse(http2_stream_t *stream, const fault_t *fault)
{
    exchange_t *ex = stream->ex;
    if (stream->malformed) { /* a second fault: do not wait for the answer */
        reset(stream);
        return;
    }
    stream->malformed = true;
    bool refused = ex->state == EXCHANGE_DONE && ex->local_code != NULL;
    if (!refused) /* else the first reason stays */
        exchange_refuse(ex, 400, "bad_request", fault->reason, fault);
    if (stream->end_sent)
        reset(stream);
}

static void notice_expired(loop_timer_t *timer)
{
    reset(CONTAINER_OF(http2_stream_t, body_timer, timer));
}

void http2_malformed_answered(http2_stream_t *stream)
{
    uint8_t ping[8];
    uint32_t id = (uint32_t)stream->id;
    memcpy(ping, mark, sizeof(mark));
    for (int i = 0; i < 4; i++)
        ping[4 + i] = (uint8_t)(id >> (24 - 8 * i));
    (void)nghttp2_submit_ping(stream->conn->session, NGHTTP2_FLAG_NONE, ping);
    loop_timer_start(stream->conn->client.context->loop, &stream->body_timer, HTTP2_NOTICE_MS,
                     notice_expired);
}

bool http2_malformed_pong(http2_conn_t *conn, const uint8_t ping[8])
{
    if (memcmp(ping, mark, sizeof(mark)) != 0)
        return false;
    uint32_t id = (uint32_t)ping[4] << 24 | (uint32_t)ping[5] << 16 | (uint32_t)ping[6] << 8 | ping[7];
    http2_stream_t *stream = nghttp2_session_get_stream_user_data(conn->session, (int32_t)(id & INT32_MAX));
    if (stream != NULL && stream->malformed && stream->end_sent)
        reset(stream);
    return true;
}
