/* A context that is part of a worker, with the product's pipeline: for tests of features. */
#ifndef BOXEDGE_WORKER_FIXTURE_H
#define BOXEDGE_WORKER_FIXTURE_H

#include "context_fixture.h"
#include "exchange_world.h"

#include "worker.h"

/* Freed by context_fixture_free. */
context_fixture_t *worker_fixture_new(void);

/* A world (exchange_world.h) in a worker; freed by exchange_world_free. */
exchange_world_t *worker_world_new(void);

#endif
