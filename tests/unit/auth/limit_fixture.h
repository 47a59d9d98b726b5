/* A table of limits in shared memory, and short names for identities. */
#ifndef LIMIT_FIXTURE_H
#define LIMIT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <sys/mman.h>

#include "limit.h"

#define MS UINT64_C(1000000)
#define S  (1000 * MS)
#define T  (1000 * S)

/* Zeroed, and shared with children. */
void *limit_fixture_shared_new(size_t size);
limit_t *limit_fixture_table_new(uint32_t cells);
void limit_fixture_table_free(limit_t *limit, uint32_t cells);
limit_id_t id_of(uint64_t n);

/* Takes and keeps the request in flight. */
limit_result_t hold(limit_t *limit, unsigned worker, uint64_t n, const limit_plan_t *plan, uint32_t cost,
                    uint64_t now, limit_ticket_t *ticket);

/* Takes and immediately releases. */
limit_result_t take(limit_t *limit, uint64_t n, const limit_plan_t *plan, uint32_t cost, uint64_t now,
                    limit_state_t *state);
bool has(const limit_t *limit, uint64_t n);

/* Units that the identity gets immediately. */
unsigned drain(limit_t *limit, uint64_t n, const limit_plan_t *plan, uint64_t now);

#endif
