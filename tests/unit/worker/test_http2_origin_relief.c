/* Connections to HTTP/2 origins when the memory of their worker is short. */
#include "http2_origin_world.h"

#include "http2_client_internal.h"
#include "list.h"
#include "relief.h"

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

/* Sessions count, idle ones too, and close first when memory is short. */
static void test_idle_connections_count_and_are_shed(void **state)
{
    origin_world_t *world = *state;
    context_t *context = world->fixture->context;
    call_t *call = call_start(world, "GET");
    peer_t *peer = peer_accept(world);
    PUMP_UNTIL(world, peer, peer_stream(peer, 1)->ended);
    http2_origin_t *origin = ((http2_client_t *)call->ex->origin)->origin;
    peer_answer(peer, 1, "200", 0, NULL);
    PUMP_UNTIL(world, peer, call->ends == 1);
    call_free(call);
    PUMP_UNTIL(world, peer, list_is_linked(&origin->idle_link));
    assert_true(context->memory.held >= 4096);
    assert_int_equal(context->memory.held, origin->memory.bytes);

    uint64_t others = context->conf->limits.memory_bytes;
    relief_turn(context); /* memory is not short */
    origin->idle_ms = loop_now(context->loop);
    account_add(&context->memory.account, others);
    relief_turn(context); /* it is, but the connection may still be useful */
    assert_int_equal(http2_origins_count(context->http2_origins), 1);
    context->relief_ms = 0;
    origin->idle_ms -= RELIEF_IDLE_MS;
    relief_turn(context);
    assert_int_equal(http2_origins_count(context->http2_origins), 0);
    assert_int_equal(context->memory.held, others);
    account_sub(&context->memory.account, others);
    PUMP_UNTIL(world, peer, peer->eof);
    assert_true(peer->goaway);
    peer_free(peer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_idle_connections_count_and_are_shed, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
