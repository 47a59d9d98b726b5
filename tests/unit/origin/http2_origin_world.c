#include "http2_origin_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static step_result_t step_to_origin(exchange_t *ex)
{
    exchange_to_origin(ex);
    target_box(ex);
    ex->target.h2 = true;
    target_start(ex);
    return STEP_DONE;
}

static const exchange_step_t origin_steps[] = {{"origin", step_to_origin}, {NULL, NULL}};

origin_world_t *origin_world_new(void)
{
    origin_world_t *world = calloc(1, sizeof(*world));
    assert_non_null(world);
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t len = sizeof(address);
    world->fixture = context_fixture_new();
    world->fixture->context->http2_origins = http2_origins_new(world->fixture->context);
    world->fixture->client.steps = origin_steps;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    world->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(world->listener, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(world->listener, 64), 0);
    assert_int_equal(getsockname(world->listener, (struct sockaddr *)&address, &len), 0);
    world->port = ntohs(address.sin_port);
    return world;
}

void origin_world_free(origin_world_t *world)
{
    http2_origins_free(&world->fixture->context->http2_origins);
    context_fixture_free(world->fixture);
    if (world->listener >= 0)
        close(world->listener);
    free(world);
}

loop_t *world_loop(origin_world_t *world)
{
    return world->fixture->context->loop;
}

/* ---- calls ---- */

call_t *call_new(origin_world_t *world, const char *method)
{
    call_t *call = calloc(1, sizeof(*call));
    assert_non_null(call);
    call->room = EXCHANGE_BODY_BYTES;
    call->out = malloc(WORLD_OUT);
    assert_non_null(call->out);
    exchange_t *ex = exchange_new(&world->fixture->client, &world_client_ops, call);
    ex->request.version = HTTP_2;
    ex->request.method = str_from(method);
    ex->request.target = STR("/path?q");
    ex->request.authority = STR("box-1.preview.test");
    test_preview(ex)->port = world->port;
    (void)snprintf(ex->box.id, sizeof(ex->box.id), "box");
    ex->box.state = BOX_RUNNING;
    assert_int_equal(inet_pton(AF_INET6, "::ffff:127.0.0.1", &ex->box.address), 1);
    call->ex = ex;
    return call;
}

call_t *call_start(origin_world_t *world, const char *method)
{
    call_t *call = call_new(world, method);
    exchange_start(call->ex);
    return call;
}

void call_free(call_t *call)
{
    exchange_end(&call->ex, EXCHANGE_END_COMPLETE);
    assert_int_equal(call->staged_count, 0);
    free(call->out);
    free(call);
}

void call_send(call_t *call, str_t data)
{
    assert_true(data.n <= exchange_request_room(call->ex));
    exchange_request_body(call->ex, data);
    exchange_request_flush(call->ex);
}

void call_end(call_t *call)
{
    exchange_request_end(call->ex);
    exchange_request_flush(call->ex);
}

/* ---- the origin ---- */

peer_stream_t *peer_stream(peer_t *peer, int32_t id)
{
    peer_stream_t **stream = &peer->streams[id / 2 % PEER_STREAMS];
    if (*stream == NULL)
        *stream = calloc(1, sizeof(**stream));
    assert_non_null(*stream);
    return *stream;
}

static int peer_on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                          size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                          void *user_data)
{
    (void)session;
    (void)flags;
    peer_stream_t *stream = peer_stream(user_data, frame->hd.stream_id);
    char *to = stream->head ? stream->trailers : stream->fields;
    size_t room = stream->head ? sizeof(stream->trailers) : sizeof(stream->fields), used = strlen(to);
    (void)snprintf(to + used, room - used, "%.*s: %.*s\n", (int)name_len, (const char *)name, (int)value_len,
                   (const char *)value);
    return 0;
}

static int peer_on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes, size_t n,
                        void *user_data)
{
    (void)session;
    (void)flags;
    peer_stream_t *stream = peer_stream(user_data, id);
    for (size_t i = 0; i < n && stream->body + i < sizeof(stream->first) - 1; i++)
        stream->first[stream->body + i] = (char)bytes[i];
    stream->body += n;
    return 0;
}

static int peer_on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
    (void)session;
    peer_t *peer = user_data;
    if (frame->hd.type == NGHTTP2_GOAWAY)
        peer->goaway = true;
    if (frame->hd.stream_id == 0)
        return 0;
    peer_stream_t *stream = peer_stream(peer, frame->hd.stream_id);
    if (frame->hd.type == NGHTTP2_HEADERS)
        stream->head = true;
    if (frame->hd.type == NGHTTP2_RST_STREAM) {
        stream->reset = true;
        stream->code = frame->rst_stream.error_code;
    } else if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
        stream->ended = true;
    }
    return 0;
}

peer_t *peer_try_accept(origin_world_t *world, bool speaks, uint32_t streams)
{
    nghttp2_session_callbacks *callbacks;
    int fd = accept4(world->listener, NULL, NULL, SOCK_NONBLOCK);
    if (fd < 0)
        return NULL;
    assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)), 0);
    peer_t *peer = calloc(1, sizeof(*peer));
    assert_non_null(peer);
    peer->fd = fd;
    if (!speaks)
        return peer;
    assert_int_equal(nghttp2_session_callbacks_new(&callbacks), 0);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, peer_on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, peer_on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, peer_on_frame);
    assert_int_equal(nghttp2_session_server_new(&peer->session, callbacks, peer), 0);
    nghttp2_session_callbacks_del(callbacks);
    const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, streams}};
    assert_int_equal(nghttp2_submit_settings(peer->session, NGHTTP2_FLAG_NONE, settings, 1), 0);
    return peer;
}

peer_t *peer_accept_as(origin_world_t *world, bool speaks, uint32_t streams)
{
    uint64_t until = loop_precise_us() + 30000000;
    for (;;) {
        loop_turn(world_loop(world), 1);
        peer_t *peer = peer_try_accept(world, speaks, streams);
        if (peer != NULL)
            return peer;
        assert_true(loop_precise_us() < until);
    }
}

peer_t *peer_accept(origin_world_t *world)
{
    return peer_accept_as(world, true, 100);
}

void peer_free(peer_t *peer)
{
    if (peer->fd >= 0)
        close(peer->fd);
    if (peer->session != NULL)
        nghttp2_session_del(peer->session);
    for (size_t i = 0; i < PEER_STREAMS; i++)
        free(peer->streams[i]);
    free(peer);
}

void peer_write(origin_world_t *world, peer_t *peer, const void *bytes, size_t n)
{
    uint64_t until = loop_precise_us() + 30000000;
    for (size_t sent = 0; sent != n;) {
        ssize_t now = send(peer->fd, (const char *)bytes + sent, n - sent, MSG_NOSIGNAL);
        if (now < 0 && errno != EAGAIN)
            return; /* the edge has closed */
        sent += now > 0 ? (size_t)now : 0;
        loop_turn(world_loop(world), 0);
        assert_true(loop_precise_us() < until);
    }
}

void pump(origin_world_t *world, peer_t *peer)
{
    static uint8_t bytes[65536];
    const uint8_t *piece;
    ssize_t n;
    loop_turn(world_loop(world), 1);
    while (!peer->eof && (n = recv(peer->fd, bytes, sizeof(bytes), 0)) >= 0) {
        if (n == 0)
            peer->eof = true;
        else if (peer->session != NULL)
            assert_true(nghttp2_session_mem_recv(peer->session, bytes, (size_t)n) >= 0);
    }
    while (peer->session != NULL && (n = nghttp2_session_mem_send(peer->session, &piece)) > 0)
        peer_write(world, peer, piece, (size_t)n);
}

static ssize_t peer_read_body(nghttp2_session *session, int32_t id, uint8_t *bytes, size_t n, uint32_t *flags,
                              nghttp2_data_source *source, void *user_data)
{
    (void)user_data;
    peer_stream_t *stream = source->ptr;
    size_t now = stream->left < n ? stream->left : n;
    memset(bytes, 'y', now);
    stream->left -= now;
    if (stream->left != 0)
        return (ssize_t)now;
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (stream->trailer != NULL) {
        nghttp2_nv nv = {(uint8_t *)"grpc-status", (uint8_t *)stream->trailer, 11, strlen(stream->trailer),
                         0};
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        assert_int_equal(nghttp2_submit_trailer(session, id, &nv, 1), 0);
    }
    return (ssize_t)now;
}

void peer_answer(peer_t *peer, int32_t id, const char *status, size_t body, const char *trailer)
{
    peer_stream_t *stream = peer_stream(peer, id);
    nghttp2_nv nva[] = {{(uint8_t *)":status", (uint8_t *)status, 7, 3, 0},
                        {(uint8_t *)"x-app", (uint8_t *)"here", 5, 4, 0}};
    stream->left = body;
    stream->trailer = trailer;
    nghttp2_data_provider provider = {.source = {.ptr = stream}, .read_callback = peer_read_body};
    bool ends = body == 0 && trailer == NULL;
    assert_int_equal(nghttp2_submit_response(peer->session, id, nva, 2, ends ? NULL : &provider), 0);
}
