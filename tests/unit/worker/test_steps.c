/* The steps that judge a request by the state of its worker: its memory, its slots, and whether it drains. */
#include "worker_fixture.h"

#include "slots.h"
#include "steps.h"

/* From the bound on, bodies stay with their clients; a quarter above it, new requests are refused. */
static void test_full_to_the_byte_is_full(void **state)
{
    (void)state;
    exchange_world_t *world = worker_world_new();
    world->answer = STEP_WAIT;
    world->ex->request.has_body = true;
    exchange_start(world->ex);
    uint64_t *held = &world->fixture->context->memory.held,
             bound = world->fixture->context->conf->limits.memory_bytes;
    uint64_t own = *held;
    world->fixture->client.local = false;
    *held = bound - 1;
    assert_int_not_equal(exchange_request_room(world->ex), 0);
    *held = bound;
    assert_int_equal(exchange_request_room(world->ex), 0);
    *held = bound + bound / 4 - 1;
    assert_int_equal(step_limit(world->ex), STEP_NEXT);
    *held = bound + bound / 4;
    assert_int_equal(step_limit(world->ex), STEP_DONE);
    assert_int_equal(world->ex->status, 503);
    assert_string_equal(world->ex->local_code, "overloaded");
    *held = own;
    exchange_world_free(world);
}

/* Answers of the health listener: a draining worker is alive, and wants no new requests. */
static void test_health_of_a_worker_that_drains(void **state)
{
    (void)state;
    static const struct {
        const char *target;
        bool draining;
        int status;
    } cases[] = {
        {"/healthz", false, 200}, {"/readyz", false, 200}, {"/healthz", true, 200}, {"/readyz", true, 503}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        exchange_world_t *world = worker_world_new();
        static const uint8_t seed[16];
        unsigned number;
        shm_t *shm = world->fixture->context->shm = shm_new(seed);
        assert_true(shm_worker_take(shm, 0, &number));
        atomic_store(&shm_worker(shm, number)->state, SHM_READY);
        world->fixture->context->draining = cases[i].draining;
        world->ex->request.method = STR("GET");
        world->ex->request.target = str_from(cases[i].target);
        assert_int_equal(step_health(world->ex), STEP_DONE);
        assert_int_equal(world->ex->status, cases[i].status);
        world->fixture->context->shm = NULL;
        exchange_world_free(world);
        shm_free(&shm);
    }
}

static const exchange_step_t slot_steps[] = {{"slots", step_slots}, {"origin", world_step}, {NULL, NULL}};

static exchange_world_t *ask(context_fixture_t *fixture)
{
    exchange_world_t *world = calloc(1, sizeof(*world));
    assert_non_null(world);
    world->fixture = fixture;
    world->answer = STEP_DONE;
    world->room = world->origin_room = EXCHANGE_BODY_BYTES;
    world->ex = exchange_new(&fixture->client, &world_client_ops, world);
    world->ex->request.version = HTTP_1_1;
    world->ex->request.method = STR("GET");
    world->ex->request.target = STR("/");
    world->ex->box.state = BOX_RUNNING;
    world->ex->box.provider = PROVIDER_STATIC;
    (void)snprintf(world->ex->box.id, sizeof(world->ex->box.id), "box");
    exchange_start(world->ex);
    return world;
}

static void leave(exchange_world_t *world)
{
    exchange_end(&world->ex, EXCHANGE_END_CLIENT_GONE);
    free(world);
}

/* The end of an exchange gives its slot to the next one, which checks again whether the box runs. */
static void test_a_slot_goes_from_one_exchange_to_the_next(void **state)
{
    (void)state;
    context_fixture_t *fixture = worker_fixture_new();
    context_t *context = fixture->context;
    fixture->client.local = false;
    fixture->client.steps = slot_steps;
    context->slots = slots_new(context);
    context->conf->limits.origin_connections_per_box = 1;
    exchange_world_t *first = ask(fixture), *second = ask(fixture);
    assert_int_equal(first->ex->state, EXCHANGE_ORIGIN);
    assert_string_equal(await_source(second->ex)->name, "slots");
    leave(first);
    loop_turn(context->loop, 0);
    loop_turn(context->loop, 0);
    assert_int_equal(second->ex->state, EXCHANGE_ORIGIN);
    leave(second);
    slots_free(&context->slots);
    context_fixture_free(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full_to_the_byte_is_full),
        cmocka_unit_test(test_health_of_a_worker_that_drains),
        cmocka_unit_test(test_a_slot_goes_from_one_exchange_to_the_next),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
