/*
 * An attempt's stream between nghttp2 and the exchange: response heads and bodies from nghttp2's callbacks,
 * the request's body to nghttp2.
 *
 * Response body goes straight to the client while it has room; the rest is held. Every byte renews the
 * connection's window immediately, so that a slow client never stalls other streams. The stream's window is
 * renewed as the client takes bytes (http2_window.h).
 */
#include <assert.h>

#include "arena.h"
#include "budget.h"
#include "context.h"
#include "forward.h"
#include "http2_client_internal.h"
#include "list.h"

#define OTHER_LENGTH "The body of the answer is not as long as its Content-Length."
#define BROKEN_RULE  "The answer breaks a rule of HTTP/2."

static http2_client_t *find(const http2_origin_t *origin, int32_t id)
{
    return nghttp2_session_get_stream_user_data(origin->session, id);
}

void http2_client_touch(http2_client_t *client)
{
    if (!list_is_linked(&client->touched))
        list_insert(&client->origin->touched, &client->touched);
    http2_origin_schedule(client->origin);
}

/* ---- heads ---- */

static void reset_head(http2_client_t *client)
{
    client->head = (http2_head_t){.bytes = 0};
    if (client->state == HTTP2_CLIENT_HEAD)
        client->response = (response_t){.content_length = LENGTH_UNKNOWN};
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
    (void)session;
    http2_client_t *client = find(user_data, frame->hd.stream_id);
    if (client != NULL)
        reset_head(client);
    return 0;
}

static int answer(http2_origin_t *origin, http2_head_result_t result)
{
    if (result == HTTP2_HEAD_OK)
        return 0;
    origin->failed = true;
    http2_origin_blame(origin, "A field section is more than 16 times as large as limits.head_size.");
    return NGHTTP2_ERR_CALLBACK_FAILURE;
}

static http2_head_limits_t limits_of(const http2_origin_t *origin)
{
    const conf_t *conf = http2_origin_context(origin)->conf;
    return (http2_head_limits_t){.fields = conf->limits.head_fields, .bytes = conf->limits.head_bytes};
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, nghttp2_rcbuf *name,
                     nghttp2_rcbuf *value, uint8_t flags, void *user_data)
{
    (void)session;
    (void)flags;
    http2_origin_t *origin = user_data;
    http2_client_t *client = find(origin, frame->hd.stream_id);
    if (client == NULL)
        return 0;
    str_t name_str = http2_decoded(name), value_str = http2_decoded(value);
    http2_head_limits_t limits = limits_of(origin);
    arena_t *arena = &client->ex->arena;
    if (client->state == HTTP2_CLIENT_HEAD)
        return answer(origin, http2_response_field(&client->head, arena, &limits, &client->response, name_str,
                                                   nghttp2_rcbuf_is_static(name) != 0, value_str));
    return answer(origin, http2_trailer_field(&client->head, arena, &client->response.trailers, &limits,
                                              name_str, value_str));
}

/* Without this callback nghttp2 drops the field and continues. */
static int on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame, nghttp2_rcbuf *name,
                             nghttp2_rcbuf *value, uint8_t flags, void *user_data)
{
    (void)session;
    (void)flags;
    http2_origin_t *origin = user_data;
    http2_client_t *client = find(origin, frame->hd.stream_id);
    if (client == NULL)
        return 0;
    http2_head_limits_t limits = limits_of(origin);
    http2_response_blame(&client->head, &client->ex->arena, HTTP2_RESPONSE_BAD_FIELD, http2_decoded(name));
    return answer(origin, http2_head_invalid(&client->head, &limits, nghttp2_rcbuf_get_buf(name).len,
                                             nghttp2_rcbuf_get_buf(value).len));
}

/* nghttp2 is about to reset the stream because of a field, which only this text names. */
static int on_error(nghttp2_session *session, int error, const char *text, size_t n, void *user_data)
{
    (void)session;
    int32_t id;
    str_t name, value;
    if (error != NGHTTP2_ERR_HTTP_HEADER ||
        !http2_response_refused_field(str_make(text, n), &id, &name, &value))
        return 0;
    http2_client_t *client = find(user_data, id);
    if (client != NULL && client->state == HTTP2_CLIENT_HEAD)
        http2_response_refused(&client->head, &client->ex->arena, &client->response, name, value);
    else if (client != NULL)
        http2_response_trailer_refused(&client->head, &client->ex->arena, name);
    return 0;
}

/* nghttp2 is about to reset the stream. */
static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int error, void *user_data)
{
    (void)session;
    bool end_stream = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    http2_client_t *client = frame->hd.stream_id > 0 ? find(user_data, frame->hd.stream_id) : NULL;
    const char *reason = NULL;
    if (client == NULL)
        return 0;
    bool in_head = client->state == HTTP2_CLIENT_HEAD;
    if (error == NGHTTP2_ERR_HTTP_HEADER)
        reason = HTTP2_RESPONSE_BAD_FIELD;
    else if (error == NGHTTP2_ERR_HTTP_MESSAGING && !in_head)
        reason = end_stream ? OTHER_LENGTH : "A second field section does not end the answer.";
    else if (error == NGHTTP2_ERR_HTTP_MESSAGING)
        reason = http2_response_bad_section(&client->response, end_stream);
    else if (error == NGHTTP2_ERR_FLOW_CONTROL)
        reason = "WINDOW_UPDATE frames make the window of the stream larger than 2^31 - 1 bytes.";
    if (reason != NULL)
        http2_response_blame(&client->head, &client->ex->arena, reason, str_make(NULL, 0));
    return 0;
}

/* A copy of `reason` in the exchange's arena. */
static const char *kept(exchange_t *ex, const char *reason)
{
    str_t text = str_from(reason);
    return str_dup(&ex->arena, str_make(text.p, text.n + 1)).p;
}

void http2_client_wrong(http2_client_t *client, const char *reason, origin_failure_t failure)
{
    fault_t fault = {.kind = FAULT_MALFORMED, .reason = kept(client->ex, reason)};
    fault_report(client->ex, &fault, true);
    http2_client_fail(client, failure);
}

void http2_client_bad_response(http2_client_t *client, const char *reason)
{
    fault_t fault = {.kind = FAULT_MALFORMED, .reason = kept(client->ex, reason)};
    if (client->head.fault.reason != NULL)
        fault = client->head.fault;
    if (client->head.oversize)
        fault = (fault_t){.kind = FAULT_OVER_LIMIT,
                          .reason = "The head of the answer is larger, or has more fields, than "
                                    "limits.head_size and limits.head_fields allow."};
    fault_report(client->ex, &fault, true);
    http2_client_fail(client, origin_failure_of(fault.kind));
}

static void informational(http2_client_t *client)
{
    if (++client->informational > HTTP2_INFORMATIONAL_MAX)
        http2_client_bad_response(client, "More than 16 interim answers (1xx) came before the final one.");
    else
        exchange_response_informational(client->ex, client->response.status, &client->response.fields);
}

static void head_complete(http2_client_t *client, bool end_stream)
{
    exchange_t *ex = client->ex;
    bool head_request = str_eq(ex->request.method, STR("HEAD"));
    if (!http2_response_finish(&client->head, &client->response, head_request, end_stream)) {
        http2_client_bad_response(client, "The answer's head has fields that HTTP/2 does not allow.");
        return;
    }
    forward_filter_response(ex, &client->response.fields);
    if (client->response.status < 200) {
        informational(client);
        return;
    }
    http2_client_answered(client);
    client->state = HTTP2_CLIENT_BODY;
    client->response_ended = end_stream;
    ex->response = client->response;
    exchange_response_head(ex);
    if (client->state == HTTP2_CLIENT_OVER)
        return;
    if (end_stream)
        http2_client_finish(client);
    else
        http2_client_touch(client);
}

static void trailers_complete(http2_client_t *client)
{
    if (client->head.malformed || client->head.oversize)
        http2_client_bad_response(client, "The answer's trailers have fields that HTTP/2 does not allow.");
    else
        client->ex->response.trailers = client->response.trailers;
}

/* ---- response bodies ---- */

/* Passes on bytes as far as the client has room. Returns their number. */
static size_t pass(http2_client_t *client, str_t data)
{
    exchange_t *ex = client->ex;
    size_t used = 0, room;
    /* Continue until all is taken or the room is 0: only then does the client report new room. */
    while (used < data.n && client->state == HTTP2_CLIENT_BODY &&
           (room = exchange_response_body_room(ex)) != 0) {
        size_t n = data.n - used < room ? data.n - used : room;
        exchange_response_body(ex, str_make(data.p + used, n));
        used += n;
    }
    client->passed += used;
    return used;
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes, size_t n,
                         void *user_data)
{
    (void)flags;
    http2_origin_t *origin = user_data;
    (void)nghttp2_session_consume_connection(session, n);
    http2_client_t *client = find(origin, id);
    if (client == NULL || client->state != HTTP2_CLIENT_BODY || client->ex->response.bodyless)
        return 0; /* not needed */
    str_t data = str_make((const char *)bytes, n);
    size_t used = client->in.size == 0 ? pass(client, data) : 0;
    if (client->state != HTTP2_CLIENT_BODY)
        return 0;
    if (used != n)
        pieces_append(&client->in, str_from_offset(data, used), &client->ex->account);
    http2_client_touch(client);
    return 0;
}

void http2_client_drain(http2_client_t *client)
{
    exchange_t *ex = client->ex;
    account_t *account = &ex->account;
    pieces_t in = client->in; /* the client may detach while it has slices of this */
    client->in = (pieces_t){.size = 0};
    bool all = true;
    while (all && in.size != 0 && client->state != HTTP2_CLIENT_OVER) {
        str_t data = pieces_front(&in);
        size_t used = pass(client, data);
        all = used == data.n;
        exchange_response_flush(ex);
        pieces_consume(&in, used, account);
    }
    if (client->state == HTTP2_CLIENT_OVER) {
        pieces_clear(&in, account);
        return;
    }
    client->in = in;
    if (client->response_ended && client->in.size == 0)
        http2_client_finish(client);
}

/* Renews the window for bytes that the client has taken since the last update. */
static void give_window(http2_client_t *client)
{
    http2_origin_t *origin = client->origin;
    http2_window_t *window = &client->window;
    context_t *context = client->ex->context;
    size_t passed = client->passed;
    client->passed = 0;
    if (client->response_ended) {
        http2_window_end(window, &client->ex->account);
        return;
    }
    http2_window_took(window, passed, client->in.size != 0, loop_now(context->loop), origin->round_trip_ms,
                      HTTP2_WINDOW_MAX);
    http2_window_count(window, origin->session, client->id, &client->ex->account); /* frees budget */
    if (passed != 0 || exchange_response_body_room(client->ex) != 0)
        http2_window_renew(window, origin->session, client->id, client->in.size, budget_credit(context),
                           &client->ex->account);
}

void http2_clients_resume(http2_origin_t *origin)
{
    list_t now;
    list_init(&now);
    list_insert_all(&now, &origin->touched);
    while (!list_is_empty(&now)) {
        http2_client_t *client = CONTAINER_OF(http2_client_t, touched, now.next);
        list_unlink(&client->touched);
        if (client->in.size != 0)
            http2_client_drain(client);
        else
            exchange_response_flush(client->ex);
        if (client->state == HTTP2_CLIENT_BODY)
            give_window(client);
    }
}

/* ---- frames ---- */

void http2_client_frame(http2_origin_t *origin, const nghttp2_frame *frame)
{
    http2_client_t *client = find(origin, frame->hd.stream_id);
    bool end_stream = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (client == NULL)
        return;
    if (frame->hd.type == NGHTTP2_RST_STREAM) {
        client->reset = true;
        return;
    }
    if (frame->hd.type == NGHTTP2_HEADERS && client->state == HTTP2_CLIENT_HEAD) {
        head_complete(client, end_stream);
        return;
    }
    if (client->state == HTTP2_CLIENT_HEAD) { /* body before the head */
        http2_client_bad_response(client, "A DATA frame came before the answer's head.");
        return;
    }
    if (frame->hd.type == NGHTTP2_HEADERS)
        trailers_complete(client);
    if (client->state == HTTP2_CLIENT_OVER || !end_stream)
        return;
    client->response_ended = true;
    if (client->in.size == 0)
        http2_client_finish(client);
}

/* nghttp2 has reset the stream in the middle of the response. */
static void broke_off(http2_client_t *client)
{
    bool has_length = client->ex->response.content_length != LENGTH_UNKNOWN;
    http2_client_bad_response(client, has_length ? OTHER_LENGTH : BROKEN_RULE);
}

static const char *reset_text(uint32_t code)
{
    static const char *const texts[] = {
#define RESET(code) "The app reset the stream with " code "."
        [NGHTTP2_NO_ERROR] = RESET("NO_ERROR"),
        [NGHTTP2_PROTOCOL_ERROR] = RESET("PROTOCOL_ERROR"),
        [NGHTTP2_INTERNAL_ERROR] = RESET("INTERNAL_ERROR"),
        [NGHTTP2_FLOW_CONTROL_ERROR] = RESET("FLOW_CONTROL_ERROR"),
        [NGHTTP2_SETTINGS_TIMEOUT] = RESET("SETTINGS_TIMEOUT"),
        [NGHTTP2_STREAM_CLOSED] = RESET("STREAM_CLOSED"),
        [NGHTTP2_FRAME_SIZE_ERROR] = RESET("FRAME_SIZE_ERROR"),
        [NGHTTP2_REFUSED_STREAM] = RESET("REFUSED_STREAM"),
        [NGHTTP2_CANCEL] = RESET("CANCEL"),
        [NGHTTP2_COMPRESSION_ERROR] = RESET("COMPRESSION_ERROR"),
        [NGHTTP2_CONNECT_ERROR] = RESET("CONNECT_ERROR"),
        [NGHTTP2_ENHANCE_YOUR_CALM] = RESET("ENHANCE_YOUR_CALM"),
        [NGHTTP2_INADEQUATE_SECURITY] = RESET("INADEQUATE_SECURITY"),
        [NGHTTP2_HTTP_1_1_REQUIRED] = RESET("HTTP_1_1_REQUIRED"),
#undef RESET
    };
    return code < sizeof(texts) / sizeof(texts[0]) ? texts[code]
                                                   : "The app reset the stream with an unknown code.";
}

static void fail_reset(http2_client_t *client, uint32_t code, origin_failure_t failure)
{
    client->ex->detail = reset_text(code);
    http2_client_fail(client, failure);
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *user_data)
{
    (void)session;
    http2_origin_t *origin = user_data;
    http2_client_t *client = find(origin, id);
    assert(origin->load != 0);
    origin->load--;
    http2_origin_schedule(origin);
    if (client == NULL)
        return 0;
    client->closed = true;
    if (client->response_ended)
        http2_client_orphan(client);
    else if (client->state == HTTP2_CLIENT_BODY && !client->reset &&
             (code == NGHTTP2_PROTOCOL_ERROR || code == NGHTTP2_FLOW_CONTROL_ERROR))
        broke_off(client);
    else if (client->state == HTTP2_CLIENT_BODY && client->reset)
        fail_reset(client, code, ORIGIN_CUT);
    else if (client->state == HTTP2_CLIENT_BODY)
        http2_client_fail(client, ORIGIN_CUT);
    else if (code == NGHTTP2_REFUSED_STREAM)
        http2_client_refused(client);
    else if (client->reset)
        fail_reset(client, code, ORIGIN_CLOSED);
    else if (client->informational != 0 && code == NGHTTP2_PROTOCOL_ERROR)
        http2_client_bad_response(client,
                                  "A DATA frame came after an interim answer (1xx), before the final one.");
    else
        http2_client_bad_response(client, BROKEN_RULE);
    return 0;
}

/* ---- request bodies ---- */

static void submit_trailers(const http2_client_t *client, nghttp2_session *session)
{
    exchange_t *ex = client->ex;
    const fields_t *trailers = &ex->request.trailers;
    (void)nghttp2_submit_trailer(session, client->id, http2_nv_list(&ex->arena, trailers), trailers->count);
}

ssize_t http2_client_read_body(nghttp2_session *session, int32_t id, uint8_t *bytes, size_t n,
                               uint32_t *flags, nghttp2_data_source *source, void *user_data)
{
    (void)bytes;
    (void)source;
    http2_client_t *client = find(user_data, id);
    if (client == NULL)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* about to be reset */
    ssize_t taken = http2_read_body(n, http2_client_unsent(client), client->ex->request_complete, flags);
    client->deferred |= taken == NGHTTP2_ERR_DEFERRED;
    if ((*flags & NGHTTP2_DATA_FLAG_EOF) != 0) {
        forward_filter_trailers(client->ex);
        if (client->ex->request.trailers.count != 0) {
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            submit_trailers(client, session);
        }
    }
    return taken;
}

/* Copies the next n body bytes to `to`. */
static void take_body(http2_client_t *client, char *to, size_t n)
{
    exchange_t *ex = client->ex;
    assert(n <= http2_client_unsent(client));
    if (n != 0)
        memcpy(to, buffer_str(&ex->held).p + client->sent, n);
    if (client->keep_body)
        client->sent += n;
    else
        buffer_consume(&ex->held, n, &ex->account);
    http2_client_watch_upload(client);
    if (!client->keep_body && !ex->request_complete && buffer_size(&ex->held) <= EXCHANGE_BODY_BYTES / 2 &&
        !list_is_linked(&client->roomy))
        list_insert(&client->origin->roomy, &client->roomy);
}

/* nghttp2_send_data_callback: one DATA frame. */
static int on_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *header, size_t n,
                        nghttp2_data_source *source, void *user_data)
{
    (void)session;
    (void)source;
    http2_origin_t *origin = user_data;
    http2_client_t *client = find(origin, frame->hd.stream_id);
    assert(frame->data.padlen == 0); /* no callback adds padding */
    if (client == NULL)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    char *at = http2_outbox_data(&origin->output, header, n);
    if (at == NULL)
        return NGHTTP2_ERR_WOULDBLOCK;
    take_body(client, at, n);
    return 0;
}

void http2_client_frame_sent(http2_origin_t *origin, const nghttp2_frame *frame)
{
    http2_client_t *client = find(origin, frame->hd.stream_id);
    if (frame->hd.type == NGHTTP2_DATA)
        http2_origin_earn(origin, HTTP2_GUARD_DATA_SENT);
    if (client == NULL)
        return;
    client->wrote = true;
    client->output += HTTP2_FRAME_HEADER + (uint32_t)frame->hd.length;
    if (client->output > HTTP2_OUTPUT_KNOWN)
        client->output = HTTP2_OUTPUT_KNOWN;
    client->request_ended |= (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
}

bool http2_clients_room(http2_origin_t *origin)
{
    list_t now;
    list_init(&now);
    list_insert_all(&now, &origin->roomy);
    bool any = !list_is_empty(&now);
    while (!list_is_empty(&now)) {
        http2_client_t *client = CONTAINER_OF(http2_client_t, roomy, now.next);
        list_unlink(&client->roomy);
        exchange_request_room_grew(client->ex);
    }
    return any;
}

void http2_client_callbacks(nghttp2_session_callbacks *callbacks)
{
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback2(callbacks, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback2(callbacks, on_invalid_header);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame);
    nghttp2_session_callbacks_set_error_callback2(callbacks, on_error);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, on_send_data);
}
