/*
 * The mappings, the edges, and the owners of workers' slots. Both memory files are mapped before the first
 * fork. Untouched pages take no memory: the client counts of workers that do not exist cost nothing.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shm_internal.h"

static size_t paged(size_t n)
{
    return (n + 4095) & ~(size_t)4095;
}

size_t shm_lockout_offset(void)
{
    return paged(sizeof(segment_t));
}

size_t shm_limit_offset(void)
{
    return shm_lockout_offset() + paged(lockout_size(LOCKOUT_CELLS));
}

size_t shm_balance_offset(void)
{
    return shm_limit_offset() + paged(limit_size(LIMIT_CELLS));
}

static size_t segment_size(void)
{
    return shm_balance_offset() + paged(balance_size());
}

/* ---- the mappings ---- */

static shm_t *view_free(shm_t *shm)
{
    if (shm == NULL)
        return NULL;
    core_unmap(&shm->core);
    if (shm->segment != NULL)
        munmap(shm->segment, segment_size());
    free(shm);
    return NULL;
}

/* Takes over the descriptors on success; NULL with errno. */
static shm_t *view_new(int core_fd, int fd)
{
    shm_t *shm = calloc(1, sizeof(*shm));
    if (shm == NULL)
        return NULL;
    int flags = fd >= 0 ? MAP_SHARED : MAP_SHARED | MAP_ANONYMOUS;
    void *memory = mmap(NULL, segment_size(), PROT_READ | PROT_WRITE, flags, fd, 0);
    shm->segment = memory != MAP_FAILED ? memory : NULL;
    shm->core = core_map(core_fd);
    if (shm->segment == NULL || shm->core == NULL)
        return view_free(shm);
    (void)madvise(memory, segment_size(), MADV_DONTDUMP); /* it holds the ticket keys */
    shm->core_fd = core_fd;
    shm->fd = fd;
    shm->lockout = (lockout_t *)((char *)memory + shm_lockout_offset());
    shm->limit = (limit_t *)((char *)memory + shm_limit_offset());
    shm->balance = (balance_t *)((char *)memory + shm_balance_offset());
    return shm;
}

/* Takes a place in the core. False: it has none. */
static bool enter(shm_t *shm)
{
    shm->own = core_edge_take(shm->core, &shm->number);
    if (shm->own == NULL)
        return false;
    shm->own_slot = &shm->segment->edges[shm->own - shm->core->edges];
    atomic_store(&shm->own_slot->certificate_count, 0);
    for (unsigned queue = 0; queue < SHM_QUEUES_MAX; queue++)
        atomic_store(&shm->own_slot->queues[queue].id, 0);
    return true;
}

static segment_head_t our_head(uint64_t maker)
{
    segment_head_t head = {
        .magic = SEGMENT_MAGIC, .layout = SHM_LAYOUT, .size = segment_size(), .maker = maker};
    shm_tables_note(&head);
    return head;
}

static void make_segment(shm_t *shm, const uint8_t seed[16])
{
    segment_t *segment = shm->segment;
    shm->maker = shm->number;
    segment->head = our_head(shm->maker);
    memcpy(segment->seed, seed, sizeof(segment->seed));
    (void)lockout_init(shm->lockout, LOCKOUT_CELLS, seed);
    (void)limit_init(shm->limit, LIMIT_CELLS, seed);
    (void)balance_init(shm->balance);
}

static void close_fd(int fd)
{
    int saved = errno;
    if (fd >= 0)
        close(fd);
    errno = saved;
}

shm_t *shm_new(const uint8_t seed[16])
{
    int core_fd = core_file("boxedge-core", CORE_BYTES);
    int fd = core_file("boxedge-shared", segment_size());
    shm_t *shm = view_new(core_fd, fd);
    if (shm == NULL) {
        close_fd(core_fd);
        close_fd(fd);
        return NULL;
    }
    core_init(shm->core);
    bool entered = enter(shm);
    assert(entered);
    (void)entered;
    make_segment(shm, seed);
    return shm;
}

/* Whether the segment has this program's layout, and its tables have our forms. *maker is its maker's number.
 */
static bool has_our_layout(int fd, uint64_t *maker)
{
    struct stat file;
    segment_head_t head, own;
    if (fd < 0 || fstat(fd, &file) < 0 || (uint64_t)file.st_size != segment_size() ||
        pread(fd, &head, sizeof(head), 0) != (ssize_t)sizeof(head))
        return false;
    *maker = head.maker;
    own = our_head(head.maker);
    return memcmp(&head, &own, sizeof(head)) == 0;
}

shm_t *shm_attach(int core_fd, int segment_fd, const uint8_t seed[16])
{
    uint64_t maker;
    if (!core_fits(core_fd))
        return NULL;
    bool joins = has_our_layout(segment_fd, &maker);
    int fd = joins ? segment_fd : core_file("boxedge-shared", segment_size());
    shm_t *shm = view_new(core_fd, fd);
    if (shm != NULL && !enter(shm)) {
        shm = view_free(shm);
        errno = EUSERS;
    }
    if (shm == NULL) {
        close_fd(joins ? -1 : fd);
        return NULL;
    }
    if (joins)
        shm->maker = maker;
    else
        make_segment(shm, seed);
    return shm;
}

int shm_core_fd(const shm_t *shm)
{
    return shm->core_fd;
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
    close_fd(shm->core_fd);
    close_fd(shm->fd);
    (void)view_free(shm);
}

void shm_leave(shm_t *shm)
{
    for (unsigned i = 0; i < SHM_WORKERS_MAX; i++)
        if (shm->taken[i])
            shm_worker_give(shm, i);
    atomic_store(&shm->own->pid, 0);
}

/* ---- edges ---- */

const core_edge_t *shm_edge(const shm_t *shm, unsigned i)
{
    assert(i < SHM_EDGES_MAX);
    return &shm->core->edges[i];
}

core_edge_t *shm_own_edge(shm_t *shm)
{
    return shm->own;
}

shm_facts_t *shm_facts(shm_t *shm)
{
    return &shm->own_slot->facts;
}

/* ---- slots of workers ---- */

/* This supervisor trusts its own memory, not the cells of its slots. */
static bool is_free(const shm_t *shm, unsigned i, uint64_t owner)
{
    return !shm->taken[i] && core_owner_is_free(shm->core, owner, shm->number);
}

unsigned shm_workers_free(const shm_t *shm)
{
    unsigned count = 0;
    for (unsigned i = 0; i < SHM_WORKERS_MAX; i++)
        count += is_free(shm, i, atomic_load(&shm->core->workers[i].owner));
    return count;
}

bool shm_worker_take(shm_t *shm, unsigned index, unsigned *taken)
{
    assert(index < SHM_WORKERS_MAX);
    for (unsigned i = 0; i < SHM_WORKERS_MAX; i++) {
        core_worker_t *worker = &shm->core->workers[i];
        uint64_t owner = atomic_load(&worker->owner);
        bool killed = owner != 0;
        if (!is_free(shm, i, owner) ||
            !atomic_compare_exchange_strong(&worker->owner, &owner, core_owner(shm->number, index)))
            continue;
        atomic_store(&worker->segment, shm->maker);
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
    atomic_store(&shm->core->workers[index].owner, 0);
}

unsigned shm_worker_find(const shm_t *shm, unsigned index)
{
    uint64_t wanted = core_owner(shm->number, index);
    for (unsigned i = 0; i < SHM_WORKERS_MAX; i++)
        if (atomic_load_explicit(&shm->core->workers[i].owner, memory_order_relaxed) == wanted)
            return i;
    return SHM_WORKERS_MAX;
}

void shm_worker_retire(shm_t *shm, unsigned index)
{
    atomic_store(&shm->core->workers[index].owner, core_owner(shm->number, SHM_WORKERS_MAX));
}

uint32_t shm_worker_edge(const shm_t *shm, unsigned index)
{
    assert(index < SHM_WORKERS_MAX);
    return (uint32_t)atomic_load_explicit(&shm->core->workers[index].owner, memory_order_relaxed);
}

shm_seen_t shm_worker_seen(const shm_t *shm, unsigned index)
{
    assert(index < SHM_WORKERS_MAX);
    const core_worker_t *shown = &shm->core->workers[index];
    const worker_slot_t *slot = &shm->segment->workers[index];
    if (atomic_load_explicit(&shown->segment, memory_order_relaxed) != shm->maker)
        return (shm_seen_t){atomic_load(&shown->pid), atomic_load(&shown->state),
                            atomic_load(&shown->exchanges_open), atomic_load(&shown->tunnels_open)};
    return (shm_seen_t){atomic_load(&slot->child.pid), atomic_load(&slot->child.state),
                        atomic_load(&slot->counters.exchanges_open),
                        atomic_load(&slot->counters.tunnels_open)};
}

void shm_worker_show(shm_t *shm, unsigned index)
{
    assert(index < SHM_WORKERS_MAX);
    core_worker_t *shown = &shm->core->workers[index];
    const worker_slot_t *slot = &shm->segment->workers[index];
    atomic_store(&shown->pid, atomic_load(&slot->child.pid));
    atomic_store(&shown->state, atomic_load(&slot->child.state));
    atomic_store(&shown->exchanges_open, atomic_load(&slot->counters.exchanges_open));
    atomic_store(&shown->tunnels_open, atomic_load(&slot->counters.tunnels_open));
}
