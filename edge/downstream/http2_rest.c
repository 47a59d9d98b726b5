/*
 * Streams whose response has ended before their request. The exchange is over; nghttp2 keeps the stream until
 * the client ends it, and bytes that arrive meanwhile are discarded (linger.h). Most clients read a response
 * only after they have sent their request, and report a reset in place of its status, even one with NO_ERROR.
 * So windows are renewed until the client ends, and only the limits lead to a reset.
 *
 * Such a stream counts among the client's streams, so SETTINGS_MAX_CONCURRENT_STREAMS bounds their number.
 */
#include <assert.h>

#include "http2_server_internal.h"

#include "list.h"

typedef struct http2_rest {
    list_t link; /* conn->rests */
    http2_conn_t *conn;
    int32_t id;
    bool paused;   /* the window is not renewed */
    uint64_t left; /* of its Content-Length; LENGTH_UNKNOWN: no such field */
    linger_t linger;
} http2_rest_t;

static http2_rest_t *find(const http2_conn_t *conn, int32_t id)
{
    for (list_t *link = conn->rests.next; link != &conn->rests; link = link->next) {
        http2_rest_t *rest = CONTAINER_OF(http2_rest_t, link, link);
        if (rest->id == id)
            return rest;
    }
    return NULL;
}

static void end(http2_rest_t *rest)
{
    linger_end(&rest->linger);
    list_unlink(&rest->link);
    free(rest);
}

/* RFC 9113 section 8.1: the client need not send the rest. The reset makes nghttp2 close the stream, which
 * ends `rest`. */
static void give_up(http2_rest_t *rest, uint32_t code)
{
    linger_end(&rest->linger);
    rest->paused = true;
    (void)nghttp2_submit_rst_stream(rest->conn->session, NGHTTP2_FLAG_NONE, rest->id, code);
    http2_schedule(rest->conn);
}

/* No body byte is held, so the window may be wide, unlike during the upload. */
static void give_window(http2_rest_t *rest)
{
    uint32_t open = http2_window_open(rest->conn->session, rest->id);
    if (open > HTTP2_REST_WINDOW / 2)
        return;
    (void)nghttp2_submit_window_update(rest->conn->session, NGHTTP2_FLAG_NONE, rest->id,
                                       (int32_t)(HTTP2_REST_WINDOW - open));
    http2_schedule(rest->conn);
}

static void over(linger_t *linger)
{
    give_up(CONTAINER_OF(http2_rest_t, linger, linger), NGHTTP2_NO_ERROR);
}

static void resume(linger_t *linger)
{
    http2_rest_t *rest = CONTAINER_OF(http2_rest_t, linger, linger);
    rest->paused = false;
    give_window(rest);
}

void http2_rest_begin(http2_stream_t *stream)
{
    static const linger_handlers_t handlers = {.over = over, .resume = resume};
    http2_conn_t *conn = stream->conn;
    assert(stream->end_sent && !stream->request_ended);
    http2_rest_t *rest = calloc(1, sizeof(*rest));
    if (rest == NULL)
        abort();
    rest->conn = conn;
    rest->id = stream->id;
    rest->left = stream->body_left;
    list_insert(&conn->rests, &rest->link);
    linger_begin(&rest->linger, &conn->client, &stream->ex->remote, &handlers);
    (void)nghttp2_session_set_stream_user_data(conn->session, stream->id, NULL);
    if (http2_window_open(conn->session, stream->id) <= HTTP2_WINDOW_MIN / 2)
        give_window(rest);
    http2_stream_close(stream, EXCHANGE_END_COMPLETE);
}

bool http2_rest_take(http2_conn_t *conn, int32_t id, size_t n)
{
    http2_rest_t *rest = find(conn, id);
    if (rest == NULL)
        return false;
    if (rest->left != LENGTH_UNKNOWN && n > rest->left) {
        give_up(rest, NGHTTP2_PROTOCOL_ERROR); /* RFC 9113 section 8.1.1 */
        return true;
    }
    if (rest->left != LENGTH_UNKNOWN)
        rest->left -= n;
    if (rest->paused)
        return true;
    switch (linger_take(&rest->linger, n)) {
    case LINGER_READ_ON:
        give_window(rest);
        break;
    case LINGER_PAUSED:
        rest->paused = true;
        break;
    case LINGER_OVER:
        give_up(rest, NGHTTP2_NO_ERROR);
        break;
    }
    return true;
}

void http2_rest_refuse(http2_conn_t *conn, int32_t id)
{
    http2_rest_t *rest = find(conn, id);
    if (rest != NULL)
        give_up(rest, NGHTTP2_PROTOCOL_ERROR);
}

void http2_rest_ended(http2_conn_t *conn, int32_t id)
{
    http2_rest_t *rest = find(conn, id);
    if (rest != NULL && rest->left != LENGTH_UNKNOWN && rest->left != 0)
        give_up(rest, NGHTTP2_PROTOCOL_ERROR);
}

bool http2_rest_is_open(const http2_conn_t *conn, int32_t id)
{
    return find(conn, id) != NULL;
}

void http2_rest_closed(http2_conn_t *conn, int32_t id)
{
    http2_rest_t *rest = find(conn, id);
    if (rest != NULL)
        end(rest);
}

void http2_rests_end(http2_conn_t *conn)
{
    while (!list_is_empty(&conn->rests))
        end(CONTAINER_OF(http2_rest_t, link, conn->rests.next));
}
