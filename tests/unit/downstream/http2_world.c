#include "http2_world.h"

#include "list.h"

static world_t *the_world; /* ops have no other way to it */

/* ---- the origin ---- */

size_t origin_room(const exchange_t *ex)
{
    (void)ex;
    return the_world->origin_room;
}

static void origin_send_body(exchange_t *ex, str_t data)
{
    (void)ex;
    assert_true(data.n <= the_world->origin_room);
    the_world->origin_room -= data.n;
    for (size_t i = 0; i < data.n && the_world->taken + i < sizeof(the_world->request_body); i++)
        the_world->request_body[the_world->taken + i] = data.p[i];
    the_world->taken += data.n;
}

static void origin_send_end(exchange_t *ex)
{
    (void)ex;
    assert_false(the_world->request_ended);
    the_world->request_ended = true;
}

bool origin_sent(const exchange_t *ex)
{
    (void)ex;
    return true;
}

void origin_nothing(exchange_t *ex)
{
    (void)ex;
}

static void origin_flush(exchange_t *ex)
{
    if (the_world->refuses_at == 0 || the_world->taken < the_world->refuses_at)
        return;
    the_world->last = NULL;
    ex->origin_ops = NULL;
    exchange_reply(ex, 413, STR("text/plain"), NULL, STR("too much"));
}

static void origin_resume(exchange_t *ex)
{
    (void)ex;
    the_world->resumed++;
}

static void origin_cancel(exchange_t *ex)
{
    the_world->cancelled++;
    if (ex == the_world->last)
        the_world->last = NULL;
}

static const origin_ops_t world_origin_ops = {.room = origin_room,
                                              .send_body = origin_send_body,
                                              .send_end = origin_send_end,
                                              .flush = origin_flush,
                                              .sent = origin_sent,
                                              .resume_response = origin_resume,
                                              .cancel = origin_cancel};

static void world_wait_leave(exchange_t *ex, await_end_t how)
{
    (void)ex;
    (void)how;
}

static const await_source_t world_source = {.name = "world", .leave = world_wait_leave};

static step_result_t world_step(exchange_t *ex)
{
    the_world->started++;
    if (the_world->answer_at_once) {
        exchange_reply(ex, 200, STR("text/plain"), NULL, STR("ok"));
        return STEP_DONE;
    }
    the_world->last = ex;
    if (the_world->waits) {
        await_begin(ex, &world_source);
        return STEP_WAIT;
    }
    ex->origin_ops = &world_origin_ops;
    exchange_to_origin(ex);
    str_t held = buffer_str(&ex->held); /* it came with the head, before the steps */
    if (held.n != 0 && held.n <= the_world->origin_room) {
        origin_send_body(ex, held);
        buffer_clear(&ex->held, &ex->account);
    }
    return STEP_DONE;
}

static const exchange_step_t world_steps[] = {{"test", world_step}, {NULL, NULL}};

void origin_head(exchange_t *ex, int status, uint64_t length, bool bodyless, bool tunnel)
{
    ex->response.status = status;
    ex->response.content_length = length;
    ex->response.bodyless = bodyless;
    ex->response.tunnel = tunnel;
    exchange_response_head(ex);
    exchange_response_flush(ex);
}

void origin_body(exchange_t *ex, const char *bytes, size_t n)
{
    assert_true(n <= exchange_response_body_room(ex));
    exchange_response_body(ex, str_make(bytes, n));
    exchange_response_flush(ex);
}

void origin_end(exchange_t *ex)
{
    exchange_response_end(ex);
    exchange_response_flush(ex);
}

/* ---- the client ---- */

seen_t *world_seen(world_t *world, int32_t id)
{
    assert_in_range(id, 1, 2 * WORLD_STREAMS - 1);
    return &world->seen[id / 2];
}

static int client_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                         size_t namelen, const uint8_t *value, size_t valuelen, uint8_t flags, void *user)
{
    (void)session;
    (void)flags;
    seen_t *seen = world_seen(user, frame->hd.stream_id);
    bool trailer = seen->head_came;
    if (namelen == 7 && memcmp(name, ":status", 7) == 0) {
        seen->status = (value[0] - '0') * 100 + (value[1] - '0') * 10 + (value[2] - '0');
        seen->informational += seen->status < 200;
        seen->fields[0] = 0;
    }
    char *to = trailer ? seen->trailers : seen->fields;
    size_t size = trailer ? sizeof(seen->trailers) : sizeof(seen->fields), used = strlen(to);
    (void)snprintf(to + used, size - used, "%.*s: %.*s\n", (int)namelen, name, (int)valuelen, value);
    return 0;
}

static int client_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    (void)session;
    world_t *world = user;
    if (frame->hd.type == NGHTTP2_GOAWAY) {
        world->goaway = true;
        world->goaways++;
        world->goaway_code = frame->goaway.error_code;
    }
    if (frame->hd.type == NGHTTP2_WINDOW_UPDATE && frame->hd.stream_id != 0) {
        world->window_updates++;
        world->window_given += (uint64_t)frame->window_update.window_size_increment;
    }
    if (frame->hd.type == NGHTTP2_RST_STREAM) {
        world_seen(world, frame->hd.stream_id)->reset = true;
        world_seen(world, frame->hd.stream_id)->code = frame->rst_stream.error_code;
    }
    if (frame->hd.type == NGHTTP2_HEADERS && world_seen(world, frame->hd.stream_id)->status >= 200)
        world_seen(world, frame->hd.stream_id)->head_came = true;
    if ((frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS) &&
        (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0)
        world_seen(world, frame->hd.stream_id)->ended = true;
    return 0;
}

static int client_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes, size_t n,
                       void *user)
{
    (void)flags;
    world_t *world = user;
    seen_t *seen = world_seen(world, id);
    for (size_t i = 0; i < n && seen->body + i < sizeof(seen->first); i++)
        seen->first[seen->body + i] = (char)bytes[i];
    seen->body += n;
    if (world->consumes)
        assert_int_equal(nghttp2_session_consume(session, id, n), 0);
    return 0;
}

static int client_closed(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
    (void)session;
    (void)code;
    world_seen(user, id)->closed = true;
    return 0;
}

static ssize_t client_upload(nghttp2_session *session, int32_t id, uint8_t *to, size_t n, uint32_t *flags,
                             nghttp2_data_source *source, void *user)
{
    (void)session;
    (void)id;
    (void)user;
    seen_t *seen = source->ptr;
    size_t now = seen->upload_left < n ? seen->upload_left : n;
    if (now == 0 && seen->upload_open)
        return NGHTTP2_ERR_DEFERRED;
    memcpy(to, seen->upload, now);
    seen->upload += now;
    seen->upload_left -= now;
    if (seen->upload_left == 0 && !seen->upload_open)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)now;
}

static nghttp2_session *client_new(world_t *world)
{
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *option;
    nghttp2_session *session;
    assert_int_equal(nghttp2_session_callbacks_new(&callbacks), 0);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, client_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, client_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, client_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, client_closed);
    assert_int_equal(nghttp2_option_new(&option), 0);
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_http_messaging(option, 1); /* so that it can send malformed messages */
    assert_int_equal(nghttp2_session_client_new2(&session, callbacks, world, option), 0);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    return session;
}

/* ---- the world ---- */

void world_turn(world_t *world)
{
    loop_turn(world->loop, 0);
}

/* Bytes of the client's session to the socket. False: nothing to send, or no room. */
static bool client_sends(world_t *world)
{
    const uint8_t *bytes;
    ssize_t n = nghttp2_session_mem_send(world->client, &bytes);
    assert_true(n >= 0);
    while (n > 0) {
        ssize_t sent = send(world->fd, bytes, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EAGAIN) {
            world_turn(world);
            continue;
        }
        if (sent < 0)
            return false; /* the server has closed */
        bytes += sent;
        n -= sent;
        if (n == 0)
            return true;
    }
    return false;
}

bool client_receives(world_t *world)
{
    static uint8_t buffer[65536];
    if (!world->reads || world->eof)
        return false;
    ssize_t n = recv(world->fd, buffer, sizeof(buffer), MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        return false;
    if (n <= 0) {
        world->eof = true;
        return false;
    }
    world->bytes_in += (uint64_t)n;
    assert_int_equal(nghttp2_session_mem_recv(world->client, buffer, (size_t)n), n);
    return true;
}

void world_pump(world_t *world)
{
    unsigned quiet = 0;
    while (quiet < 3) {
        bool moved = client_sends(world);
        world_turn(world);
        moved |= client_receives(world);
        quiet = moved ? 0 : quiet + 1;
    }
}

void world_start_in(world_t *world, context_t *context, const pipeline_t *pipeline)
{
    *world = (world_t){.reads = true, .consumes = true, .origin_room = 65536};
    the_world = world;
    world->context = context;
    world->seen = calloc(WORLD_STREAMS, sizeof(*world->seen));
    assert_non_null(world->seen);
    world->conf.limits.head_bytes = 32768;
    world->conf.limits.head_fields = 100;
    world->conf.limits.streams = 128;
    world->conf.limits.memory_bytes = 256 << 20;
    world->conf.timeouts.head = world->conf.timeouts.body_idle = world->conf.timeouts.write_idle =
        world->conf.timeouts.keep_alive = 60000;
    world->loop = loop_new();
    world->context->loop = world->loop;
    world->context->pipeline = pipeline;
    world->context->conf = &world->conf;
    world->context->counters = &world->counters;
    account_root_init(&world->context->memory, NULL);
    world->context->random = random_source_new();
    world->context->scratch = malloc(CONN_TURN_BYTES);
    list_init(&world->context->clients);
    list_init(&world->context->exchanges);
}

void world_start(world_t *world)
{
    world_start_in(world, &world->own, &bare_pipeline);
}

static void never(void *owner)
{
    (void)owner;
    fail();
}

void http2_world_connect(world_t *world)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    static const conn_handlers_t none = {.readable = never, .writable = never};
    client_t accepted = {.context = world->context, .kind = CONF_LISTENER_TLS, .steps = world_steps};
    accepted.conn = conn_new(world->loop, fds[0], NULL, &none, NULL);
    http2_server_new(&accepted);
    world->server = CONTAINER_OF(client_t, link, world->context->clients.next);
    world->fd = fds[1];
    world->client = client_new(world);
    assert_int_equal(nghttp2_submit_settings(world->client, NGHTTP2_FLAG_NONE, NULL, 0), 0);
}

bool world_closed(const world_t *world)
{
    return list_is_empty((list_t *)&world->context->clients);
}

void http2_world_disconnect(world_t *world)
{
    if (!world_closed(world))
        world->server->codec->destroy(world->server);
    assert_int_equal(world->counters.exchanges_open, 0);
    assert_int_equal(world->context->memory.held, 0);
    close(world->fd);
    nghttp2_session_del(world->client);
}

void world_stop(world_t *world)
{
    http2_world_disconnect(world);
    loop_free(&world->loop);
    random_source_free(&world->context->random);
    free(world->context->scratch);
    free(world->seen);
}

nghttp2_nv nv(const char *name, const char *value)
{
    return (nghttp2_nv){.name = (uint8_t *)name,
                        .namelen = strlen(name),
                        .value = (uint8_t *)value,
                        .valuelen = strlen(value)};
}

int32_t world_raw_request(world_t *world, const nghttp2_nv *nva, size_t n)
{
    int32_t id = nghttp2_submit_request(world->client, NULL, nva, n, NULL, NULL);
    assert_true(id > 0);
    return id;
}

static size_t world_head(nghttp2_nv *nva, const char *method, const char *path, const nghttp2_nv *extra,
                         size_t n)
{
    assert_true(n <= WORLD_EXTRA);
    nva[0] = nv(":method", method);
    nva[1] = nv(":scheme", "https");
    nva[2] = nv(":authority", "box-3000.preview.test");
    nva[3] = nv(":path", path);
    for (size_t i = 0; i < n; i++)
        nva[4 + i] = extra[i];
    return 4 + n;
}

int32_t world_request(world_t *world, const char *method, const char *path, const nghttp2_nv *extra, size_t n)
{
    nghttp2_nv nva[WORLD_EXTRA + 4];
    return world_raw_request(world, nva, world_head(nva, method, path, extra, n));
}

int32_t world_raw_upload(world_t *world, const nghttp2_nv *nva, size_t count, const char *body, size_t n,
                         bool open)
{
    int32_t id = (int32_t)nghttp2_session_get_next_stream_id(world->client);
    seen_t *seen = world_seen(world, id);
    seen->upload = body;
    seen->upload_left = n;
    seen->upload_open = open;
    nghttp2_data_provider provider = {.source = {.ptr = seen}, .read_callback = client_upload};
    assert_int_equal(nghttp2_submit_request(world->client, NULL, nva, count, &provider, NULL), id);
    return id;
}

int32_t world_upload(world_t *world, const nghttp2_nv *extra, size_t extra_count, const char *body, size_t n,
                     bool open)
{
    nghttp2_nv nva[WORLD_EXTRA + 4];
    return world_raw_upload(world, nva, world_head(nva, "POST", "/up", extra, extra_count), body, n, open);
}

void world_upload_more(world_t *world, int32_t id, const char *body, size_t n, bool open)
{
    seen_t *seen = world_seen(world, id);
    seen->upload = body;
    seen->upload_left = n;
    seen->upload_open = open;
    assert_int_equal(nghttp2_session_resume_data(world->client, id), 0);
}

void world_raw(world_t *world, const void *bytes, size_t n)
{
    const char *at = bytes;
    while (n != 0) {
        ssize_t sent = send(world->fd, at, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EAGAIN) {
            if (world->counters.http2_abuse_total != 0)
                return; /* the server has had enough, and reads no more */
            world_turn(world);
            (void)client_receives(world);
            continue;
        }
        if (sent < 0)
            return; /* the server has closed, as it may */
        at += sent;
        n -= (size_t)sent;
    }
}

int world_set_up(void **state)
{
    world_t *world = malloc(sizeof(*world));
    world_start(world);
    *state = world;
    return 0;
}

int world_tear_down(void **state)
{
    world_stop(*state);
    free(*state);
    return 0;
}

size_t world_nv_count(const nghttp2_nv *nva)
{
    size_t n = 0;
    while (n < 8 && nva[n].name != NULL)
        n++;
    return n;
}
