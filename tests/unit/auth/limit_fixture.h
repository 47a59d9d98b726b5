/* A table of limits in shared memory, and short names for who asks. */
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
static inline void *shared_new(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(memory != MAP_FAILED);
    return memory;
}

static inline limit_t *table_new(uint32_t cells)
{
    static const uint8_t seed[16] = "0123456789abcde";
    return limit_init(shared_new(limit_size(cells)), cells, seed);
}

static inline void table_free(limit_t *limit, uint32_t cells)
{
    munmap(limit, limit_size(cells));
}

static inline limit_id_t id_of(uint64_t n)
{
    limit_id_t id = {{0}};
    memcpy(id.sha256, &n, sizeof(n));
    return id;
}

/* Takes and keeps it in flight. */
static inline limit_result_t hold(limit_t *limit, unsigned worker, uint64_t n, const limit_plan_t *plan,
                                  uint32_t cost, uint64_t now, limit_ticket_t *ticket)
{
    limit_id_t id = id_of(n);
    limit_state_t state;
    return limit_take(limit, worker, &id, plan, cost, now, &state, ticket);
}

/* Takes and at once ends. */
static inline limit_result_t take(limit_t *limit, uint64_t n, const limit_plan_t *plan, uint32_t cost,
                                  uint64_t now, limit_state_t *state)
{
    limit_id_t id = id_of(n);
    limit_ticket_t ticket;
    limit_result_t result = limit_take(limit, 0, &id, plan, cost, now, state, &ticket);
    limit_release(limit, 0, &ticket);
    return result;
}

static inline bool has(const limit_t *limit, uint64_t n)
{
    limit_id_t id = id_of(n);
    return limit_has(limit, &id);
}

/* Units that the identity gets at once. */
static inline unsigned drain(limit_t *limit, uint64_t n, const limit_plan_t *plan, uint64_t now)
{
    limit_state_t state;
    unsigned units = 0;
    while (take(limit, n, plan, 1, now, &state) == LIMIT_ADMITTED)
        units++;
    return units;
}

#endif
