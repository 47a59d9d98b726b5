/* The exchange between two codecs that the test plays: its states, the room for bodies, the edge's own
 * answers, cuts, and the ends of a tunnel. */
#include "exchange_world.h"

static void refuse(exchange_world_t *world)
{
    exchange_refuse(world->ex, 400, "bad_request", "This is wrong.", NULL);
}

static void expect_refusal(exchange_world_t *world)
{
    assert_int_equal(world->ex->state, EXCHANGE_DONE);
    assert_int_equal(world->ex->status, 400);
    assert_string_equal(world->ex->local_code, "bad_request");
    assert_int_equal(world->heads, 1);
    assert_int_equal(world->ends, 1);
    assert_int_equal(world->cuts, 0);
    assert_int_equal(world->ex->response.content_length, world->out_n);
    assert_int_equal(world->ex->response_bytes, world->out_n);
    assert_non_null(memmem(world->out, world->out_n, "\"code\":\"bad_request\"", 20));
    assert_null(world->ex->origin_ops);
}

/* ---- refusals in each state ---- */

static void test_refused_before_the_start(void **state)
{
    (void)state;
    exchange_world_t *world = exchange_world_new();
    refuse(world);
    expect_refusal(world);
    exchange_world_free(world);
}

static void test_refused_while_a_step_waits(void **state)
{
    (void)state;
    exchange_world_t *world = exchange_world_new();
    world->answer = STEP_WAIT;
    world->ex->request.has_body = true;
    exchange_start(world->ex);
    exchange_request_body(world->ex, STR("held"));
    refuse(world);
    expect_refusal(world);
    assert_int_equal(exchange_request_room(world->ex), 0);
    exchange_world_free(world);
}

static void test_refused_at_the_origin(void **state)
{
    (void)state;
    exchange_world_t *world = exchange_world_new();
    exchange_start(world->ex);
    refuse(world);
    expect_refusal(world);
    assert_int_equal(world->cancels, 1);
    exchange_world_free(world);
}

/* A response that has begun can only be cut; the origin's bytes before the cut leave. */
static void test_refused_in_the_response(void **state)
{
    (void)state;
    exchange_world_t *world = exchange_world_new();
    exchange_start(world->ex);
    world_respond(world);
    char *piece = strdup("piece");
    exchange_response_body(world->ex, str_make(piece, 5));
    refuse(world);
    free(piece);
    assert_int_equal(world->cuts, 1);
    assert_int_equal(world->ends, 0);
    assert_int_equal(world->cancels, 1);
    assert_int_equal(world->ex->state, EXCHANGE_DONE);
    expect_out(world, STR("piece"));
    refuse(world); /* nothing is left to be cut */
    assert_int_equal(world->cuts, 1);
    exchange_world_free(world);
}

static void test_refused_in_a_tunnel(void **state)
{
    (void)state;
    exchange_world_t *world = exchange_world_new();
    world_open_tunnel(world);
    refuse(world);
    assert_int_equal(world->cuts, 1);
    assert_int_equal(world->cancels, 1);
    assert_int_equal(exchange_request_room(world->ex), 0);
    exchange_world_free(world);
}

/* The origin releases itself before it reports its end, and is not cancelled. */
static void test_an_origin_that_fails(void **state)
{
    (void)state;
    for (int began = 0; began < 2; began++) {
        exchange_world_t *world = exchange_world_new();
        exchange_start(world->ex);
        if (began)
            world_respond(world);
        world->ex->origin_ops = NULL;
        exchange_origin_failed(world->ex, ORIGIN_CLOSED);
        assert_int_equal(world->cancels, 0);
        assert_string_equal(world->ex->local_code, "origin_closed");
        assert_int_equal(world->cuts, began);
        assert_int_equal(world->ends, 1 - began);
        assert_int_equal(world->ex->status, began ? 200 : 502);
        exchange_world_free(world);
    }
}

/* ---- room ---- */

static void test_room_before_the_origin(void **state)
{
    (void)state;
    exchange_world_t *world = exchange_world_new();
    static char body[EXCHANGE_BODY_BYTES];
    world->answer = STEP_WAIT;
    world->ex->request.has_body = true;
    assert_int_equal(exchange_request_room(world->ex), 0); /* the head is not complete */
    exchange_start(world->ex);
    assert_int_equal(exchange_request_room(world->ex), EXCHANGE_BODY_BYTES);
    exchange_request_body(world->ex, str_make(body, 1));
    assert_int_equal(exchange_request_room(world->ex), EXCHANGE_BODY_BYTES - 1);
    exchange_request_body(world->ex, str_make(body, EXCHANGE_BODY_BYTES - 1));
    assert_int_equal(exchange_request_room(world->ex), 0);
    assert_int_equal(buffer_size(&world->ex->held), EXCHANGE_BODY_BYTES);
    world->answer = STEP_DONE;
    await_complete(world->ex);
    assert_int_equal(exchange_request_room(world->ex), EXCHANGE_BODY_BYTES); /* the origin's */
    world->origin_room = 7;
    assert_int_equal(exchange_request_room(world->ex), 7);
    exchange_world_free(world);
}

/* Bytes after a handshake are not accepted before the box has agreed: they might be a separate request. */
static void test_room_of_a_handshake(void **state)
{
    (void)state;
    exchange_world_t *world = exchange_world_new();
    world->ex->request.websocket = true;
    exchange_start(world->ex);
    assert_int_equal(exchange_request_room(world->ex), 0);
    assert_false(world->ex->request_complete);
    world->ex->response = (response_t){.status = 101, .content_length = LENGTH_UNKNOWN, .tunnel = true};
    exchange_response_head(world->ex);
    assert_int_equal(exchange_request_room(world->ex), EXCHANGE_BODY_BYTES);
    assert_int_equal(world->resumes, 1);
    exchange_world_free(world);
}

static step_result_t step_that_judges_the_body(exchange_t *ex)
{
    if (!exchange_await_body(ex))
        return STEP_WAIT;
    exchange_reply(ex, 204, STR(""), NULL, STR(""));
    return STEP_DONE;
}

/* The codec takes none before a tunnel is open, so a step would wait for it forever. */
static void test_a_handshake_has_no_body_to_wait_for(void **state)
{
    (void)state;
    static const exchange_step_t steps[] = {{"body", step_that_judges_the_body}, {NULL, NULL}};
    exchange_world_t *world = exchange_world_new();
    world->fixture->client.steps = steps;
    world->ex->request.websocket = true;
    exchange_start(world->ex);
    assert_int_equal(world->ex->status, 204);
    exchange_world_free(world);
}

static void test_room_that_grows(void **state)
{
    (void)state;
    exchange_world_t *world = exchange_world_new();
    world->ex->request.has_body = true;
    exchange_start(world->ex);
    exchange_request_room_grew(world->ex);
    assert_int_equal(world->resumes, 1);
    exchange_request_end(world->ex);
    exchange_request_room_grew(world->ex); /* nobody waits any more */
    assert_int_equal(world->resumes, 1);
    exchange_world_free(world);
}

/* ---- answers of the edge ---- */

static void test_a_reply_larger_than_the_room(void **state)
{
    (void)state;
    enum { SIZE = 200000 };
    exchange_world_t *world = exchange_world_new();
    char *body = malloc(SIZE);
    for (int i = 0; i < SIZE; i++)
        body[i] = (char)(i * 31 >> 3);
    world->answer = STEP_WAIT;
    world->room = 0;
    exchange_start(world->ex);
    exchange_reply(world->ex, 200, STR("text/plain"), NULL, str_make(body, SIZE));
    assert_int_equal(world->heads, 1);
    assert_int_equal(world->out_n, 0);
    while (world->ends == 0) {
        assert_true(world->asked_in_vain > 0); /* else nothing notifies it of room */
        assert_int_equal(world->ex->state, EXCHANGE_RESPONSE);
        world->asked_in_vain = 0;
        size_t before = world->out_n;
        world->room = 1000;
        exchange_response_room(world->ex);
        assert_true(world->out_n > before && world->out_n <= before + 1000);
    }
    expect_out(world, str_make(body, SIZE));
    assert_int_equal(world->ex->state, EXCHANGE_DONE);
    assert_int_equal(world->ex->response_bytes, SIZE);
    exchange_response_room(world->ex); /* harmless */
    exchange_world_free(world);
    free(body);
}

static void test_a_reply_that_is_cut(void **state)
{
    (void)state;
    exchange_world_t *world = exchange_world_new();
    world->answer = STEP_WAIT;
    world->room = 3;
    exchange_start(world->ex);
    exchange_reply(world->ex, 200, STR("text/plain"), NULL, STR("123456"));
    exchange_cut(world->ex);
    world->room = 3;
    exchange_response_room(world->ex); /* no longer waits for anything */
    expect_out(world, STR("123"));
    assert_int_equal(world->cuts, 1);
    exchange_world_free(world);
}

static void test_a_reply_to_head(void **state)
{
    (void)state;
    exchange_world_t *world = exchange_world_new();
    world->ex->request.method = STR("HEAD");
    refuse(world);
    assert_int_equal(world->out_n, 0);
    assert_true(world->ex->response.bodyless && world->ex->response.content_length > 20);
    assert_int_equal(world->ends, 1);
    exchange_world_free(world);
}

/* ---- interim responses ---- */

static void test_continue_goes_out_once(void **state)
{
    (void)state;
    static const fields_t none;
    for (int expects = 0; expects < 2; expects++) {
        exchange_world_t *world = exchange_world_new();
        world->ex->request.has_body = true;
        world->ex->request.expect_continue = expects == 1;
        exchange_start(world->ex);
        assert_int_equal(world->informational_count, expects);
        exchange_response_informational(world->ex, 100, &none); /* the box's own */
        assert_int_equal(world->informational_count, expects);
        exchange_response_informational(world->ex, 103, &none);
        assert_int_equal(world->informational_count, expects + 1);
        exchange_world_free(world);
    }
}

static void test_no_interim_response_over_http_1_0(void **state)
{
    (void)state;
    static const fields_t none;
    exchange_world_t *world = exchange_world_new();
    world->ex->request.version = HTTP_1_0;
    exchange_start(world->ex);
    exchange_response_informational(world->ex, 103, &none);
    assert_int_equal(world->informational_count, 0);
    exchange_world_free(world);
}

/* ---- the ends of a tunnel ---- */

static void test_a_tunnel_ends_when_both_sides_have(void **state)
{
    (void)state;
    for (int client_first = 0; client_first < 2; client_first++) {
        exchange_world_t *world = exchange_world_new();
        world_open_tunnel(world);
        if (client_first)
            exchange_request_end(world->ex);
        else
            exchange_response_end(world->ex);
        exchange_request_flush(world->ex);
        assert_int_equal(world->ex->state, EXCHANGE_TUNNEL);
        if (client_first) {
            exchange_response_body(world->ex, STR("\x82\x01x"));
            exchange_response_end(world->ex);
            exchange_response_flush(world->ex);
        } else {
            exchange_request_body(world->ex, STR("late"));
            exchange_request_end(world->ex);
            exchange_request_flush(world->ex);
        }
        assert_int_equal(world->ex->state, EXCHANGE_DONE);
        assert_int_equal(world->origin_ends, 1);
        assert_int_equal(world->ends, 1);
        assert_int_equal(world->taken_n, client_first ? 0 : 4);
        exchange_world_free(world);
    }
}

/* The box's kernel does not accept the client's last bytes yet: until it has them, the tunnel is not over. */
static void test_a_tunnel_waits_for_its_last_bytes(void **state)
{
    (void)state;
    for (int client_first = 0; client_first < 2; client_first++) {
        exchange_world_t *world = exchange_world_new();
        world_open_tunnel(world);
        world->origin_sent = false;
        if (!client_first)
            exchange_response_end(world->ex);
        exchange_request_body(world->ex, STR("last"));
        exchange_request_end(world->ex);
        exchange_request_flush(world->ex);
        if (client_first)
            exchange_response_end(world->ex);
        exchange_response_flush(world->ex);
        assert_int_equal(world->ends, 1);
        assert_int_equal(world->ex->state, EXCHANGE_TUNNEL);
        unsigned resumes = world->resumes;
        exchange_request_room_grew(world->ex); /* some bytes left, not all */
        assert_int_equal(world->ex->state, EXCHANGE_TUNNEL);
        world->origin_sent = true;
        exchange_request_room_grew(world->ex);
        assert_int_equal(world->ex->state, EXCHANGE_DONE);
        assert_int_equal(world->resumes, resumes + 1); /* the codec is asked to end it */
        exchange_world_free(world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused_before_the_start),
        cmocka_unit_test(test_refused_while_a_step_waits),
        cmocka_unit_test(test_refused_at_the_origin),
        cmocka_unit_test(test_refused_in_the_response),
        cmocka_unit_test(test_refused_in_a_tunnel),
        cmocka_unit_test(test_an_origin_that_fails),
        cmocka_unit_test(test_room_before_the_origin),
        cmocka_unit_test(test_room_of_a_handshake),
        cmocka_unit_test(test_a_handshake_has_no_body_to_wait_for),
        cmocka_unit_test(test_room_that_grows),
        cmocka_unit_test(test_a_reply_larger_than_the_room),
        cmocka_unit_test(test_a_reply_that_is_cut),
        cmocka_unit_test(test_a_reply_to_head),
        cmocka_unit_test(test_continue_goes_out_once),
        cmocka_unit_test(test_no_interim_response_over_http_1_0),
        cmocka_unit_test(test_a_tunnel_ends_when_both_sides_have),
        cmocka_unit_test(test_a_tunnel_waits_for_its_last_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
