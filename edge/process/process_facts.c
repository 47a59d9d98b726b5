#include "process_facts.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* Bytes of directory entries read at a time: some 500 descriptors. */
#define ENTRIES_BYTES 12288

static void put(_Atomic uint64_t *cell, uint64_t value)
{
    atomic_store_explicit(cell, value, memory_order_relaxed);
}

/* ---- of this process ---- */

void process_facts_open(process_facts_t *facts, shm_process_t *cells)
{
    *facts = (process_facts_t){.cells = cells,
                               .statm_fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC),
                               .fds_fd = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    process_facts_wipe(cells);
    put(&cells->started_s, (uint64_t)time(NULL));
}

void process_facts_close(process_facts_t *facts)
{
    if (facts->statm_fd >= 0)
        close(facts->statm_fd);
    if (facts->fds_fd >= 0)
        close(facts->fds_fd);
    facts->statm_fd = facts->fds_fd = -1;
}

/* Of "size resident shared ..." in pages. */
static uint64_t resident_of(const char *statm)
{
    const char *space = strchr(statm, ' ');
    return space != NULL ? strtoull(space + 1, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

static void take_resident(const process_facts_t *facts)
{
    char text[128];
    ssize_t n = facts->statm_fd >= 0 ? pread(facts->statm_fd, text, sizeof(text) - 1, 0) : 0;
    if (n <= 0)
        return;
    text[n] = '\0';
    put(&facts->cells->resident_bytes, resident_of(text));
}

/* The entries of one read, without "." and "..". */
static uint64_t count_entries(const char *bytes, size_t len)
{
    uint64_t count = 0;
    for (size_t at = 0; at < len;) {
        const struct dirent64 *entry = (const struct dirent64 *)(const void *)(bytes + at);
        count += entry->d_name[0] != '.';
        at += entry->d_reclen;
    }
    return count;
}

/* Anew each time: prlimit changes it from outside. */
static void take_limit(const process_facts_t *facts)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        put(&facts->cells->fds_max, (uint64_t)limit.rlim_cur);
}

/* Counts on; at the end of the directory a pass is complete, and the next one begins. */
static void take_descriptors(process_facts_t *facts)
{
    _Alignas(struct dirent64) char bytes[ENTRIES_BYTES];
    if (facts->fds_fd < 0)
        return;
    ssize_t n = getdents64(facts->fds_fd, bytes, sizeof(bytes));
    if (n > 0)
        facts->counted += count_entries(bytes, (size_t)n);
    if (n > 0 && (size_t)n > sizeof(bytes) / 2)
        return; /* there may be more */
    if (n >= 0)
        put(&facts->cells->fds, facts->counted);
    facts->counted = 0;
    (void)lseek(facts->fds_fd, 0, SEEK_SET);
}

void process_facts_turn(process_facts_t *facts, uint64_t now_ms)
{
    struct timespec used;
    if (now_ms < facts->due_ms)
        return;
    facts->due_ms = now_ms + PROCESS_FACTS_MS;
    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used) == 0)
        put(&facts->cells->cpu_us, (uint64_t)used.tv_sec * 1000000 + (uint64_t)used.tv_nsec / 1000);
    take_resident(facts);
    take_limit(facts);
    take_descriptors(facts);
}

/* ---- of another process ---- */

static bool read_of(int32_t pid, const char *name, char *text, size_t room)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, room - 1) : -1;
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = '\0';
    return n > 0;
}

/* Fields 14, 15: user and system time in ticks (proc(5)). The name, field 2, may have spaces. */
static uint64_t cpu_of(const char *stat)
{
    const char *at = strrchr(stat, ')');
    for (int field = 2; at != NULL && field < 14; field++)
        at = strchr(at + 1, ' ');
    if (at == NULL)
        return 0;
    char *rest;
    uint64_t ticks = strtoull(at + 1, &rest, 10);
    ticks += strtoull(rest, NULL, 10);
    return ticks * 1000000 / (uint64_t)sysconf(_SC_CLK_TCK);
}

static uint64_t descriptors_of(int32_t pid)
{
    char path[64];
    uint64_t count = 0;
    (void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    DIR *dir = opendir(path);
    for (const struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;)
        count += entry->d_name[0] != '.';
    if (dir != NULL)
        closedir(dir);
    return count;
}

void process_facts_look(int32_t pid, shm_process_t *cells)
{
    char text[1024];
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        put(&cells->fds_max, (uint64_t)limit.rlim_cur); /* as its parent's */
    if (read_of(pid, "statm", text, sizeof(text)))
        put(&cells->resident_bytes, resident_of(text));
    if (read_of(pid, "stat", text, sizeof(text)))
        put(&cells->cpu_us, cpu_of(text));
    put(&cells->fds, descriptors_of(pid));
    if (atomic_load_explicit(&cells->started_s, memory_order_relaxed) == 0)
        put(&cells->started_s, (uint64_t)time(NULL));
}

void process_facts_wipe(shm_process_t *cells)
{
    put(&cells->started_s, 0);
    put(&cells->cpu_us, 0);
    put(&cells->resident_bytes, 0);
    put(&cells->fds, 0);
    put(&cells->fds_max, 0);
}
