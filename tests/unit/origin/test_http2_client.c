/* The HTTP/2 client against an origin that the test plays on loopback. */
#include "http2_origin_world.h"

#include "http2_client_internal.h"
#include "list.h"

static int setup(void **state)
{
    *state = origin_world_new();
    return 0;
}

static int teardown(void **state)
{
    origin_world_free(*state);
    return 0;
}

static const char *text_of(const exchange_t *ex, const char *name)
{
    static char out[256];
    out[0] = '\0';
    for (uint32_t i = 0; i < ex->response.fields.count; i++)
        if (str_ieq(ex->response.fields.at[i].name, str_from(name)))
            (void)snprintf(out, sizeof(out), "%.*s", STR_ARG(ex->response.fields.at[i].value));
    return out;
}

static void test_a_request_and_its_answer(void **state)
{
    origin_world_t *world = *state;
    call_t *call = call_start(world, "GET");
    peer_t *peer = peer_accept(world);
    PUMP_UNTIL(world, peer, peer_stream(peer, 1)->ended);
    const char *fields = peer_stream(peer, 1)->fields;
    assert_non_null(strstr(fields, ":method: GET\n"));
    assert_non_null(strstr(fields, ":scheme: http\n"));
    assert_non_null(strstr(fields, ":path: /path?q\n"));
    assert_non_null(strstr(fields, ":authority: box-1.preview.test\n"));
    assert_non_null(strstr(fields, "x-forwarded-for: 192.0.2.1\n"));
    assert_null(strstr(fields, "\nhost:"));
    peer_answer(peer, 1, "200", 10, NULL);
    PUMP_UNTIL(world, peer, call->ends == 1);
    assert_int_equal(call->ex->status, 200);
    assert_string_equal(text_of(call->ex, "x-app"), "here");
    assert_int_equal(call->ex->response.content_length, LENGTH_UNKNOWN);
    expect_out(call, STR("yyyyyyyyyy"));
    call_free(call);
    peer_free(peer);
}

static void test_an_answer_without_a_body(void **state)
{
    origin_world_t *world = *state;
    static const struct {
        const char *method, *status;
        uint64_t length;
    } cases[] = {{"GET", "200", 0},
                 {"GET", "204", LENGTH_UNKNOWN},
                 {"GET", "304", LENGTH_UNKNOWN},
                 {"HEAD", "200", LENGTH_UNKNOWN}};
    peer_t *peer = NULL;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int32_t id = (int32_t)(2 * i + 1);
        call_t *call = call_start(world, cases[i].method);
        if (peer == NULL)
            peer = peer_accept(world);
        PUMP_UNTIL(world, peer, peer_stream(peer, id)->ended);
        peer_answer(peer, id, cases[i].status, 0, NULL);
        PUMP_UNTIL(world, peer, call->ends == 1);
        assert_true(call->ex->response.bodyless);
        assert_int_equal(call->ex->response.content_length, cases[i].length);
        call_free(call);
    }
    assert_int_equal(world->fixture->counters.origin_connects_total, 1);
    assert_int_equal(world->fixture->counters.origin_reuses_total, 3);
    peer_free(peer);
}

static void test_trailers_both_ways(void **state)
{
    origin_world_t *world = *state;
    call_t *call = call_new(world, "POST");
    exchange_t *ex = call->ex;
    ex->request.has_body = true;
    fields_add(&ex->arena, &ex->request.fields, FIELD_TE, STR("te"), STR("trailers"));
    exchange_start(ex);
    call_send(call, STR("hello"));
    fields_add(&ex->arena, &ex->request.trailers, FIELD_OTHER, STR("x-sum"), STR("5"));
    call_end(call);
    peer_t *peer = peer_accept(world);
    PUMP_UNTIL(world, peer, peer_stream(peer, 1)->ended);
    assert_string_equal(peer_stream(peer, 1)->first, "hello");
    assert_string_equal(peer_stream(peer, 1)->trailers, "x-sum: 5\n");
    assert_non_null(strstr(peer_stream(peer, 1)->fields, "te: trailers\n"));
    peer_answer(peer, 1, "200", 3, "0");
    PUMP_UNTIL(world, peer, call->ends == 1);
    assert_int_equal(ex->response.trailers.count, 1);
    assert_true(str_eq(ex->response.trailers.at[0].name, STR("grpc-status")));
    call_free(call);
    peer_free(peer);
}

static void test_interim_heads_pass(void **state)
{
    origin_world_t *world = *state;
    call_t *call = call_start(world, "GET");
    peer_t *peer = peer_accept(world);
    PUMP_UNTIL(world, peer, peer_stream(peer, 1)->ended);
    nghttp2_nv nv = {(uint8_t *)":status", (uint8_t *)"103", 7, 3, 0};
    assert_int_equal(nghttp2_submit_headers(peer->session, NGHTTP2_FLAG_NONE, 1, NULL, &nv, 1, NULL), 0);
    peer_answer(peer, 1, "200", 1, NULL);
    PUMP_UNTIL(world, peer, call->ends == 1);
    assert_int_equal(call->informational_count, 1);
    assert_int_equal(call->informational[0], 103);
    call_free(call);
    peer_free(peer);
}

/* The client takes that many bytes more; true when it has all. */
static bool takes(call_t *call, size_t room)
{
    call->room = room;
    if (call->ends == 0)
        exchange_response_room(call->ex);
    return call->ends != 0;
}

/* A client that reads nothing gets 64 KiB held for it and stops its stream; another client is served. */
static void test_a_slow_client_stalls_only_itself(void **state)
{
    origin_world_t *world = *state;
    call_t *slow = call_new(world, "GET");
    slow->room = 0;
    exchange_start(slow->ex);
    call_t *other = call_start(world, "GET");
    peer_t *peer = peer_accept(world);
    PUMP_UNTIL(world, peer, peer_stream(peer, 3)->ended);
    peer_answer(peer, 1, "200", 300000, NULL);
    peer_answer(peer, 3, "200", 200000, NULL);
    PUMP_UNTIL(world, peer, takes(other, EXCHANGE_BODY_BYTES));
    assert_int_equal(other->out_n, 200000);
    http2_client_t *client = slow->ex->origin;
    assert_int_equal(client->in.size, 65535);
    assert_int_equal(peer_stream(peer, 1)->left, 300000 - 65535);
    PUMP_UNTIL(world, peer, takes(slow, 10000));
    assert_int_equal(slow->out_n, 300000);
    call_free(slow);
    call_free(other);
    peer_free(peer);
}

/* The origin has a GET whose client has no room. */
static peer_t *stalled_call(origin_world_t *world, call_t **call)
{
    *call = call_new(world, "GET");
    (*call)->room = 0;
    exchange_start((*call)->ex);
    peer_t *peer = peer_accept(world);
    PUMP_UNTIL(world, peer, peer_stream(peer, 1)->ended);
    return peer;
}

/* The last bytes wait for the client; the end of their connection meanwhile loses none of them. */
static void test_what_came_outlives_its_connection(void **state)
{
    origin_world_t *world = *state;
    call_t *call;
    peer_t *peer = stalled_call(world, &call);
    peer_answer(peer, 1, "200", 5000, "0");
    PUMP_UNTIL(world, peer, ((http2_client_t *)call->ex->origin)->response_ended);
    peer_free(peer);
    TURN_UNTIL(world, http2_origins_count(world->fixture->context->http2_origins) == 0);
    call->room = EXCHANGE_BODY_BYTES;
    exchange_response_room(call->ex);
    assert_int_equal(call->ends, 1);
    assert_int_equal(call->out_n, 5000);
    assert_int_equal(call->ex->response.trailers.count, 1);
    call_free(call);
}

/* The client has room, which is noted for the end of the turn; before that the answer's stream closes. */
static void test_room_that_comes_as_the_stream_closes(void **state)
{
    origin_world_t *world = *state;
    call_t *call;
    peer_t *peer = stalled_call(world, &call);
    peer_answer(peer, 1, "200", 300000, NULL);
    http2_client_t *client = call->ex->origin;
    PUMP_UNTIL(world, peer, client->in.size == 65535);
    call->room = EXCHANGE_BODY_BYTES;
    exchange_response_room(call->ex);
    assert_int_equal(call->out_n, 0);
    client->response_ended = true; /* the received bytes are the whole answer */
    http2_client_orphan(client);
    assert_int_equal(call->ends, 1);
    assert_int_equal(call->out_n, 65535);
    call_free(call);
    peer_free(peer);
}

/* An upload stops at 64 KiB while the origin grants no window, and continues when it does. */
static void test_an_origin_that_takes_nothing(void **state)
{
    origin_world_t *world = *state;
    static char block[16384];
    memset(block, 'x', sizeof(block));
    call_t *call = call_new(world, "PUT");
    call->ex->request.has_body = true;
    exchange_start(call->ex);
    nghttp2_settings_entry none[] = {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0}};
    peer_t *peer = peer_accept(world);
    assert_int_equal(nghttp2_submit_settings(peer->session, NGHTTP2_FLAG_NONE, none, 1), 0);
    PUMP_UNTIL(world, peer, peer_stream(peer, 1)->head);
    for (int i = 0; i < 20; i++)
        pump(world, peer);
    size_t sent = 0, room;
    while ((room = exchange_request_room(call->ex)) != 0) {
        size_t n = room < sizeof(block) ? room : sizeof(block);
        call_send(call, str_make(block, n));
        sent += n;
        pump(world, peer);
    }
    assert_int_equal(sent, EXCHANGE_BODY_BYTES);
    assert_int_equal(peer_stream(peer, 1)->body, 0);
    unsigned resumes = call->resumes;
    none[0].value = 65535;
    assert_int_equal(nghttp2_submit_settings(peer->session, NGHTTP2_FLAG_NONE, none, 1), 0);
    PUMP_UNTIL(world, peer, peer_stream(peer, 1)->body >= 65535);
    assert_true(call->resumes > resumes);
    for (; sent < 300000; pump(world, peer)) {
        room = exchange_request_room(call->ex);
        size_t n = room < sizeof(block) ? room : sizeof(block);
        n = n < 300000 - sent ? n : 300000 - sent;
        if (n != 0)
            call_send(call, str_make(block, n));
        sent += n;
    }
    call_end(call);
    PUMP_UNTIL(world, peer, peer_stream(peer, 1)->ended);
    assert_int_equal(peer_stream(peer, 1)->body, 300000);
    peer_answer(peer, 1, "200", 0, NULL);
    PUMP_UNTIL(world, peer, call->ends == 1);
    call_free(call);
    peer_free(peer);
}

/* More requests than the origin allows at a time make more connections. */
static void test_connections_as_the_origin_allows(void **state)
{
    origin_world_t *world = *state;
    call_t *calls[5];
    calls[0] = call_start(world, "GET");
    peer_t *first = peer_accept_as(world, true, 2);
    PUMP_UNTIL(world, first, peer_stream(first, 1)->ended);
    PUMP_UNTIL(world, first, ((http2_client_t *)calls[0]->ex->origin)->origin->limit == 2);
    for (int i = 1; i < 5; i++)
        calls[i] = call_start(world, "GET");
    PUMP_UNTIL(world, first, peer_stream(first, 3)->ended);
    peer_t *second = peer_accept_as(world, true, 2), *third = peer_accept_as(world, true, 2);
    PUMP_UNTIL(world, second, peer_stream(second, 3)->ended);
    PUMP_UNTIL(world, third, peer_stream(third, 1)->ended);
    assert_int_equal(http2_origins_count(world->fixture->context->http2_origins), 3);
    for (int i = 0; i < 5; i++)
        call_free(calls[i]);
    PUMP_UNTIL(world, first, peer_stream(first, 3)->reset && peer_stream(first, 1)->reset);
    assert_int_equal(peer_stream(first, 1)->code, NGHTTP2_CANCEL);
    peer_free(first);
    peer_free(second);
    peer_free(third);
}

/* A connection that is idle closes after its time, with a GOAWAY. */
static void test_idle_connections_close(void **state)
{
    origin_world_t *world = *state;
    world->fixture->context->conf->timeouts.pool_idle = 20;
    call_t *call = call_start(world, "GET");
    peer_t *peer = peer_accept(world);
    PUMP_UNTIL(world, peer, peer_stream(peer, 1)->ended);
    peer_answer(peer, 1, "200", 0, NULL);
    PUMP_UNTIL(world, peer, call->ends == 1);
    PUMP_UNTIL(world, peer, peer->eof);
    assert_true(peer->goaway);
    assert_int_equal(http2_origins_count(world->fixture->context->http2_origins), 0);
    call_free(call);
    peer_free(peer);
}

/* A box that has moved: idle connections close, exchanges under way end first. */
static void test_drop(void **state)
{
    origin_world_t *world = *state;
    http2_origins_t *origins = world->fixture->context->http2_origins;
    call_t *call = call_start(world, "GET");
    peer_t *peer = peer_accept(world);
    PUMP_UNTIL(world, peer, peer_stream(peer, 1)->ended);
    http2_origins_drop(origins, STR("other"), 7);
    http2_origins_drop(origins, STR("box"), 0); /* this is its present generation */
    http2_origins_drop(origins, STR("box"), 1);
    pump(world, peer);
    assert_int_equal(http2_origins_count(origins), 1);
    peer_answer(peer, 1, "200", 3, NULL);
    PUMP_UNTIL(world, peer, call->ends == 1);
    PUMP_UNTIL(world, peer, peer->eof);
    assert_int_equal(http2_origins_count(origins), 0);
    call_free(call);
    peer_free(peer);
}

/* A request goes to a moved box's new address if nothing was sent before; later it does not. */
static void test_again(void **state)
{
    origin_world_t *world = *state;
    call_t *call = call_start(world, "POST");
    store_box_t now = call->ex->box;
    now.generation = 7;
    assert_true(call->ex->origin_ops->again(call->ex, &now, 1));
    assert_int_equal(call->ex->target.generation, 7);
    peer_t *peer = NULL;
    for (int i = 0; i < 2 && (peer == NULL || !peer_stream(peer, 1)->ended); i++) {
        if (peer != NULL) /* the connection to the old address, for which nobody waited any more */
            peer_free(peer);
        peer = peer_accept(world);
        PUMP_UNTIL(world, peer, peer->eof || peer_stream(peer, 1)->ended);
    }
    assert_true(peer_stream(peer, 1)->ended);
    assert_false(call->ex->origin_ops->again(call->ex, &now, 1));
    peer_answer(peer, 1, "200", 0, NULL);
    PUMP_UNTIL(world, peer, call->ends == 1);
    call_free(call);
    peer_free(peer);
}

/* nghttp2 copies the head on submit: the exchange keeps neither the list nor the values made for it. */
static void test_a_forwarded_head_is_not_kept(void **state)
{
    origin_world_t *world = *state;
    static char loop[20001];
    memset(loop, 'n', sizeof(loop) - 1);
    call_t *call = call_new(world, "GET");
    exchange_t *ex = call->ex;
    fields_add(&ex->arena, &ex->request.fields, FIELD_CDN_LOOP, STR("cdn-loop"), str_from(loop));
    for (int i = 0; i < 400; i++)
        fields_add(&ex->arena, &ex->request.fields, FIELD_OTHER, STR("x-a"), STR("1"));
    exchange_count(ex);
    uint64_t before = ex->arena_bytes;
    exchange_start(ex);
    peer_t *peer = peer_accept(world);
    PUMP_UNTIL(world, peer, peer_stream(peer, 1)->ended);
    exchange_count(ex);
    assert_in_range(ex->arena_bytes, before, before + 4096);
    peer_answer(peer, 1, "200", 0, NULL);
    PUMP_UNTIL(world, peer, call->ends == 1);
    call_free(call);
    peer_free(peer);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(test_a_forwarded_head_is_not_kept, setup, teardown),
    cmocka_unit_test_setup_teardown(test_a_request_and_its_answer, setup, teardown),
    cmocka_unit_test_setup_teardown(test_an_answer_without_a_body, setup, teardown),
    cmocka_unit_test_setup_teardown(test_trailers_both_ways, setup, teardown),
    cmocka_unit_test_setup_teardown(test_interim_heads_pass, setup, teardown),
    cmocka_unit_test_setup_teardown(test_a_slow_client_stalls_only_itself, setup, teardown),
    cmocka_unit_test_setup_teardown(test_what_came_outlives_its_connection, setup, teardown),
    cmocka_unit_test_setup_teardown(test_room_that_comes_as_the_stream_closes, setup, teardown),
    cmocka_unit_test_setup_teardown(test_an_origin_that_takes_nothing, setup, teardown),
    cmocka_unit_test_setup_teardown(test_connections_as_the_origin_allows, setup, teardown),
    cmocka_unit_test_setup_teardown(test_idle_connections_close, setup, teardown),

    cmocka_unit_test_setup_teardown(test_drop, setup, teardown),
    cmocka_unit_test_setup_teardown(test_again, setup, teardown),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
