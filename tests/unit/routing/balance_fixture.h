/* A table of upstreams in shared memory, its servers, and exchanges from pick to end. */
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

/* The starting time: late enough that no slow start is running. */
#define T ((uint64_t)10000000)

typedef struct world {
    balance_t *balance;
    conf_upstream_t conf;
    uint64_t random; /* splitmix64: the same numbers every time */
    uint64_t now_ms;
    unsigned upstream;
} world_t;

void *balance_shared_new(size_t size);
world_t balance_world_new(conf_balance_t policy);
void balance_world_free(world_t *world);
uint64_t next_random(world_t *world);

/* Server n: "s<n>:80" at ::ffff:10.0.0.<n>, port 80 + n. */
balance_server_t make_server(unsigned n, uint32_t weight);

/* Servers first to first + count - 1. */
void set_servers(world_t *world, unsigned first, size_t count, uint32_t weight);

/* The slot of server n; fails if it has none. */
balance_view_t view_of(world_t *world, unsigned n);
size_t count_servers(world_t *world);
balance_result_t pick_for(world_t *world, unsigned worker, uint64_t hash, uint64_t avoid,
                          balance_pick_t *pick);

/* By worker 0; a place must be free. */
balance_pick_t pick_one(world_t *world);
bool end_pick(world_t *world, balance_pick_t *pick, balance_outcome_t outcome);

/* One exchange of server n, whatever the policy would choose. */
void exchange_at(world_t *world, unsigned n, balance_outcome_t outcome, uint32_t latency_us);

#endif
