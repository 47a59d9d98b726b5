/*
 * The segment's mapping, the edges in it, and the owners of workers' slots. One mapping of a memory file,
 * made before the first fork. Untouched pages take no memory: the client counts of workers that do not exist
 * cost nothing.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shm_internal.h"

/* (client address, preview) pairs with remembered failures. */
#define LOCKOUT_CELLS LOCKOUT_CELLS_MAX
/* Keys and client addresses whose use of the API is counted at a time. */
#define LIMIT_CELLS LIMIT_CELLS_MAX
/* "boxedge" as a number. */
#define MAGIC 0x65676465786f62u
/* Of `owner`: the edge, and above it the index in that edge. */
#define OWNER_INDEX_SHIFT 32u

/* The lockout table, the limits and the upstreams follow the struct, each on separate pages. */
static size_t paged(size_t n)
{
    return (n + 4095) & ~(size_t)4095;
}

static size_t lockout_offset(void)
{
    return paged(sizeof(segment_t));
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

/* Equal in two programs only if the segment has the same layout in both. */
static uint64_t layout(void)
{
    const uint64_t parts[] = {SHM_LAYOUT,
                              sizeof(segment_t),
                              sizeof(shm_child_t),
                              sizeof(shm_edge_t),
                              sizeof(shm_wakes_t),
                              sizeof(tls_ticket_keys_t),
                              offsetof(segment_t, keys_version),
                              offsetof(segment_t, workers),
                              offsetof(segment_t, tabs),
                              sizeof(worker_slot_t),
                              sizeof(edge_slot_t),
                              limit_offset(),
                              balance_offset(),
                              segment_size()};
    uint64_t sum = 0;
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        sum = (sum ^ parts[i]) * 0x100000001b3u;
    return sum;
}

/* ---- edges ---- */

static bool is_gone(int32_t pid)
{
    return kill(pid, 0) < 0 && errno == ESRCH;
}

/* Whether the edge with that number has an entry and lives. */
static bool edge_lives(const segment_t *segment, uint32_t number)
{
    for (unsigned i = 0; i < SHM_EDGES_MAX; i++) {
        int32_t pid = atomic_load(&segment->edges[i].edge.pid);
        if (pid != 0 && atomic_load(&segment->edges[i].edge.number) == number)
            return !is_gone(pid);
    }
    return false;
}

/* A number that no slot's owner and no live edge has, so that no forged count gives a number twice. */
static uint32_t new_number(segment_t *segment)
{
    uint32_t number = 0;
    /* Bounded by the edges that can have one of the numbers tried, and by 0. */
    for (unsigned i = 0; i < SHM_EDGES_MAX + 2; i++) {
        number = atomic_fetch_add(&segment->edges_made, 1) + 1;
        if (number != 0 && !edge_lives(segment, number))
            break;
    }
    return number != 0 ? number : 1;
}

/* Takes a free entry, or that of an edge that was killed. False: none exists. */
static bool take_edge(shm_t *shm)
{
    segment_t *segment = shm->segment;
    for (unsigned i = 0; i < SHM_EDGES_MAX; i++) {
        edge_slot_t *slot = &segment->edges[i];
        int32_t pid = atomic_load(&slot->edge.pid);
        if ((pid != 0 && !is_gone(pid)) ||
            !atomic_compare_exchange_strong(&slot->edge.pid, &pid, (int32_t)getpid()))
            continue;
        atomic_store(&slot->edge.number, 0);
        shm->number = new_number(segment);
        shm->own = slot;
        atomic_store(&slot->edge.number, shm->number);
        atomic_store(&slot->edge.since_s, 0);
        atomic_store(&slot->edge.open_until_ms, 0);
        atomic_store(&slot->certificate_count, 0);
        for (unsigned queue = 0; queue < SHM_QUEUES_MAX; queue++)
            atomic_store(&slot->queues[queue].id, 0);
        return true;
    }
    errno = EUSERS;
    return false;
}

const shm_edge_t *shm_edge(const shm_t *shm, unsigned i)
{
    assert(i < SHM_EDGES_MAX);
    return &shm->segment->edges[i].edge;
}

shm_edge_t *shm_own_edge(shm_t *shm)
{
    return &shm->own->edge;
}

/* ---- the mapping ---- */

/* The file that a successor can map; -1: none, for example because of RLIMIT_FSIZE. */
static int make_file(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur < segment_size())
        return -1;
    int fd = memfd_create("boxedge-shared", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd >= 0 && ftruncate(fd, (off_t)segment_size()) == 0 &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

/* Takes over `fd` on success. */
static shm_t *view_new(int fd)
{
    int flags = fd >= 0 ? MAP_SHARED : MAP_SHARED | MAP_ANONYMOUS;
    shm_t *shm = calloc(1, sizeof(*shm));
    void *memory = mmap(NULL, segment_size(), PROT_READ | PROT_WRITE, flags, fd, 0);
    if (shm == NULL || memory == MAP_FAILED) {
        if (memory != MAP_FAILED)
            munmap(memory, segment_size());
        free(shm);
        return NULL;
    }
    (void)madvise(memory, segment_size(), MADV_DONTDUMP); /* it holds the ticket keys */
    shm->segment = memory;
    shm->fd = fd;
    shm->lockout = (lockout_t *)((char *)memory + lockout_offset());
    shm->limit = (limit_t *)((char *)memory + limit_offset());
    shm->balance = (balance_t *)((char *)memory + balance_offset());
    return shm;
}

shm_t *shm_new(const uint8_t seed[16])
{
    int fd = make_file();
    shm_t *shm = view_new(fd);
    if (shm == NULL) {
        int saved = errno;
        if (fd >= 0)
            close(fd);
        errno = saved;
        return NULL;
    }
    segment_t *segment = shm->segment;
    segment->magic = MAGIC;
    segment->layout = layout();
    segment->size = segment_size();
    memcpy(segment->seed, seed, sizeof(segment->seed));
    (void)lockout_init(shm->lockout, LOCKOUT_CELLS, seed);
    (void)limit_init(shm->limit, LIMIT_CELLS, seed);
    (void)balance_init(shm->balance);
    bool taken = take_edge(shm);
    assert(taken);
    (void)taken;
    return shm;
}

shm_t *shm_attach(int fd)
{
    struct stat file;
    uint64_t head[3];
    if (fstat(fd, &file) < 0)
        return NULL;
    if ((uint64_t)file.st_size != segment_size() ||
        pread(fd, head, sizeof(head), 0) != (ssize_t)sizeof(head) || head[0] != MAGIC ||
        head[1] != layout() || head[2] != segment_size()) {
        errno = EPROTO;
        return NULL;
    }
    shm_t *shm = view_new(fd);
    if (shm == NULL)
        return NULL;
    if (take_edge(shm))
        return shm;
    shm->fd = -1; /* the caller keeps it */
    shm_free(&shm);
    errno = EUSERS;
    return NULL;
}

int shm_fd(const shm_t *shm)
{
    return shm->fd;
}

void shm_free(shm_t **freed)
{
    shm_t *shm = *freed;
    *freed = NULL;
    if (shm == NULL)
        return;
    munmap(shm->segment, segment_size());
    if (shm->fd >= 0)
        close(shm->fd);
    free(shm);
}

void shm_leave(shm_t *shm)
{
    for (unsigned i = 0; i < SHM_WORKERS_MAX; i++)
        if (shm->taken[i])
            shm_worker_give(shm, i);
    atomic_store(&shm->own->edge.pid, 0);
}

/* ---- slots of workers ---- */

/* Whether slot `i` with this owner can be taken: it has none, or that edge was killed. This supervisor's
 * own slots cannot: it trusts its own memory, not their cells. */
static bool is_free(const shm_t *shm, unsigned i, uint64_t owner)
{
    if (shm->taken[i])
        return false;
    return owner == 0 || (uint32_t)owner == shm->number || !edge_lives(shm->segment, (uint32_t)owner);
}

unsigned shm_workers_free(const shm_t *shm)
{
    unsigned count = 0;
    for (unsigned i = 0; i < SHM_WORKERS_MAX; i++)
        count += is_free(shm, i, atomic_load(&shm->segment->workers[i].owner));
    return count;
}

bool shm_worker_take(shm_t *shm, unsigned index, unsigned *taken)
{
    assert(index < SHM_WORKERS_MAX);
    for (unsigned i = 0; i < SHM_WORKERS_MAX; i++) {
        _Atomic uint64_t *cell = &shm->segment->workers[i].owner;
        uint64_t owner = atomic_load(cell);
        bool killed = owner != 0;
        if (!is_free(shm, i, owner) ||
            !atomic_compare_exchange_strong(cell, &owner, shm->number | (uint64_t)index << OWNER_INDEX_SHIFT))
            continue;
        shm->taken[i] = true;
        shm_take_part(shm, i);
        if (killed)
            shm_worker_wipe(shm, i);
        *taken = i;
        return true;
    }
    return false;
}

void shm_worker_give(shm_t *shm, unsigned index)
{
    shm_child_t *child = shm_worker(shm, index);
    shm_worker_wipe(shm, index);
    atomic_store(&child->pid, 0);
    atomic_store(&child->state, SHM_ABSENT);
    shm->taken[index] = false;
    atomic_store(&shm->segment->workers[index].owner, 0);
}

unsigned shm_worker_find(const shm_t *shm, unsigned index)
{
    uint64_t wanted = shm->number | (uint64_t)index << OWNER_INDEX_SHIFT;
    for (unsigned i = 0; i < SHM_WORKERS_MAX; i++)
        if (atomic_load_explicit(&shm->segment->workers[i].owner, memory_order_relaxed) == wanted)
            return i;
    return SHM_WORKERS_MAX;
}

void shm_worker_retire(shm_t *shm, unsigned index)
{
    _Atomic uint64_t *owner = &shm->segment->workers[index].owner;
    atomic_store(owner, shm->number | (uint64_t)SHM_WORKERS_MAX << OWNER_INDEX_SHIFT);
}

uint32_t shm_worker_edge(const shm_t *shm, unsigned index)
{
    assert(index < SHM_WORKERS_MAX);
    return (uint32_t)atomic_load_explicit(&shm->segment->workers[index].owner, memory_order_relaxed);
}
