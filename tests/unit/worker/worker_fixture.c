#include "worker_fixture.h"

#include "pipeline.h"

context_fixture_t *worker_fixture_new(void)
{
    worker_t *worker = calloc(1, sizeof(*worker));
    assert_non_null(worker);
    return context_fixture_in(&worker->context, worker, &edge_pipeline);
}

exchange_world_t *worker_world_new(void)
{
    return exchange_world_in(worker_fixture_new());
}
