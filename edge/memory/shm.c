/*
 * See shm.h: the counts and cells in the segment.
 */
#include <assert.h>
#include <string.h>

#include <openssl/crypto.h>

#include "fold_hash.h"
#include "shared_cell.h"
#include "shm_internal.h"

#define READ_TRIES 1000

lockout_t *shm_lockout(shm_t *shm)
{
    return shm->lockout;
}

limit_t *shm_limit(shm_t *shm)
{
    return shm->limit;
}

balance_t *shm_balance(shm_t *shm)
{
    return shm->balance;
}

const _Atomic uint64_t *shm_epoch(const shm_t *shm)
{
    return &shm->core->epoch;
}

void shm_epoch_bump(shm_t *shm)
{
    atomic_fetch_add(&shm->core->epoch, 1);
}

shm_wakes_t *shm_wakes(shm_t *shm)
{
    return &shm->segment->wakes;
}

tabs_t *shm_tabs(shm_t *shm)
{
    return &shm->segment->tabs;
}

host_modes_t *shm_host_modes(shm_t *shm)
{
    return &shm->segment->host_modes;
}

uint64_t shm_host_key(const shm_t *shm, str_t box, uint64_t generation, uint16_t port)
{
    return host_modes_key(shm->segment->seed, box, generation, port);
}

store_health_t *shm_store_health(shm_t *shm)
{
    return &shm->core->store_health;
}

static worker_slot_t *slot(shm_t *shm, unsigned index)
{
    assert(index < SHM_WORKERS_MAX);
    return &shm->segment->workers[index];
}

shm_child_t *shm_worker(shm_t *shm, unsigned index)
{
    return &slot(shm, index)->child;
}

shm_child_t *shm_controller(shm_t *shm)
{
    return &shm->own_slot->controller;
}

shm_child_t *shm_runner(shm_t *shm)
{
    return &shm->own_slot->runner;
}

_Atomic uint64_t *shm_certificate_count(shm_t *shm)
{
    return &shm->own_slot->certificate_count;
}

shm_certificate_t *shm_certificate(shm_t *shm, unsigned i)
{
    assert(i < SHM_CERTIFICATES_MAX);
    return &shm->own_slot->certificates[i];
}

shm_queue_t *shm_queue(shm_t *shm, unsigned i)
{
    assert(i < SHM_QUEUES_MAX);
    return &shm->own_slot->queues[i];
}

counters_t *shm_counters(shm_t *shm, unsigned index)
{
    return &slot(shm, index)->counters;
}

flight_table_t *shm_flights(shm_t *shm, unsigned index)
{
    return &slot(shm, index)->flights;
}

_Atomic uint64_t *shm_conf_generation(shm_t *shm)
{
    return &shm->core->conf_generation;
}

void shm_worker_wipe(shm_t *shm, unsigned index)
{
    worker_slot_t *dead = slot(shm, index);

#define X(name, type, help)                                                                                  \
    if (strcmp(type, "gauge") == 0)                                                                          \
        counter_set(&dead->counters.name, 0);
    COUNTERS(X)
#undef X
    for (unsigned i = 0; i < MEASURE_LISTENERS; i++)
        counter_set(&dead->counters.measures.listeners[i].counts[MEASURE_LISTENER_OPEN], 0);
    for (size_t row = 0; row < ROWS; row++)
        for (size_t i = 0; i < ROW_CELLS; i++)
            /* Read first: a store costs more, and hardly a cell needs it. */
            if (atomic_load_explicit(&dead->clients.cell[row][i], memory_order_relaxed) != 0)
                atomic_store(&dead->clients.cell[row][i], 0);
    for (size_t i = 0; i < WAITER_CELLS; i++)
        if (atomic_load_explicit(&dead->waiters_of_box[i], memory_order_relaxed) != 0)
            atomic_store(&dead->waiters_of_box[i], 0);
    atomic_store(&dead->waiters, 0);
    for (size_t i = 0; i < sizeof(dead->shares.cell) / sizeof(dead->shares.cell[0]); i++)
        if (atomic_load_explicit(&dead->shares.cell[i], memory_order_relaxed) != 0)
            atomic_store(&dead->shares.cell[i], 0);
    flights_wipe(&dead->flights);
    limit_worker_wipe(shm->limit, index);
    balance_worker_wipe(shm->balance, index);
    core_worker_wipe(shm->core, index);
}

void shm_take_part(const shm_t *shm, unsigned index)
{
    uint32_t slots = atomic_load(&shm->segment->slots);
    while (slots <= index && !atomic_compare_exchange_weak(&shm->segment->slots, &slots, index + 1))
        ;
}

unsigned shm_workers_used(const shm_t *shm)
{
    return shared_at_most(&shm->segment->slots, SHM_WORKERS_MAX);
}

/* ---- client counts ---- */

/* The two cells of an address. */
static void cells_of(const shm_t *shm, const struct in6_addr *address, uint32_t cells[ROWS])
{
    uint64_t hash = fold_hash_client(shm->segment->seed, address);
    cells[0] = (uint32_t)hash % ROW_CELLS;
    cells[1] = (uint32_t)(hash >> 32) % ROW_CELLS;
}

static uint32_t count_of_cells(const shm_t *shm, const uint32_t cells[ROWS])
{
    uint32_t least = UINT32_MAX;
    uint32_t slots = shm_workers_used(shm);

    for (size_t row = 0; row < ROWS; row++) {
        uint32_t sum = 0;
        for (uint32_t i = 0; i < slots; i++)
            sum += atomic_load(&shm->segment->workers[i].clients.cell[row][cells[row]]);
        least = sum < least ? sum : least;
    }
    return least;
}

static void count_down(worker_slot_t *own, const uint32_t cells[ROWS])
{
    for (size_t row = 0; row < ROWS; row++)
        shared_count_down(&own->clients.cell[row][cells[row]]);
}

bool shm_client_add(shm_t *shm, unsigned index, const struct in6_addr *address, uint32_t limit)
{
    worker_slot_t *own = slot(shm, index);
    uint32_t cells[ROWS];

    shm_take_part(shm, index);
    cells_of(shm, address, cells);
    /* Add first, then look: of two workers that add at the same time, at least one sees both. */
    for (size_t row = 0; row < ROWS; row++)
        atomic_fetch_add(&own->clients.cell[row][cells[row]], 1);
    if (limit == 0 || count_of_cells(shm, cells) <= limit)
        return true;
    count_down(own, cells);
    return false;
}

void shm_client_remove(shm_t *shm, unsigned index, const struct in6_addr *address)
{
    uint32_t cells[ROWS];
    cells_of(shm, address, cells);
    count_down(slot(shm, index), cells);
}

uint32_t shm_client_count(const shm_t *shm, const struct in6_addr *address)
{
    uint32_t cells[ROWS];
    cells_of(shm, address, cells);
    return count_of_cells(shm, cells);
}

/* ---- bytes held ---- */

/* `first` is the first cell of the kind's two rows. */
static shm_share_t share_of(uint64_t hash, uint32_t first)
{
    uint32_t other = first + SHARE_CELLS;
    return (shm_share_t){.cell = {(uint16_t)(first + (uint32_t)hash % SHARE_CELLS),
                                  (uint16_t)(other + (uint32_t)(hash >> 32) % SHARE_CELLS)}};
}

shm_share_t shm_share_of_client(const shm_t *shm, const struct in6_addr *address)
{
    return share_of(fold_hash_client(shm->segment->seed, address), 1);
}

shm_share_t shm_share_of_box(const shm_t *shm, str_t id)
{
    return share_of(fold_hash_text(shm->segment->seed, id), 1 + ROWS * SHARE_CELLS);
}

_Atomic uint64_t *shm_shares(shm_t *shm, unsigned index)
{
    shm_take_part(shm, index);
    return slot(shm, index)->shares.cell;
}

uint64_t shm_share_held(const shm_t *shm, shm_share_t share)
{
    uint64_t least = UINT64_MAX;
    uint32_t slots = shm_workers_used(shm);
    if (share.cell[0] == 0)
        return 0;
    for (size_t row = 0; row < ROWS; row++) {
        uint64_t sum = 0;
        for (uint32_t i = 0; i < slots; i++)
            sum += atomic_load_explicit(&shm->segment->workers[i].shares.cell[share.cell[row]],
                                        memory_order_relaxed);
        least = sum < least ? sum : least;
    }
    return least;
}

/* ---- requests that wait for boxes ---- */

uint32_t shm_waiters(const shm_t *shm)
{
    uint32_t sum = 0, slots = shm_workers_used(shm);
    for (uint32_t i = 0; i < slots; i++)
        sum += atomic_load(&shm->segment->workers[i].waiters);
    return sum;
}

static uint32_t waiters_of_box(const shm_t *shm, uint32_t cell)
{
    uint32_t sum = 0, slots = shm_workers_used(shm);
    for (uint32_t i = 0; i < slots; i++)
        sum += atomic_load(&shm->segment->workers[i].waiters_of_box[cell]);
    return sum;
}

bool shm_waiter_add(shm_t *shm, unsigned index, uint64_t box_hash, uint32_t most, uint32_t most_per_box)
{
    worker_slot_t *own = slot(shm, index);
    uint32_t cell = (uint32_t)box_hash % WAITER_CELLS;
    shm_take_part(shm, index);
    atomic_fetch_add(&own->waiters, 1); /* add first, as in shm_client_add */
    atomic_fetch_add(&own->waiters_of_box[cell], 1);
    if (shm_waiters(shm) <= most && waiters_of_box(shm, cell) <= most_per_box)
        return true;
    shm_waiter_remove(shm, index, box_hash);
    return false;
}

void shm_waiter_remove(shm_t *shm, unsigned index, uint64_t box_hash)
{
    worker_slot_t *own = slot(shm, index);
    shared_count_down(&own->waiters);
    shared_count_down(&own->waiters_of_box[(uint32_t)box_hash % WAITER_CELLS]);
}

/* ---- ticket keys ---- */

void shm_ticket_keys_put(shm_t *shm, const tls_ticket_keys_t *keys)
{
    uint64_t words[KEY_WORDS] = {0};
    memcpy(words, keys, sizeof(*keys));
    /* Odd already if a writer died half-way. Readers have seen version 0. */
    uint64_t writing = atomic_load(&shm->segment->keys_version) | 1;
    writing = writing != UINT64_MAX ? writing : 1;

    atomic_store(&shm->segment->keys_version, writing);
    for (size_t i = 0; i < KEY_WORDS; i++)
        atomic_store(&shm->segment->keys[i], words[i]);
    atomic_store(&shm->segment->keys_version, writing + 1);
    OPENSSL_cleanse(words, sizeof(words));
}

bool shm_ticket_keys_get(const shm_t *shm, uint64_t *seen, tls_ticket_keys_t *keys)
{
    uint64_t words[KEY_WORDS];
    tls_ticket_keys_t read;
    bool got = false;

    /* Bounded: if a writer stopped half-way, the caller keeps its old keys. */
    for (int i = 0; i < READ_TRIES; i++) {
        uint64_t version = atomic_load(&shm->segment->keys_version);
        if (version == *seen)
            return false;
        if (version % 2 != 0)
            continue;
        for (size_t w = 0; w < KEY_WORDS; w++)
            words[w] = atomic_load(&shm->segment->keys[w]);
        if (atomic_load(&shm->segment->keys_version) != version)
            continue;
        *seen = version;
        memcpy(&read, words, sizeof(read));
        got = tls_ticket_keys_valid(&read);
        break;
    }
    if (got)
        *keys = read;
    OPENSSL_cleanse(&read, sizeof(read));
    OPENSSL_cleanse(words, sizeof(words));
    return got;
}
