/* The segment as a compromised worker may leave it. Each row writes a value into a cell, or into all cells of
 * a region, and then runs every access of the other processes to the segment. A child process does this, so
 * that the test can name the row that kills it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "balance_internal.h"
#include "limit_cells.h"
#include "shm_internal.h"

#define UPSTREAM 1
#define NUMBER   2 /* of the worker that is not the forger */

static const uint8_t seed[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

/* An edge in the middle of its work. */
typedef struct world {
    shm_t *shm;
    unsigned number;
    struct in6_addr client;
    conf_upstream_t conf;
    balance_server_t servers[3];
    balance_pick_t pick;
    limit_id_t key;
    limit_plan_t plan;
    limit_ticket_t ticket;
    tls_ticket_keys_t tickets;
    uint64_t seen;
} world_t;

static void set_servers(world_t *world, uint16_t first, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        world->servers[i] =
            (balance_server_t){.index = (uint16_t)i, .port = (uint16_t)(first + i), .weight = 1};
        snprintf(world->servers[i].name, sizeof(world->servers[i].name), "server-%zu:80", i);
    }
    balance_set(shm_balance(world->shm), UPSTREAM, 7, world->servers, count, 1000);
}

static void take_keys(world_t *world)
{
    tls_ticket_keys_t keys;
    if (shm_ticket_keys_get(world->shm, &world->seen, &keys))
        assert_in_range(keys.count, 1, 3);
}

static void world_open(world_t *world)
{
    limit_state_t state;
    *world = (world_t){.shm = shm_new(seed),
                       .client = {.s6_addr = {[10] = 0xff, 0xff, 192, 0, 2, 1}},
                       .conf = {.id = 7, .in_flight = 5, .server_in_flight = 5, .panic_percent = 50},
                       .key = {{1}},
                       .plan = {.interval_ns = 1000000, .burst = 10, .in_flight = 5},
                       .tickets = {.count = 2}};
    shm_t *shm = world->shm;
    for (unsigned i = 0; i <= NUMBER; i++)
        assert_true(shm_worker_take(shm, i, &world->number));
    shm_ticket_keys_put(shm, &world->tickets);
    take_keys(world);
    assert_true(shm_client_add(shm, NUMBER, &world->client, 9));
    assert_true(shm_waiter_add(shm, NUMBER, 5, 9, 9));
    set_servers(world, 80, 3);
    assert_int_equal(
        balance_pick(shm_balance(shm), NUMBER, UPSTREAM, &world->conf, 1, 2, 0, 1000, &world->pick),
        BALANCE_OK);
    balance_waiters_add(shm_balance(shm), NUMBER, UPSTREAM, 1);
    assert_int_equal(
        limit_take(shm_limit(shm), NUMBER, &world->key, &world->plan, 1, 1000000000, &state, &world->ticket),
        LIMIT_ADMITTED);
}

/* ---- the other processes' accesses ---- */

static void work_of_a_worker(world_t *world)
{
    shm_t *shm = world->shm;
    limit_state_t state;
    limit_ticket_t ticket;
    balance_pick_t pick;
    static const conf_balance_t policies[] = {CONF_BALANCE_P2C, CONF_BALANCE_ROUND_ROBIN, CONF_BALANCE_LEAST,
                                              CONF_BALANCE_HASH};
    for (size_t i = 0; i < sizeof(policies) / sizeof(policies[0]); i++) {
        world->conf.balance = policies[i];
        if (balance_pick(shm_balance(shm), NUMBER, UPSTREAM, &world->conf, i, i, 0, 2000, &pick) ==
            BALANCE_OK)
            (void)balance_done(shm_balance(shm), NUMBER, UPSTREAM, &world->conf, &pick, BALANCE_SUCCEEDED, 9,
                               3000);
    }
    (void)balance_done(shm_balance(shm), NUMBER, UPSTREAM, &world->conf, &world->pick, BALANCE_FAILED, 9,
                       3000);
    balance_waiters_add(shm_balance(shm), NUMBER, UPSTREAM, -1);
    (void)balance_find(shm_balance(shm), 7, UPSTREAM);
    balance_earn_retry(shm_balance(shm), UPSTREAM, &world->conf);
    (void)!balance_take_retry(shm_balance(shm), UPSTREAM);
    limit_release(shm_limit(shm), NUMBER, &world->ticket);
    for (uint8_t i = 0; i < 20; i++) {
        limit_id_t id = {{i}};
        (void)!limit_take(shm_limit(shm), NUMBER, &id, &world->plan, 1, 2000000000, &state, &ticket);
        limit_release(shm_limit(shm), NUMBER, &ticket);
        lockout_failed(shm_lockout(shm), &world->client, i, id.sha256, 1000);
        (void)lockout_left(shm_lockout(shm), &world->client, i, 1000);
    }
    (void)shm_waiters(shm);
    shm_waiter_remove(shm, NUMBER, 5);
    if (shm_waiter_add(shm, NUMBER, 6, 9, 9))
        shm_waiter_remove(shm, NUMBER, 6);
    shm_client_remove(shm, NUMBER, &world->client);
    if (shm_client_add(shm, NUMBER, &world->client, 1))
        shm_client_remove(shm, NUMBER, &world->client);
    (void)shm_share_held(shm, shm_share_of_client(shm, &world->client));
    take_keys(world);
}

static void work_of_the_controller(world_t *world)
{
    shm_t *shm = world->shm;
    for (unsigned slot = 0; slot < BALANCE_SERVERS_MAX; slot++) {
        balance_view_t view;
        if (!balance_look(shm_balance(shm), UPSTREAM, slot, 4000, &view))
            continue;
        assert_true(memchr(view.server.name, '\0', sizeof(view.server.name)) != NULL);
        balance_set_up(shm_balance(shm), UPSTREAM, slot, view.generation, slot % 2 == 0, 4000);
    }
    (void)balance_drain(shm_balance(shm), UPSTREAM, STR("server-1:80"), true, 4000);
    (void)balance_waiters(shm_balance(shm), UPSTREAM);
    set_servers(world, 80, 2);
    set_servers(world, 90, 3);
    balance_set(shm_balance(shm), UPSTREAM, 8, world->servers, 3, 5000);
    balance_set(shm_balance(shm), UPSTREAM, 0, NULL, 0, 5000);
    for (unsigned i = 0; i < SHM_WORKERS_MAX; i++)
        assert_true(shm_worker_find(shm, i) <= SHM_WORKERS_MAX);
}

/* Its three workers keep different slots, whatever the segment contains. */
static void work_of_the_supervisor(world_t *world)
{
    shm_t *shm = world->shm;
    unsigned taken;
    shm_worker_wipe(shm, NUMBER);
    shm_ticket_keys_put(shm, &world->tickets);
    world->seen = 0;
    take_keys(world);
    assert_true(shm_workers_free(shm) <= SHM_WORKERS_MAX);
    if (shm_worker_take(shm, 3, &taken)) {
        assert_in_range(taken, NUMBER + 1, SHM_WORKERS_MAX - 1);
        shm_worker_retire(shm, taken);
        shm_worker_give(shm, taken);
    }
    shm_worker_give(shm, 0);
    shm_t *successor = shm_attach(dup(shm_core_fd(shm)), dup(shm_fd(shm)), seed);
    if (successor != NULL) {
        assert_true(atomic_load(&shm_own_edge(successor)->number) != 0);
        if (shm_worker_take(successor, 0, &taken))
            shm_worker_give(successor, taken);
        for (unsigned i = 0; i < SHM_WORKERS_MAX; i++)
            (void)shm_worker_seen(successor, i);
        (void)shm_tables_copy(successor, shm_fd(shm));
        shm_leave(successor);
        shm_free(&successor);
    }
    shm_leave(shm);
}

/* ---- forgeries ---- */

typedef struct region {
    const char *name;
    char *start;
    size_t size;
} region_t;

#define CELL(cell)                                                                                           \
    {                                                                                                        \
#cell, (char *)&(cell), sizeof(cell)                                                                 \
    }

/* `at` 0: all cells. */
static bool find_region(world_t *world, size_t at, region_t *out)
{
    core_t *core = world->shm->core;
    segment_t *segment = world->shm->segment;
    worker_slot_t *own = &segment->workers[NUMBER];
    balance_t *balance = shm_balance(world->shm);
    upstream_t *up = &balance->upstreams[UPSTREAM];
    limit_t *limit = shm_limit(world->shm);
    const region_t regions[] = {
        CELL(segment->seed),
        CELL(core->conf_generation),
        CELL(core->edges_made),
        CELL(core->epoch),
        CELL(core->store_health),
        CELL(core->edges),
        CELL(core->edges[0].pid),
        CELL(core->edges[0].number),
        CELL(core->workers),
        CELL(core->workers[0].owner),
        CELL(core->workers[NUMBER].owner),
        CELL(core->workers[NUMBER].segment),
        CELL(segment->head),
        CELL(segment->slots),
        CELL(segment->edges),
        CELL(segment->keys_version),
        CELL(segment->keys),
        CELL(own->child),
        CELL(own->counters),
        CELL(own->clients),
        CELL(own->waiters),
        CELL(own->waiters_of_box),
        CELL(own->shares),
        CELL(balance->generations),
        CELL(balance->workers),
        CELL(up->present),
        CELL(up->up),
        CELL(up->drained),
        CELL(up->weight_max),
        CELL(up->id),
        CELL(up->changes),
        CELL(up->watched),
        CELL(up->retries),
        CELL(up->turn),
        CELL(up->in_flight),
        CELL(up->waiters),
        CELL(up->slots[0].version),
        CELL(up->slots[0].generation),
        CELL(up->slots[0].weight),
        CELL(up->slots[0].copies),
        CELL(up->slots),
        CELL(up->cells),
        CELL(*balance),
        CELL(limit->cells),
        CELL(limit->workers),
        {"all of the limits' head and first cells", (char *)limit, sizeof(*limit) + 4096},
        {"the number of sets of the lockouts", (char *)shm_lockout(world->shm) + 16, 8},
        {"the first lockouts", (char *)shm_lockout(world->shm) + 16, 65536},
        {"the segment's head and first workers", (char *)&segment->seed,
         offsetof(segment_t, workers) + (NUMBER + 1) * sizeof(worker_slot_t) - offsetof(segment_t, seed)},
    };
    if (at >= sizeof(regions) / sizeof(regions[0]))
        return false;
    *out = regions[at];
    return true;
}

/* Values of 64 bits; a cell of 32 bits gets the lower half. The bounds are those of numbers of entries. */
static const uint64_t values[] = {
    0,
    1,
    2,
    3,
    63,
    64,
    65,
    255,
    256,
    257,
    65535,
    65536,
    65537,
    (uint64_t)1 << 30 | (uint64_t)1 << 62, /* times 100 it is 0 in 32 bits */
    INT32_MAX,
    UINT32_MAX - 1,
    UINT32_MAX,
    (uint64_t)UINT32_MAX + 1,
    (uint64_t)INT64_MAX,
    UINT64_MAX - 1,
    UINT64_MAX,
};
#define VALUES (sizeof(values) / sizeof(values[0]))
/* Further rows are noise. */
#define NOISE 12

static void forge(const region_t *region, size_t row)
{
    uint64_t word = row < VALUES ? values[row] : 0x9e3779b97f4a7c15u * (row + 1);
    for (size_t i = 0; i < region->size; i += sizeof(word)) {
        size_t left = region->size - i;
        memcpy(region->start + i, &word, left < sizeof(word) ? left : sizeof(word));
        if (row >= VALUES)
            word = (word ^ word >> 29) * 0xff51afd7ed558ccdu;
    }
}

static bool is_played(const region_t *region, size_t row)
{
    if (row >= VALUES)
        return region->size > sizeof(uint64_t) && (region->size <= 1 << 20 || row < VALUES + 2);
    /* Whole regions of megabytes get fewer values. */
    return region->size <= 1 << 16 || row == 1 || row == VALUES - 1;
}

/* In the child; `*row` is the row that it plays. Each process works after a separate forgery. */
static void play(size_t at, const region_t *original, _Atomic size_t *row)
{
    static void (*const work[])(world_t *) = {work_of_a_worker, work_of_the_controller,
                                              work_of_the_supervisor};
    for (size_t i = 0; i < VALUES + NOISE; i++) {
        world_t world;
        region_t region;
        if (!is_played(original, i))
            continue;
        atomic_store(row, i);
        world_open(&world);
        assert_true(find_region(&world, at, &region));
        for (size_t k = 0; k < sizeof(work) / sizeof(work[0]); k++) {
            forge(&region, i);
            work[k](&world);
        }
        shm_free(&world.shm);
    }
    _exit(0);
}

static void no_forgery_ends_another_process(void **state)
{
    (void)state;
    world_t names;
    region_t region;
    unsigned failed = 0;
    _Atomic size_t *row = mmap(NULL, sizeof(*row), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(row != MAP_FAILED);
    world_open(&names);
    for (size_t at = 0; find_region(&names, at, &region); at++) {
        int status;
        pid_t pid = fork();
        if (pid == 0) {
            alarm(120); /* a reader that never returns */
            play(at, &region, row);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (status == 0)
            continue;
        print_error("%s, row %zu: status %d\n", region.name, atomic_load(row), status);
        failed++;
    }
    munmap((void *)row, sizeof(*row));
    shm_free(&names.shm);
    assert_int_equal(failed, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(no_forgery_ends_another_process)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
