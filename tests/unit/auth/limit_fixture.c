#include "limit_fixture.h"

void *limit_fixture_shared_new(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(memory != MAP_FAILED);
    return memory;
}

limit_t *limit_fixture_table_new(uint32_t cells)
{
    static const uint8_t seed[16] = "0123456789abcde";
    return limit_init(limit_fixture_shared_new(limit_size(cells)), cells, seed);
}

void limit_fixture_table_free(limit_t *limit, uint32_t cells)
{
    munmap(limit, limit_size(cells));
}

limit_id_t id_of(uint64_t n)
{
    limit_id_t id = {{0}};
    memcpy(id.sha256, &n, sizeof(n));
    return id;
}

limit_result_t hold(limit_t *limit, unsigned worker, uint64_t n, const limit_plan_t *plan, uint32_t cost,
                    uint64_t now, limit_ticket_t *ticket)
{
    limit_id_t id = id_of(n);
    limit_state_t state;
    return limit_take(limit, worker, &id, plan, cost, now, &state, ticket);
}

limit_result_t take(limit_t *limit, uint64_t n, const limit_plan_t *plan, uint32_t cost, uint64_t now,
                    limit_state_t *state)
{
    limit_id_t id = id_of(n);
    limit_ticket_t ticket;
    limit_result_t result = limit_take(limit, 0, &id, plan, cost, now, state, &ticket);
    limit_release(limit, 0, &ticket);
    return result;
}

bool has(const limit_t *limit, uint64_t n)
{
    limit_id_t id = id_of(n);
    return limit_has(limit, &id);
}

unsigned drain(limit_t *limit, uint64_t n, const limit_plan_t *plan, uint64_t now)
{
    limit_state_t state;
    unsigned units = 0;
    while (take(limit, n, plan, 1, now, &state) == LIMIT_ADMITTED)
        units++;
    return units;
}
