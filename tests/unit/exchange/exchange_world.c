#include "exchange_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* ---- the client ---- */

static void world_send_informational(exchange_t *ex, int status, const fields_t *fields)
{
    exchange_world_t *world = ex->codec;
    (void)fields;
    assert_true(world->informational_count < 8 && world->heads == 0);
    world->informational[world->informational_count++] = (unsigned)status;
}

static void world_send_head(exchange_t *ex)
{
    exchange_world_t *world = ex->codec;
    assert_int_equal(world->heads++, 0);
}

static size_t world_room(const exchange_t *ex)
{
    exchange_world_t *world = ex->codec;
    if (world->room == 0)
        world->asked_in_vain++;
    return world->room;
}

static void world_send_body(exchange_t *ex, str_t data)
{
    exchange_world_t *world = ex->codec;
    assert_true(world->heads == 1 && world->ends == 0 && world->cuts == 0);
    assert_true(world->staged_count < WORLD_SLICES);
    world->staged[world->staged_count++] = data;
    world->room -= data.n < world->room ? data.n : world->room;
}

static void world_send_end(exchange_t *ex)
{
    exchange_world_t *world = ex->codec;
    assert_int_equal(world->cuts, 0);
    assert_int_equal(world->ends++, 0);
}

void world_flush(exchange_t *ex)
{
    exchange_world_t *world = ex->codec;
    for (size_t i = 0; i < world->staged_count; i++) {
        str_t slice = world->staged[i];
        assert_true(slice.n <= WORLD_OUT - world->out_n);
        memcpy(world->out + world->out_n, slice.p, slice.n);
        world->out_n += slice.n;
    }
    world->staged_count = 0;
}

static void world_cut(exchange_t *ex)
{
    exchange_world_t *world = ex->codec;
    assert_int_equal(world->ends, 0);
    assert_int_equal(world->cuts++, 0);
    assert_int_equal(world->staged_count, 0);
}

static void world_resume_request(exchange_t *ex)
{
    ((exchange_world_t *)ex->codec)->resumes++;
}

const client_ops_t world_client_ops = {
    .send_informational = world_send_informational,
    .send_head = world_send_head,
    .room = world_room,
    .send_body = world_send_body,
    .send_end = world_send_end,
    .flush = world_flush,
    .cut = world_cut,
    .resume_request = world_resume_request,
};

/* ---- the origin ---- */

static size_t world_origin_room(const exchange_t *ex)
{
    return ((exchange_world_t *)ex->origin)->origin_room;
}

static void world_origin_send_body(exchange_t *ex, str_t data)
{
    exchange_world_t *world = ex->origin;
    assert_true(data.n <= world->origin_room && data.n <= sizeof(world->taken) - world->taken_n);
    memcpy(world->taken + world->taken_n, data.p, data.n);
    world->taken_n += data.n;
    world->origin_room -= data.n;
}

static void world_origin_send_end(exchange_t *ex)
{
    assert_int_equal(((exchange_world_t *)ex->origin)->origin_ends++, 0);
}

static void world_origin_flush(exchange_t *ex)
{
    ((exchange_world_t *)ex->origin)->origin_flushes++;
}

static bool world_origin_sent(const exchange_t *ex)
{
    return ((exchange_world_t *)ex->origin)->origin_sent;
}

static void world_origin_resume(exchange_t *ex)
{
    ((exchange_world_t *)ex->origin)->origin_resumes++;
}

static void world_origin_cancel(exchange_t *ex)
{
    assert_int_equal(((exchange_world_t *)ex->origin)->cancels++, 0);
}

const origin_ops_t world_origin_ops = {
    .room = world_origin_room,
    .send_body = world_origin_send_body,
    .send_end = world_origin_send_end,
    .flush = world_origin_flush,
    .sent = world_origin_sent,
    .resume_response = world_origin_resume,
    .cancel = world_origin_cancel,
};

/* ---- the world ---- */

static void world_wait_leave(exchange_t *ex, await_end_t how)
{
    (void)ex;
    (void)how;
}

static const await_source_t world_source = {.name = "world", .leave = world_wait_leave};

step_result_t world_step(exchange_t *ex)
{
    exchange_world_t *world = ex->codec;
    world->runs++;
    if (world->answer == STEP_WAIT) {
        await_begin(ex, &world_source);
        return STEP_WAIT;
    }
    ex->origin = world;
    ex->origin_ops = &world_origin_ops;
    exchange_to_origin(ex);
    return STEP_DONE;
}

const exchange_step_t world_steps[] = {{"test", world_step}, {NULL, NULL}};

exchange_world_t *exchange_world_in(context_fixture_t *fixture)
{
    exchange_world_t *world = calloc(1, sizeof(*world));
    assert_non_null(world);
    world->fixture = fixture;
    world->fixture->client.steps = world_steps;
    world->answer = STEP_DONE;
    world->room = world->origin_room = EXCHANGE_BODY_BYTES;
    world->origin_sent = true;
    world->out = malloc(WORLD_OUT);
    assert_non_null(world->out);
    world->ex = exchange_new(&world->fixture->client, &world_client_ops, world);
    world->ex->request.version = HTTP_1_1;
    world->ex->request.method = STR("GET");
    world->ex->request.target = STR("/");
    return world;
}

exchange_world_t *exchange_world_new(void)
{
    return exchange_world_in(context_fixture_new());
}

void exchange_world_free(exchange_world_t *world)
{
    assert_int_equal(world->staged_count, 0);
    exchange_end(&world->ex, EXCHANGE_END_COMPLETE);
    assert_int_equal(world->fixture->counters.tunnels_open, 0);
    context_fixture_free(world->fixture);
    free(world->out);
    free(world);
}

void world_open_tunnel(exchange_world_t *world)
{
    world->ex->request.websocket = true;
    exchange_start(world->ex);
    world->ex->response = (response_t){.status = 101, .content_length = LENGTH_UNKNOWN, .tunnel = true};
    exchange_response_head(world->ex);
    assert_int_equal(world->ex->state, EXCHANGE_TUNNEL);
}

void world_respond(exchange_world_t *world)
{
    world->ex->response = (response_t){.status = 200, .content_length = LENGTH_UNKNOWN};
    exchange_response_head(world->ex);
    assert_int_equal(world->ex->state, EXCHANGE_RESPONSE);
}

void expect_out(exchange_world_t *world, str_t expected)
{
    assert_int_equal(world->out_n, expected.n);
    assert_memory_equal(world->out, expected.p, expected.n);
}
