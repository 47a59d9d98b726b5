#include "balance_fixture.h"

void *balance_shared_new(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(memory != MAP_FAILED);
    return memory;
}

world_t balance_world_new(conf_balance_t policy)
{
    world_t world = {.random = 1, .now_ms = T, .upstream = 3};
    world.balance = balance_init(balance_shared_new(balance_size()));
    world.conf = (conf_upstream_t){
        .balance = policy,
        .eject_failures = 3,
        .eject_time = 1000,
        .panic_percent = 0,
        .retry_percent = 20,
    };
    return world;
}

void balance_world_free(world_t *world)
{
    munmap(world->balance, balance_size());
}

uint64_t next_random(world_t *world)
{
    uint64_t z = (world->random += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

balance_server_t make_server(unsigned n, uint32_t weight)
{
    balance_server_t server = {.index = (uint16_t)n, .port = (uint16_t)(80 + n), .weight = weight};
    snprintf(server.name, sizeof(server.name), "s%u:80", n);
    server.address.s6_addr[10] = server.address.s6_addr[11] = 0xff;
    server.address.s6_addr[12] = 10;
    server.address.s6_addr[14] = (uint8_t)(n >> 8);
    server.address.s6_addr[15] = (uint8_t)n;
    return server;
}

void set_servers(world_t *world, unsigned first, size_t count, uint32_t weight)
{
    balance_server_t servers[BALANCE_SERVERS_MAX];
    for (unsigned n = 0; n < count; n++)
        servers[n] = make_server(first + n, weight);
    balance_set(world->balance, world->upstream, 0, servers, count, world->now_ms);
}

balance_view_t view_of(world_t *world, unsigned n)
{
    balance_view_t view;
    for (unsigned slot = 0; slot < BALANCE_SERVERS_MAX; slot++)
        if (balance_look(world->balance, world->upstream, slot, world->now_ms, &view) &&
            view.server.index == n)
            return view;
    fail_msg("server %u is not there", n);
    return view;
}

size_t count_servers(world_t *world)
{
    balance_view_t view;
    size_t count = 0;
    for (unsigned slot = 0; slot < BALANCE_SERVERS_MAX; slot++)
        count += balance_look(world->balance, world->upstream, slot, world->now_ms, &view);
    return count;
}

balance_result_t pick_for(world_t *world, unsigned worker, uint64_t hash, uint64_t avoid,
                          balance_pick_t *pick)
{
    return balance_pick(world->balance, worker, world->upstream, &world->conf, hash, next_random(world),
                        avoid, world->now_ms, pick);
}

balance_pick_t pick_one(world_t *world)
{
    balance_pick_t pick;
    assert_int_equal(pick_for(world, 0, next_random(world), 0, &pick), BALANCE_OK);
    assert_true(pick.held);
    return pick;
}

bool end_pick(world_t *world, balance_pick_t *pick, balance_outcome_t outcome)
{
    return balance_done(world->balance, 0, world->upstream, &world->conf, pick, outcome, 1000, world->now_ms);
}

void exchange_at(world_t *world, unsigned n, balance_outcome_t outcome, uint32_t latency_us)
{
    balance_view_t view = view_of(world, n);
    balance_pick_t pick;
    balance_result_t result = pick_for(world, 0, 0, ~((uint64_t)1 << view.slot), &pick);
    assert_int_equal(result, BALANCE_OK);
    assert_int_equal(pick.index, n);
    balance_done(world->balance, 0, world->upstream, &world->conf, &pick, outcome, latency_us, world->now_ms);
}
