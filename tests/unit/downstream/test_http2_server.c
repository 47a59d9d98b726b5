/* Requests, responses, bodies both ways, tunnels, draining: an nghttp2 client against the HTTP/2 server. */
#include "http2_world.h"

static char big[1024 * 1024];

static void test_get(void **state)
{
    world_t *world = *state;
    http2_world_connect(world);
    int32_t id = world_request(world, "GET", "/a?b", NULL, 0);
    world_pump(world);
    exchange_t *ex = world->last;
    assert_non_null(ex);
    assert_true(str_eq(ex->request.method, STR("GET")));
    assert_true(str_eq(ex->request.target, STR("/a?b")));
    assert_true(str_eq(ex->request.authority, STR("box-3000.preview.test")));
    assert_int_equal(ex->request.version, HTTP_2);
    assert_false(ex->request.has_body);
    assert_true(ex->request_complete);
    fields_add(&ex->arena, &ex->response.fields, FIELD_OTHER, STR("X-Mixed"), STR("v"));
    origin_head(ex, 200, 5, false, false);
    origin_body(ex, "hello", 5);
    origin_end(ex);
    world_pump(world);
    seen_t *seen = world_seen(world, id);
    assert_int_equal(seen->status, 200);
    assert_non_null(strstr(seen->fields, "x-mixed: v\n"));
    assert_non_null(strstr(seen->fields, "content-length: 5\n"));
    assert_non_null(strstr(seen->fields, "date: "));
    assert_int_equal(seen->body, 5);
    assert_memory_equal(seen->first, "hello", 5);
    assert_true(seen->ended && seen->closed && !seen->reset);
    assert_int_equal(world->counters.exchanges_open, 0);
    assert_int_equal(world->counters.client_departures_total, 0);
}

static void test_date_of_the_box_stays(void **state)
{
    world_t *world = *state;
    http2_world_connect(world);
    int32_t id = world_request(world, "GET", "/", NULL, 0);
    world_pump(world);
    exchange_t *ex = world->last;
    fields_add(&ex->arena, &ex->response.fields, FIELD_DATE, STR("Date"), STR("then"));
    origin_head(ex, 204, LENGTH_UNKNOWN, true, false);
    origin_end(ex);
    world_pump(world);
    assert_non_null(strstr(world_seen(world, id)->fields, "date: then\n"));
    assert_null(strstr(world_seen(world, id)->fields, "content-length"));
    assert_true(world_seen(world, id)->closed);
}

static void test_head_says_length(void **state)
{
    world_t *world = *state;
    http2_world_connect(world);
    int32_t id = world_request(world, "HEAD", "/", NULL, 0);
    world_pump(world);
    origin_head(world->last, 200, 123456789012, true, false);
    origin_end(world->last);
    world_pump(world);
    assert_non_null(strstr(world_seen(world, id)->fields, "content-length: 123456789012\n"));
    assert_true(world_seen(world, id)->closed);
    assert_int_equal(world_seen(world, id)->body, 0);
}

static void test_informational_and_trailers(void **state)
{
    world_t *world = *state;
    http2_world_connect(world);
    int32_t id = world_request(world, "GET", "/", NULL, 0);
    world_pump(world);
    exchange_t *ex = world->last;
    fields_t hints = {0};
    fields_add(&ex->arena, &hints, FIELD_OTHER, STR("Link"), STR("</a.css>"));
    exchange_response_informational(ex, 103, &hints);
    world_pump(world);
    seen_t *seen = world_seen(world, id);
    assert_int_equal(seen->status, 103);
    assert_non_null(strstr(seen->fields, "link: </a.css>\n"));
    origin_head(ex, 200, LENGTH_UNKNOWN, false, false);
    origin_body(ex, "x", 1);
    world_pump(world);
    assert_int_equal(seen->body, 1);
    assert_false(seen->ended);
    fields_add(&ex->arena, &ex->response.trailers, FIELD_OTHER, STR("Grpc-Status"), STR("0"));
    origin_end(ex);
    world_pump(world);
    assert_string_equal(seen->trailers, "grpc-status: 0\n");
    assert_true(seen->ended && seen->closed && !seen->reset);
}

/* Each passes, also several in one turn; for a client that does not read they accumulate up to a bound. */
static void test_many_informational(void **state)
{
    world_t *world = *state;
    http2_world_connect(world);
    int32_t id = world_request(world, "GET", "/", NULL, 0);
    world_pump(world);
    fields_t hints = {0};
    fields_add(&world->last->arena, &hints, FIELD_OTHER, STR("link"), str_make(big, 4000));
    for (unsigned i = 0; i < 16; i++)
        exchange_response_informational(world->last, 103, &hints);
    world_pump(world);
    assert_int_equal(world_seen(world, id)->informational, 16);
    world->reads = false;
    http2_conn_t *conn = (http2_conn_t *)world->server;
    for (unsigned i = 0; i < 1000; i++) {
        exchange_response_informational(world->last, 103, &hints);
        world_turn(world);
        assert_true(conn->interim <= HTTP2_INTERIM_BYTES);
    }
    assert_true(http2_output_pending(conn));
    world->reads = true;
    world_pump(world);
    assert_in_range(world_seen(world, id)->informational, 17, 16 + 999);
    assert_int_equal(conn->interim, 0);
}

/* The response's bytes are held to a bound while the client gives no window, and flow when it does. */
static void test_download_backpressure(void **state)
{
    world_t *world = *state;
    http2_world_connect(world);
    world->consumes = false;
    int32_t id = world_request(world, "GET", "/", NULL, 0);
    world_pump(world);
    exchange_t *ex = world->last;
    origin_head(ex, 200, LENGTH_UNKNOWN, false, false);
    size_t given = 0, room;
    while ((room = exchange_response_body_room(ex)) != 0) {
        origin_body(ex, big, room);
        given += room;
        world_pump(world);
    }
    seen_t *seen = world_seen(world, id);
    assert_int_equal(seen->body, 65535);
    assert_int_equal(given, 65535 + HTTP2_ROOM_BYTES);
    assert_int_equal(world->resumed, 0);
    /* Half of it leaves, which makes room. */
    assert_int_equal(nghttp2_session_consume(world->client, id, 65535), 0);
    world_pump(world);
    assert_int_equal(world->resumed, 1);
    assert_true(exchange_response_body_room(ex) >= HTTP2_ROOM_BYTES / 2);
    assert_int_equal(nghttp2_session_consume(world->client, id, 65535), 0);
    origin_end(ex);
    world_pump(world);
    assert_int_equal(seen->body, given);
    assert_true(seen->closed);
}

static void test_upload(void **state)
{
    world_t *world = *state;
    http2_world_connect(world);
    nghttp2_nv length = nv("content-length", "11");
    int32_t id = world_upload(world, &length, 1, "hello world", 11, false);
    world_pump(world);
    exchange_t *ex = world->last;
    assert_true(ex->request.has_body);
    assert_int_equal(ex->request.content_length, 11);
    assert_null(fields_find(&ex->request.fields, FIELD_CONTENT_LENGTH));
    assert_int_equal(world->taken, 11);
    assert_memory_equal(world->request_body, "hello world", 11);
    assert_true(world->request_ended);
    origin_head(ex, 200, 0, true, false);
    origin_end(ex);
    world_pump(world);
    assert_true(world_seen(world, id)->closed && !world_seen(world, id)->reset);
}

/* While the origin takes nothing, the client sends its 64 KiB window and no more; other streams go on. */
static void test_held_upload(void **state)
{
    world_t *world = *state;
    http2_world_connect(world);
    world->origin_room = 0;
    int32_t id = world_upload(world, NULL, 0, big, sizeof(big), false);
    world_pump(world);
    exchange_t *held = world->last;
    assert_int_equal(sizeof(big) - world_seen(world, id)->upload_left, HTTP2_WINDOW_MIN);
    assert_int_equal(world->taken, 0);
    assert_int_equal(((http2_conn_t *)world->server)->held, HTTP2_WINDOW_MIN);
    assert_int_equal(world->window_updates, 0);
    world->answer_at_once = true;
    int32_t other = world_upload(world, NULL, 0, big, 50000, false);
    world_pump(world);
    assert_int_equal(world_seen(world, other)->status, 200);
    world->window_updates = 0; /* of the other one */
    /* The origin takes 10,000: no more is admitted before it takes the rest too. */
    world->origin_room = 10000;
    exchange_request_room_grew(held);
    world_pump(world);
    assert_int_equal(world->taken, 10000);
    assert_int_equal(world->window_updates, 0);
    while (!world->request_ended) {
        world->origin_room = 65536;
        exchange_request_room_grew(held);
        world_pump(world);
        assert_true(((http2_conn_t *)world->server)->held <= HTTP2_WINDOW_MIN);
    }
    assert_int_equal(world->taken, sizeof(big));
    origin_head(held, 200, 0, true, false);
    origin_end(held);
    world_pump(world);
    assert_true(world_seen(world, id)->closed);
}

/* A held upload continues, and the origin answers at the flush of its next bytes: the answer ends the stream,
 * which releases its memory while the bytes are on their way. */
static void test_held_upload_that_is_answered(void **state)
{
    world_t *world = *state;
    const http2_conn_t *conn;
    http2_world_connect(world);
    conn = (http2_conn_t *)world->server;
    for (int open = 0; open < 2; open++) {
        world->origin_room = world->refuses_at = world->taken = 0;
        int32_t id = world_upload(world, NULL, 0, big, 30000, open);
        world_pump(world);
        assert_int_equal(conn->held, 30000);
        world->origin_room = world->refuses_at = 10000;
        exchange_request_room_grew(world->last);
        world_pump(world);
        const seen_t *seen = world_seen(world, id);
        assert_true(seen->ended);
        assert_int_equal(seen->status, 413);
        assert_string_equal(seen->first, "too much");
        assert_int_equal(world->taken, 10000);
        assert_int_equal(conn->held, 0);
        assert_int_equal(seen->closed, !open); /* the edge still listens to the client for a while */
    }
    world->answer_at_once = true; /* the connection remains in service */
    int32_t id = world_upload(world, NULL, 0, big, 100, false);
    world_pump(world);
    assert_int_equal(world_seen(world, id)->status, 200);
}

/* A connection holds at most 1 MiB, and its window stays open. */
static void test_held_bound(void **state)
{
    world_t *world = *state;
    http2_world_connect(world);
    world->origin_room = 0;
    int32_t ids[20];
    for (size_t i = 0; i < 20; i++)
        ids[i] = world_upload(world, NULL, 0, big, 65535, true);
    world_pump(world);
    assert_true(((http2_conn_t *)world->server)->held <= HTTP2_HELD_BYTES);
    unsigned reset = 0;
    for (size_t i = 0; i < 20; i++) {
        const seen_t *seen = world_seen(world, ids[i]);
        reset += seen->reset;
        assert_true(!seen->reset || seen->code == NGHTTP2_ENHANCE_YOUR_CALM);
    }
    assert_int_equal(reset, 4);
    world->answer_at_once = true;
    int32_t other = world_upload(world, NULL, 0, big, 1000, false);
    world_pump(world);
    assert_int_equal(world_seen(world, other)->status, 200);
}

static void test_upload_trailers(void **state)
{
    world_t *world = *state;
    http2_world_connect(world);
    int32_t id = world_upload(world, NULL, 0, "abc", 3, true);
    world_pump(world);
    assert_false(world->request_ended);
    nghttp2_nv trailer = nv("x-sum", "9");
    assert_int_equal(nghttp2_submit_trailer(world->client, id, &trailer, 1), 0);
    world_pump(world);
    assert_true(world->request_ended);
    assert_int_equal(world->last->request.trailers.count, 1);
    assert_true(str_eq(world->last->request.trailers.at[0].value, STR("9")));
}

/* RFC 9113 section 8.1: END_STREAM, then RST_STREAM(NO_ERROR) if the client does not end (test_http2_rest.c
 * has the rest). */
static void test_response_before_the_request_ends(void **state)
{
    world_t *world = *state;
    http2_world_connect(world);
    int32_t id = world_upload(world, NULL, 0, big, sizeof(big), true);
    world->origin_room = 0;
    world_pump(world);
    origin_head(world->last, 403, 2, false, false);
    origin_body(world->last, "no", 2);
    origin_end(world->last);
    world_pump(world);
    seen_t *seen = world_seen(world, id);
    assert_int_equal(seen->status, 403);
    assert_true(seen->ended && !seen->reset);
    loop_skip(world->loop, LINGER_IDLE_MS);
    world_pump(world);
    assert_true(seen->reset);
    assert_int_equal(seen->code, NGHTTP2_NO_ERROR);
    assert_int_equal(world->counters.exchanges_open, 0);
    assert_int_equal(world->counters.client_departures_total, 0);
}

static void test_expect(void **state)
{
    world_t *world = *state;
    http2_world_connect(world);
    nghttp2_nv expect = nv("expect", "100-continue");
    int32_t id = world_upload(world, &expect, 1, "", 0, true);
    world_pump(world);
    assert_true(world->last->request.expect_continue);
    assert_int_equal(world_seen(world, id)->status, 100);
    world_upload_more(world, id, "abc", 3, false);
    world_pump(world);
    assert_int_equal(world->taken, 3);
    assert_true(world->request_ended);
}

static void test_cut(void **state)
{
    world_t *world = *state;
    http2_world_connect(world);
    int32_t id = world_request(world, "GET", "/", NULL, 0);
    world_pump(world);
    exchange_t *ex = world->last;
    origin_head(ex, 200, 100, false, false);
    origin_body(ex, "half", 4);
    ex->origin_ops = NULL;
    exchange_origin_failed(ex, ORIGIN_CLOSED);
    world_pump(world);
    assert_true(world_seen(world, id)->reset);
    assert_int_equal(world_seen(world, id)->code, NGHTTP2_INTERNAL_ERROR);
    assert_int_equal(world->counters.exchanges_open, 0);
}

static void test_client_resets(void **state)
{
    world_t *world = *state;
    http2_world_connect(world);
    int32_t id = world_request(world, "GET", "/", NULL, 0);
    world_pump(world);
    origin_head(world->last, 200, LENGTH_UNKNOWN, false, false);
    origin_body(world->last, big, 1000);
    assert_int_equal(nghttp2_submit_rst_stream(world->client, 0, id, NGHTTP2_CANCEL), 0);
    world_pump(world);
    assert_int_equal(world->cancelled, 1);
    assert_int_equal(world->counters.client_departures_total, 1);
    assert_int_equal(world->counters.exchanges_open, 0);
    assert_false(world_closed(world));
}

static void test_client_leaves(void **state)
{
    world_t *world = *state;
    http2_world_connect(world);
    for (unsigned i = 0; i < 5; i++)
        world_request(world, "GET", "/", NULL, 0);
    world_pump(world);
    assert_int_equal(world->counters.exchanges_open, 5);
    assert_int_equal(shutdown(world->fd, SHUT_WR), 0);
    world_until(world, world_closed(world), 30000);
    assert_int_equal(world->cancelled, 5);
    assert_int_equal(world->counters.client_departures_total, 5);
}

/* ---- tunnels (RFC 8441) ---- */

static int32_t open_tunnel(world_t *world)
{
    const nghttp2_nv nva[] = {nv(":method", "CONNECT"), nv(":protocol", "websocket"),
                              nv(":scheme", "https"),   nv(":authority", "box-3000.preview.test"),
                              nv(":path", "/ws"),       nv("sec-websocket-version", "13")};
    int32_t id = world_raw_upload(world, nva, 6, "", 0, true);
    world_pump(world);
    exchange_t *ex = world->last;
    assert_non_null(ex);
    assert_true(ex->request.websocket);
    assert_true(str_eq(ex->request.method, STR("GET")));
    assert_int_equal(ex->request.websocket_key.n, 0);
    fields_add(&ex->arena, &ex->response.fields, FIELD_SEC_WEBSOCKET_ACCEPT, STR("Sec-WebSocket-Accept"),
               STR("zzz"));
    origin_head(ex, 101, LENGTH_UNKNOWN, false, true);
    world_pump(world);
    assert_int_equal(world_seen(world, id)->status, 200);
    assert_null(strstr(world_seen(world, id)->fields, "sec-websocket-accept"));
    assert_false(world_seen(world, id)->ended);
    return id;
}

static void test_tunnel(void **state)
{
    world_t *world = *state;
    http2_world_connect(world);
    int32_t id = open_tunnel(world);
    seen_t *seen = world_seen(world, id);
    world_upload_more(world, id, "\x81\x80\1\2\3\4", 6, true);
    world_pump(world);
    assert_int_equal(world->taken, 6);
    origin_body(world->last, "\x81\x01x", 3);
    world_pump(world);
    assert_int_equal(seen->body, 3);
    /* The box ends its direction; the client's continues. */
    origin_end(world->last);
    world_pump(world);
    assert_true(seen->ended && !seen->closed && !seen->reset);
    world_upload_more(world, id, "more", 4, false);
    world_pump(world);
    assert_int_equal(world->taken, 10);
    assert_true(world->request_ended);
    assert_true(seen->closed && !seen->reset);
    assert_int_equal(world->counters.exchanges_open, 0);
}

static void test_tunnel_client_ends_first(void **state)
{
    world_t *world = *state;
    http2_world_connect(world);
    int32_t id = open_tunnel(world);
    world_upload_more(world, id, "", 0, false);
    world_pump(world);
    assert_true(world->request_ended);
    assert_int_equal(world->counters.exchanges_open, 1);
    origin_body(world->last, "\x81\x01x", 3);
    origin_end(world->last);
    world_pump(world);
    assert_int_equal(world_seen(world, id)->body, 3);
    assert_true(world_seen(world, id)->closed && !world_seen(world, id)->reset);
}

/* Bytes that the client sent before its end reach the box, though both directions have ended on the wire. */
static void test_tunnel_last_bytes(void **state)
{
    world_t *world = *state;
    http2_world_connect(world);
    int32_t id = open_tunnel(world);
    origin_end(world->last);
    world->origin_room = 10;
    world_upload_more(world, id, big, 50000, false);
    world_pump(world);
    assert_true(world_seen(world, id)->closed);
    assert_int_equal(world->taken, 10);
    assert_int_equal(world->counters.exchanges_open, 1);
    world->origin_room = 65536;
    exchange_request_room_grew(world->last);
    world_pump(world);
    assert_int_equal(world->taken, 50000);
    assert_true(world->request_ended);
    assert_int_equal(world->counters.exchanges_open, 0);
}

static void test_tunnel_cut(void **state)
{
    world_t *world = *state;
    http2_world_connect(world);
    int32_t id = open_tunnel(world);
    exchange_t *ex = world->last;
    ex->origin_ops = NULL;
    exchange_origin_failed(ex, ORIGIN_CLOSED);
    world_pump(world);
    assert_true(world_seen(world, id)->reset);
    assert_int_equal(world_seen(world, id)->code, NGHTTP2_CANCEL);
}

/* ---- draining ---- */

static void test_drain(void **state)
{
    world_t *world = *state;
    http2_world_connect(world);
    int32_t id = world_request(world, "GET", "/", NULL, 0);
    world_pump(world);
    exchange_t *ex = world->last;
    origin_head(ex, 200, LENGTH_UNKNOWN, false, false);
    world->server->codec->drain(world->server);
    world_until(world, world->goaways == 2, 30000); /* the client answers the PING */
    assert_int_equal(world->goaway_code, NGHTTP2_NO_ERROR);
    assert_false(world->eof);
    origin_body(ex, "last", 4);
    origin_end(ex);
    world_until(world, world->eof, 30000);
    assert_true(world_seen(world, id)->closed && !world_seen(world, id)->reset);
    assert_int_equal(world_seen(world, id)->body, 4);
    close(world->fd);
    world->fd = -1;
    world_until(world, world_closed(world), 30000);
}

static void test_drain_idle(void **state)
{
    world_t *world = *state;
    http2_world_connect(world);
    world_pump(world);
    world->server->codec->drain(world->server);
    world_until(world, world->eof, 30000);
    assert_true(world->goaway);
    assert_int_equal(shutdown(world->fd, SHUT_WR), 0);
    world_until(world, world_closed(world), 30000);
}

/* An idle connection holds no output memory. Its session counts, and closing it frees that memory. */
static void test_idle_is_small(void **state)
{
    world_t *world = *state;
    http2_world_connect(world);
    world->answer_at_once = true;
    for (unsigned i = 0; i < 100; i++)
        world_request(world, "GET", "/", NULL, 0);
    world_pump(world);
    assert_int_equal(world->started, 100);
    const http2_conn_t *conn = (const http2_conn_t *)world->server;
    assert_null(conn->output.bytes);
    assert_int_equal(conn->stream_count, 0);
    assert_in_range(conn->memory.bytes, 4096, 32768);
    assert_int_equal(world->context->memory.held, conn->memory.bytes);
    assert_int_equal(world->context->connection_bytes, conn->memory.bytes);
    world->answer_at_once = false;
    world_request(world, "GET", "/", NULL, 0);
    world_pump(world);
    assert_true(world->context->memory.held > conn->memory.bytes);
    assert_int_equal(world->context->connection_bytes, 0); /* its memory now equals one request's */
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, world_set_up, world_tear_down)
    const struct CMUnitTest tests[] = {T(test_get),
                                       T(test_date_of_the_box_stays),
                                       T(test_head_says_length),
                                       T(test_informational_and_trailers),
                                       T(test_many_informational),
                                       T(test_download_backpressure),
                                       T(test_upload),
                                       T(test_held_upload),
                                       T(test_held_upload_that_is_answered),
                                       T(test_held_bound),
                                       T(test_upload_trailers),
                                       T(test_response_before_the_request_ends),
                                       T(test_expect),
                                       T(test_cut),
                                       T(test_client_resets),
                                       T(test_client_leaves),
                                       T(test_tunnel),
                                       T(test_tunnel_client_ends_first),
                                       T(test_tunnel_last_bytes),
                                       T(test_tunnel_cut),
                                       T(test_drain),
                                       T(test_drain_idle),
                                       T(test_idle_is_small)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
