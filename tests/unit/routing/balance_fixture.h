/* A table of upstreams in shared memory, its servers, and exchanges that are picked for and done. */
#ifndef BALANCE_FIXTURE_H
#define BALANCE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "balance.h"

/* A time from which everything is counted: late enough that no slow start is running. */
#define T ((uint64_t)10000000)

typedef struct world {
    balance_t *balance;
    conf_upstream_t conf;
    uint64_t random; /* splitmix64: the same numbers every time */
    uint64_t now_ms;
    unsigned upstream;
} world_t;

static inline void *shared_new(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(memory != MAP_FAILED);
    return memory;
}

static inline world_t world_new(conf_balance_t policy)
{
    world_t world = {.random = 1, .now_ms = T, .upstream = 3};
    world.balance = balance_init(shared_new(balance_size()));
    world.conf = (conf_upstream_t){
        .balance = policy,
        .eject_failures = 3,
        .eject_time = 1000,
        .panic_percent = 0,
        .retry_percent = 20,
    };
    return world;
}

static inline void world_free(world_t *world)
{
    munmap(world->balance, balance_size());
}

static inline uint64_t next_random(world_t *world)
{
    uint64_t z = (world->random += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Server n: "s<n>:80" at ::ffff:10.0.0.<n>, port 80 + n. */
static inline balance_server_t make_server(unsigned n, uint32_t weight)
{
    balance_server_t server = {.index = (uint16_t)n, .port = (uint16_t)(80 + n), .weight = weight};
    snprintf(server.name, sizeof(server.name), "s%u:80", n);
    server.address.s6_addr[10] = server.address.s6_addr[11] = 0xff;
    server.address.s6_addr[12] = 10;
    server.address.s6_addr[14] = (uint8_t)(n >> 8);
    server.address.s6_addr[15] = (uint8_t)n;
    return server;
}

/* Servers first to first + count - 1. */
static inline void set_servers(world_t *world, unsigned first, size_t count, uint32_t weight)
{
    balance_server_t servers[BALANCE_SERVERS_MAX];
    for (unsigned n = 0; n < count; n++)
        servers[n] = make_server(first + n, weight);
    balance_set(world->balance, world->upstream, 0, servers, count, world->now_ms);
}

/* The slot of server n; fails where it is not there. */
static inline balance_view_t view_of(world_t *world, unsigned n)
{
    balance_view_t view;
    for (unsigned slot = 0; slot < BALANCE_SERVERS_MAX; slot++)
        if (balance_look(world->balance, world->upstream, slot, world->now_ms, &view) &&
            view.server.index == n)
            return view;
    fail_msg("server %u is not there", n);
    return view;
}

static inline size_t count_servers(world_t *world)
{
    balance_view_t view;
    size_t count = 0;
    for (unsigned slot = 0; slot < BALANCE_SERVERS_MAX; slot++)
        count += balance_look(world->balance, world->upstream, slot, world->now_ms, &view);
    return count;
}

static inline balance_result_t pick_for(world_t *world, unsigned worker, uint64_t hash, uint64_t avoid,
                                        balance_pick_t *pick)
{
    return balance_pick(world->balance, worker, world->upstream, &world->conf, hash, next_random(world),
                        avoid, world->now_ms, pick);
}

/* By worker 0; there has to be a place. */
static inline balance_pick_t pick_one(world_t *world)
{
    balance_pick_t pick;
    assert_int_equal(pick_for(world, 0, next_random(world), 0, &pick), BALANCE_OK);
    assert_true(pick.held);
    return pick;
}

static inline bool end_pick(world_t *world, balance_pick_t *pick, balance_outcome_t outcome)
{
    return balance_done(world->balance, 0, world->upstream, &world->conf, pick, outcome, 1000, world->now_ms);
}

/* One exchange of server n, whoever the policy would take. */
static inline void exchange_at(world_t *world, unsigned n, balance_outcome_t outcome, uint32_t latency_us)
{
    balance_view_t view = view_of(world, n);
    balance_pick_t pick;
    balance_result_t result = pick_for(world, 0, 0, ~((uint64_t)1 << view.slot), &pick);
    assert_int_equal(result, BALANCE_OK);
    assert_int_equal(pick.index, n);
    balance_done(world->balance, 0, world->upstream, &world->conf, &pick, outcome, latency_us, world->now_ms);
}

#endif
