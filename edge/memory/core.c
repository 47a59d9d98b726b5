#include "core.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* "boxcore" as a number. */
#define MAGIC 0x65726f63786f62u
/* Of `owner`: the edge, and above it the index in that edge. */
#define OWNER_INDEX_SHIFT 32u

/* ---- the file ---- */

int core_file(const char *name, size_t size)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur < size)
        return -1;
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd >= 0 && ftruncate(fd, (off_t)size) == 0 &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

core_t *core_map(int fd)
{
    int flags = fd >= 0 ? MAP_SHARED : MAP_SHARED | MAP_ANONYMOUS;
    void *memory = mmap(NULL, sizeof(core_t), PROT_READ | PROT_WRITE, flags, fd, 0);
    return memory != MAP_FAILED ? memory : NULL;
}

void core_unmap(core_t **core)
{
    if (*core != NULL)
        munmap(*core, sizeof(core_t));
    *core = NULL;
}

void core_init(core_t *core)
{
    core->magic = MAGIC;
    core->version = CORE_VERSION;
}

bool core_fits(int fd)
{
    struct stat file;
    uint64_t head[2];
    if (fstat(fd, &file) < 0)
        return false;
    if (file.st_size == (off_t)sizeof(core_t) && pread(fd, head, sizeof(head), 0) == (ssize_t)sizeof(head) &&
        head[0] == MAGIC && head[1] == CORE_VERSION)
        return true;
    errno = EPROTO;
    return false;
}

/* ---- edges ---- */

static bool is_gone(int32_t pid)
{
    return kill(pid, 0) < 0 && errno == ESRCH;
}

/* Whether the edge with that number has an entry and lives. */
static bool edge_lives(const core_t *core, uint32_t number)
{
    for (unsigned i = 0; i < CORE_EDGES_MAX; i++) {
        int32_t pid = atomic_load(&core->edges[i].pid);
        if (pid != 0 && atomic_load(&core->edges[i].number) == number)
            return !is_gone(pid);
    }
    return false;
}

/* A number that no worker's owner and no live edge has, so that no forged count gives a number twice. */
static uint32_t new_number(core_t *core)
{
    uint32_t number = 0;
    /* Bounded by the edges that can have one of the numbers tried, and by 0. */
    for (unsigned i = 0; i < CORE_EDGES_MAX + 2; i++) {
        number = atomic_fetch_add(&core->edges_made, 1) + 1;
        if (number != 0 && !edge_lives(core, number))
            break;
    }
    return number != 0 ? number : 1;
}

core_edge_t *core_edge_take(core_t *core, uint32_t *number)
{
    for (unsigned i = 0; i < CORE_EDGES_MAX; i++) {
        core_edge_t *edge = &core->edges[i];
        int32_t pid = atomic_load(&edge->pid);
        if ((pid != 0 && !is_gone(pid)) ||
            !atomic_compare_exchange_strong(&edge->pid, &pid, (int32_t)getpid()))
            continue;
        atomic_store(&edge->number, 0);
        *number = new_number(core);
        atomic_store(&edge->number, *number);
        atomic_store(&edge->since_s, 0);
        atomic_store(&edge->open_until_ms, 0);
        return edge;
    }
    return NULL;
}

/* ---- numbers of workers ---- */

uint64_t core_owner(uint32_t number, unsigned index)
{
    return number | (uint64_t)index << OWNER_INDEX_SHIFT;
}

bool core_owner_is_free(const core_t *core, uint64_t owner, uint32_t number)
{
    return owner == 0 || (uint32_t)owner == number || !edge_lives(core, (uint32_t)owner);
}

void core_worker_wipe(core_t *core, unsigned i)
{
    core_worker_t *worker = &core->workers[i];
    atomic_store(&worker->pid, 0);
    atomic_store(&worker->state, 0);
    atomic_store(&worker->exchanges_open, 0);
    atomic_store(&worker->tunnels_open, 0);
}
