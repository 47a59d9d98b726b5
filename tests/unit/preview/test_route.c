/* Blocks before the route. */
#include "worker_fixture.h"

#include <stdatomic.h>

#include "blocks.h"
#include "store_fixture.h"

static void log_nothing(bool readable, const char *sentence)
{
    (void)readable;
    (void)sentence;
}

/* On every kind of listener, for previews and for the API. */
static void requests_while_the_list_cannot_be_read(void **state)
{
    fixture_t *store = *state;
    static const _Atomic uint64_t epoch;
    fixture_damage_rules(store);
    blocks_t *blocks = blocks_new(store->store, &epoch, log_nothing);
    const exchange_step_t *const steps[] = {edge_pipeline.preview, edge_pipeline.redirect};
    for (size_t i = 0; i < 2; i++) {
        exchange_world_t *world = worker_world_new();
        worker_of(world->fixture->context)->blocks = blocks;
        world->fixture->client.steps = steps[i];
        world->ex->request.authority = STR("a-3000.preview.test");
        exchange_start(world->ex);
        assert_int_equal(world->ex->status, 503);
        assert_string_equal(world->ex->local_code, "store_unavailable");
        world_flush(world->ex);
        exchange_world_free(world);
    }
    blocks_free(&blocks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(requests_while_the_list_cannot_be_read, fixture_setup,
                                        fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
