/*
 * See shm.h. One anonymous shared mapping, made before the first fork, so that every process has it at the
 * same address. Untouched pages take no memory: the client counts of workers that do not exist cost nothing.
 */
#include "shm.h"

#include <assert.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <openssl/crypto.h>

#include "fold_hash.h"

#define ROWS       2
#define ROW_CELLS  32768u
#define KEY_WORDS  ((sizeof(tls_ticket_keys_t) + 7) / 8)
#define READ_TRIES 1000
/* Cells of held bytes in each row; a power of two. */
#define SHARE_CELLS 8192u
/* (client address, preview) pairs with remembered failures. */
#define LOCKOUT_CELLS 16384
#define WAITER_CELLS  4096u
/* Keys and client addresses whose use of the API is counted at a time. */
#define LIMIT_CELLS 65536

typedef struct client_counts {
    _Atomic uint32_t cell[ROWS][ROW_CELLS];
} client_counts_t;

_Static_assert(1 + 2 * ROWS * SHARE_CELLS <= UINT16_MAX + 1, "a cell's number fits shm_share_t");

/* Cell 0 is unused; then come the rows of clients and those of boxes. */
typedef struct share_table {
    _Atomic uint64_t cell[1 + 2 * ROWS * SHARE_CELLS];
} share_table_t;

/* Each on cache lines of its own, because its owner writes it constantly. */
typedef struct worker_slot {
    alignas(64) shm_child_t child;
    alignas(64) counters_t counters;
    alignas(4096) client_counts_t clients;
    alignas(4096) _Atomic uint32_t waiters;
    _Atomic uint32_t waiters_of_box[WAITER_CELLS];
    alignas(4096) share_table_t shares;
} worker_slot_t;

struct shm {
    uint64_t seed[2]; /* constant after shm_new */
    _Atomic uint64_t conf_generation;
    lockout_t *lockout;     /* constant after shm_new; after this struct, in the same mapping */
    limit_t *limit;         /* like `lockout` */
    balance_t *balance;     /* like `lockout` */
    _Atomic uint32_t slots; /* workers from this index on never counted a client */
    alignas(64) _Atomic uint64_t epoch;
    alignas(64) shm_child_t controller;
    shm_wakes_t wakes;
    alignas(64) shm_child_t runner;
    alignas(64) _Atomic uint64_t keys_version; /* odd while the supervisor writes the keys */
    _Atomic uint64_t keys[KEY_WORDS];
    worker_slot_t workers[SHM_WORKERS_MAX];
    alignas(4096) tabs_t tabs;
    alignas(64) doubts_t doubts;
};

/* The lockout table, the limits and the upstreams follow the struct, each on pages of its own. */
static size_t paged(size_t n)
{
    return (n + 4095) & ~(size_t)4095;
}

static size_t lockout_offset(void)
{
    return paged(sizeof(shm_t));
}

static size_t limit_offset(void)
{
    return lockout_offset() + paged(lockout_size(LOCKOUT_CELLS));
}

static size_t balance_offset(void)
{
    return limit_offset() + paged(limit_size(LIMIT_CELLS));
}

static size_t segment_size(void)
{
    return balance_offset() + paged(balance_size());
}

shm_t *shm_new(const uint8_t seed[16])
{
    shm_t *shm = mmap(NULL, segment_size(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shm == MAP_FAILED)
        return NULL;
    (void)madvise(shm, segment_size(), MADV_DONTDUMP); /* it holds the ticket keys */
    memcpy(shm->seed, seed, sizeof(shm->seed));
    shm->lockout = lockout_init((char *)shm + lockout_offset(), LOCKOUT_CELLS, seed);
    shm->limit = limit_init((char *)shm + limit_offset(), LIMIT_CELLS, seed);
    shm->balance = balance_init((char *)shm + balance_offset());
    return shm;
}

void shm_free(shm_t **shm)
{
    if (*shm != NULL)
        munmap(*shm, segment_size());
    *shm = NULL;
}

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
    return &shm->epoch;
}

void shm_epoch_bump(shm_t *shm)
{
    atomic_fetch_add(&shm->epoch, 1);
}

shm_wakes_t *shm_wakes(shm_t *shm)
{
    return &shm->wakes;
}

tabs_t *shm_tabs(shm_t *shm)
{
    return &shm->tabs;
}

doubts_t *shm_doubts(shm_t *shm)
{
    return &shm->doubts;
}

static worker_slot_t *slot(shm_t *shm, unsigned index)
{
    assert(index < SHM_WORKERS_MAX);
    return &shm->workers[index];
}

shm_child_t *shm_worker(shm_t *shm, unsigned index)
{
    return &slot(shm, index)->child;
}

shm_child_t *shm_controller(shm_t *shm)
{
    return &shm->controller;
}

shm_child_t *shm_runner(shm_t *shm)
{
    return &shm->runner;
}

counters_t *shm_counters(shm_t *shm, unsigned index)
{
    return &slot(shm, index)->counters;
}

_Atomic uint64_t *shm_conf_generation(shm_t *shm)
{
    return &shm->conf_generation;
}

void shm_worker_wipe(shm_t *shm, unsigned index)
{
    worker_slot_t *dead = slot(shm, index);

#define X(name, type, help)                                                                                  \
    if (strcmp(type, "gauge") == 0)                                                                          \
        counter_set(&dead->counters.name, 0);
    COUNTERS(X)
#undef X
    for (size_t row = 0; row < ROWS; row++)
        for (size_t i = 0; i < ROW_CELLS; i++)
            /* Read first, so that pages that were never written stay unallocated. */
            if (atomic_load_explicit(&dead->clients.cell[row][i], memory_order_relaxed) != 0)
                atomic_store(&dead->clients.cell[row][i], 0);
    for (size_t i = 0; i < WAITER_CELLS; i++)
        if (atomic_load_explicit(&dead->waiters_of_box[i], memory_order_relaxed) != 0)
            atomic_store(&dead->waiters_of_box[i], 0);
    atomic_store(&dead->waiters, 0);
    for (size_t i = 0; i < sizeof(dead->shares.cell) / sizeof(dead->shares.cell[0]); i++)
        if (atomic_load_explicit(&dead->shares.cell[i], memory_order_relaxed) != 0)
            atomic_store(&dead->shares.cell[i], 0);
    limit_worker_wipe(shm->limit, index);
    balance_worker_wipe(shm->balance, index);
    doubts_wipe(&shm->doubts, index);
}

/* ---- client counts ---- */

/* The two cells of an address. */
static void cells_of(const shm_t *shm, const struct in6_addr *address, uint32_t cells[ROWS])
{
    uint64_t hash = fold_hash_client(shm->seed, address);
    cells[0] = (uint32_t)hash % ROW_CELLS;
    cells[1] = (uint32_t)(hash >> 32) % ROW_CELLS;
}

static uint32_t count_of_cells(const shm_t *shm, const uint32_t cells[ROWS])
{
    uint32_t least = UINT32_MAX;
    uint32_t slots = atomic_load(&shm->slots);

    for (size_t row = 0; row < ROWS; row++) {
        uint32_t sum = 0;
        for (uint32_t i = 0; i < slots; i++)
            sum += atomic_load(&shm->workers[i].clients.cell[row][cells[row]]);
        least = sum < least ? sum : least;
    }
    return least;
}

static void count_down(worker_slot_t *own, const uint32_t cells[ROWS])
{
    for (size_t row = 0; row < ROWS; row++) {
        uint32_t before = atomic_fetch_sub(&own->clients.cell[row][cells[row]], 1);
        assert(before > 0);
        (void)before;
    }
}

/* Includes this worker's cells in the sums from now on. */
static void take_part(shm_t *shm, unsigned index)
{
    uint32_t slots = atomic_load(&shm->slots);
    while (slots <= index && !atomic_compare_exchange_weak(&shm->slots, &slots, index + 1))
        ;
}

bool shm_client_add(shm_t *shm, unsigned index, const struct in6_addr *address, uint32_t limit)
{
    worker_slot_t *own = slot(shm, index);
    uint32_t cells[ROWS];

    take_part(shm, index);
    cells_of(shm, address, cells);
    /* Add first, then look: of two workers that add at once, at least one sees both. */
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
    return share_of(fold_hash_client(shm->seed, address), 1);
}

shm_share_t shm_share_of_box(const shm_t *shm, str_t id)
{
    return share_of(fold_hash_text(shm->seed, id), 1 + ROWS * SHARE_CELLS);
}

_Atomic uint64_t *shm_shares(shm_t *shm, unsigned index)
{
    take_part(shm, index);
    return slot(shm, index)->shares.cell;
}

uint64_t shm_share_held(const shm_t *shm, shm_share_t share)
{
    uint64_t least = UINT64_MAX;
    uint32_t slots = atomic_load(&shm->slots);
    if (share.cell[0] == 0)
        return 0;
    for (size_t row = 0; row < ROWS; row++) {
        uint64_t sum = 0;
        for (uint32_t i = 0; i < slots; i++)
            sum += atomic_load_explicit(&shm->workers[i].shares.cell[share.cell[row]], memory_order_relaxed);
        least = sum < least ? sum : least;
    }
    return least;
}

/* ---- requests that wait for boxes ---- */

uint32_t shm_waiters(const shm_t *shm)
{
    uint32_t sum = 0, slots = atomic_load(&shm->slots);
    for (uint32_t i = 0; i < slots; i++)
        sum += atomic_load(&shm->workers[i].waiters);
    return sum;
}

static uint32_t waiters_of_box(const shm_t *shm, uint32_t cell)
{
    uint32_t sum = 0, slots = atomic_load(&shm->slots);
    for (uint32_t i = 0; i < slots; i++)
        sum += atomic_load(&shm->workers[i].waiters_of_box[cell]);
    return sum;
}

bool shm_waiter_add(shm_t *shm, unsigned index, uint64_t box_hash, uint32_t most, uint32_t most_per_box)
{
    worker_slot_t *own = slot(shm, index);
    uint32_t cell = (uint32_t)box_hash % WAITER_CELLS;
    take_part(shm, index);
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
    uint32_t before = atomic_fetch_sub(&own->waiters, 1);
    assert(before > 0);
    before = atomic_fetch_sub(&own->waiters_of_box[(uint32_t)box_hash % WAITER_CELLS], 1);
    assert(before > 0);
    (void)before;
}

/* ---- ticket keys ---- */

void shm_ticket_keys_put(shm_t *shm, const tls_ticket_keys_t *keys)
{
    uint64_t words[KEY_WORDS] = {0};
    memcpy(words, keys, sizeof(*keys));
    uint64_t version = atomic_load(&shm->keys_version);
    assert(version % 2 == 0);

    atomic_store(&shm->keys_version, version + 1);
    for (size_t i = 0; i < KEY_WORDS; i++)
        atomic_store(&shm->keys[i], words[i]);
    atomic_store(&shm->keys_version, version + 2);
    OPENSSL_cleanse(words, sizeof(words));
}

bool shm_ticket_keys_get(const shm_t *shm, uint64_t *seen, tls_ticket_keys_t *keys)
{
    uint64_t words[KEY_WORDS];
    bool got = false;

    /* Bounded: if a writer stopped half-way, the caller keeps its old keys. */
    for (int i = 0; i < READ_TRIES && !got; i++) {
        uint64_t version = atomic_load(&shm->keys_version);
        if (version == *seen)
            return false;
        if (version % 2 != 0)
            continue;
        for (size_t w = 0; w < KEY_WORDS; w++)
            words[w] = atomic_load(&shm->keys[w]);
        if (atomic_load(&shm->keys_version) != version)
            continue;
        memcpy(keys, words, sizeof(*keys));
        *seen = version;
        got = true;
    }
    OPENSSL_cleanse(words, sizeof(words));
    return got;
}
