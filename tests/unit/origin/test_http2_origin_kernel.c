/* Bytes that the kernel holds for a connection to an HTTP/2 origin: whose they are, when they count, and when
 * the connection is reset. The origin's kernel takes few; the test moves the loop's clock. */
#include "http2_origin_world.h"

#include "http2_client_internal.h"

#define BODY 60000

static char body[BODY];

static context_t *context_of(origin_world_t *world)
{
    return world->fixture->context;
}

static int set_up(void **state)
{
    origin_world_t *world = origin_world_new();
    int few = 4096;
    assert_int_equal(setsockopt(world->listener, SOL_SOCKET, SO_RCVBUF, &few, sizeof(few)), 0);
    context_of(world)->backlogs = backlogs_new(world_loop(world));
    loop_hold(world_loop(world));
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    origin_world_t *world = *state;
    context_t *context = context_of(world);
    http2_origins_free(&context->http2_origins);
    assert_int_equal(context->memory.kernel, 0);
    assert_int_equal(context->memory.held, 0);
    backlogs_free(&context->backlogs);
    origin_world_free(world);
    return 0;
}

static uint64_t kernel_of(origin_world_t *world)
{
    return context_of(world)->memory.kernel;
}

static uint32_t part_of(const call_t *call)
{
    return ((const http2_client_t *)call->ex->origin)->kernel;
}

static http2_origin_t *origin_of(const call_t *call)
{
    return ((http2_client_t *)call->ex->origin)->origin;
}

/* A request whose body goes to the origin as far as it has arrived. */
static call_t *upload(origin_world_t *world, size_t n)
{
    call_t *call = call_new(world, "POST");
    call->ex->request.has_body = true;
    exchange_start(call->ex);
    call_send(call, str_make(body, n));
    return call;
}

/* The kernel has all of the edge's bytes. */
static void settle(origin_world_t *world, const http2_origin_t *origin)
{
    TURN_UNTIL(world, origin->state == HTTP2_ORIGIN_OPEN && !http2_outbox_pending(&origin->output) &&
                          !loop_deferred(&origin->task));
}

static void pass(origin_world_t *world, uint64_t ms)
{
    for (uint64_t gone = 0; gone < ms; gone += BACKLOG_TICK_MS) {
        loop_skip(world_loop(world), BACKLOG_TICK_MS);
        loop_turn(world_loop(world), 0);
    }
    loop_turn(world_loop(world), 0);
}

/* The edge has closed by a reset. */
static bool was_reset(const peer_t *peer)
{
    static char bytes[65536];
    ssize_t n;
    do
        n = recv(peer->fd, bytes, sizeof(bytes), 0);
    while (n > 0);
    return n < 0 && errno == ECONNRESET;
}

static void test_an_upload_that_is_not_taken_counts(void **state)
{
    origin_world_t *world = *state;
    call_t *call = upload(world, BODY);
    peer_t *peer = peer_accept_as(world, false, 0);
    settle(world, origin_of(call));
    pass(world, BACKLOG_STILL_MS - BACKLOG_TICK_MS);
    assert_int_equal(kernel_of(world), 0);
    uint32_t before = call->ex->account.held;
    pass(world, BACKLOG_TICK_MS);
    assert_in_range(kernel_of(world), BODY - 8192, 4 * BODY);
    assert_int_equal(part_of(call), kernel_of(world));
    assert_int_equal(call->ex->account.held, before + kernel_of(world));
    call_free(call);
    assert_int_equal(kernel_of(world), 0);
    TURN_UNTIL(world, http2_origins_count(context_of(world)->http2_origins) == 0);
    assert_true(was_reset(peer));
    peer_free(peer);
}

/* In proportion to the bytes that each has sent; the box counts the part of one that has left. */
static void test_each_request_counts_its_part(void **state)
{
    origin_world_t *world = *state;
    call_t *much = upload(world, BODY), *little = call_start(world, "GET");
    peer_t *peer = peer_accept_as(world, false, 0);
    http2_origin_t *origin = origin_of(much);
    assert_ptr_equal(origin_of(little), origin);
    settle(world, origin);
    pass(world, BACKLOG_STILL_MS);
    uint64_t held = kernel_of(world);
    assert_in_range(part_of(little), 1, held / 100);
    assert_in_range(part_of(much), held - held / 100, held - 1);
    assert_in_range(part_of(much) + part_of(little), held - 2, held); /* but for fractions */
    call_free(much);
    assert_int_equal(kernel_of(world), held);
    pass(world, BACKLOG_STILL_MS);
    assert_in_range(kernel_of(world), held, 2 * held);
    assert_in_range(part_of(little), 1, held / 100);
    assert_int_equal(origin->kernel.account.held + part_of(little), kernel_of(world));
    call_free(little);
    assert_int_equal(kernel_of(world), 0);
    TURN_UNTIL(world, http2_origins_count(context_of(world)->http2_origins) == 0);
    peer_free(peer);
}

static void test_an_origin_that_goes_on_gets_further(void **state)
{
    origin_world_t *world = *state;
    call_t *call = upload(world, BODY);
    peer_t *peer = peer_accept(world);
    http2_origin_t *origin = origin_of(call);
    settle(world, origin);
    pass(world, BACKLOG_STILL_MS);
    assert_true(kernel_of(world) >= BODY - 8192);
    PUMP_UNTIL(world, peer, peer_stream(peer, 1)->body == BODY && conn_untaken(origin->conn) == 0);
    pass(world, BACKLOG_STILL_MS);
    assert_int_equal(kernel_of(world), 0);
    assert_false(backlog_watched(&origin->kernel.backlog));
    call_end(call);
    PUMP_UNTIL(world, peer, peer_stream(peer, 1)->ended);
    peer_answer(peer, 1, "200", 0, NULL);
    PUMP_UNTIL(world, peer, call->ends == 1);
    call_free(call);
    assert_int_equal(http2_origins_count(context_of(world)->http2_origins), 1); /* it is used again */
    peer_free(peer);
}

/* A queue with room accepts bytes though the origin reads none: they are no progress. */
static void test_a_trickle_does_not_hide_the_bytes(void **state)
{
    origin_world_t *world = *state;
    call_t *call = upload(world, BODY / 2);
    peer_t *peer = peer_accept_as(world, false, 0);
    settle(world, origin_of(call));
    for (uint64_t gone = 0; gone < 2 * (uint64_t)BACKLOG_STILL_MS; gone += BACKLOG_STILL_MS / 2) {
        call_send(call, str_make(body, 2 * CONN_LITTLE_BYTES));
        settle(world, origin_of(call));
        pass(world, BACKLOG_STILL_MS / 2);
    }
    assert_in_range(part_of(call), BODY / 2 - 8192, 2 * BODY);
    call_free(call);
    peer_free(peer);
}

/* Nor does a connection stay whose output is full of requests that have left. */
static void test_a_connection_without_requests_does_not_stay(void **state)
{
    origin_world_t *world = *state;
    static char text[8193];
    call_t *calls[HTTP2_ORIGIN_STREAMS];
    for (size_t i = 0; i < HTTP2_ORIGIN_STREAMS; i++) {
        calls[i] = call_new(world, "GET");
        exchange_t *ex = calls[i]->ex;
        memset(text, 'a' + (int)(i % 26), sizeof(text) - 1);
        fields_add(&ex->arena, &ex->request.fields, FIELD_OTHER, STR("x-a"), str_from(text));
        exchange_start(ex);
    }
    http2_origin_t *origin = origin_of(calls[0]);
    peer_t *peer = peer_accept_as(world, false, 0);
    TURN_UNTIL(world, origin->output.size >= HTTP2_OUTPUT_BYTES && !loop_deferred(&origin->task));
    for (size_t i = 0; i < HTTP2_ORIGIN_STREAMS; i++)
        call_free(calls[i]);
    loop_turn(world_loop(world), 0);
    loop_turn(world_loop(world), 0);
    assert_true(origin->load != 0);
    pass(world, BACKLOG_STILL_MS);
    TURN_UNTIL(world, http2_origins_count(context_of(world)->http2_origins) == 0);
    assert_true(was_reset(peer));
    peer_free(peer);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_an_upload_that_is_not_taken_counts),          TEST(test_each_request_counts_its_part),
        TEST(test_an_origin_that_goes_on_gets_further),         TEST(test_a_trickle_does_not_hide_the_bytes),
        TEST(test_a_connection_without_requests_does_not_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
