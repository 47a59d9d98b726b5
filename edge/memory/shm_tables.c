/*
 * The tables that a segment takes over from one of another layout, as the previous program leaves them: its
 * head says where they are. A table whose form and size are ours is copied word by word. Its readers trust no
 * cell of it anyway.
 */
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shm_internal.h"

void shm_tables_note(segment_head_t *head)
{
    head->tables[SHM_LOCKOUTS] =
        (table_place_t){LOCKOUT_FORM, shm_lockout_offset(), lockout_size(LOCKOUT_CELLS)};
    head->tables[SHM_LIMITS] = (table_place_t){LIMIT_FORM, shm_limit_offset(), limit_size(LIMIT_CELLS)};
    head->tables[SHM_UPSTREAMS] = (table_place_t){BALANCE_FORM, shm_balance_offset(), balance_size()};
    head->tables[SHM_TABS] = (table_place_t){TABS_FORM, offsetof(segment_t, tabs), sizeof(tabs_t)};
}

/* The next range of `fd` in [*from, end) that was ever written: the others are zero, and stay without
 * memory. False: none. */
static bool next_written(int fd, uint64_t *from, uint64_t *to, uint64_t end)
{
    off_t data = lseek(fd, (off_t)*from, SEEK_DATA);
    off_t hole = data >= 0 ? lseek(fd, data, SEEK_HOLE) : -1;
    if (hole < 0 || (uint64_t)data >= end)
        return false;
    *from = (uint64_t)data;
    *to = (uint64_t)hole < end ? (uint64_t)hole : end;
    return true;
}

static void copy(char *to, const char *segment, int fd, table_place_t place)
{
    uint64_t from = place.offset, until = 0, end = place.offset + place.size;
    for (; from < end && next_written(fd, &from, &until, end); from = until) {
        const _Atomic uint64_t *words = (const void *)(segment + from);
        _Atomic uint64_t *ours = (void *)(to + (from - place.offset));
        for (size_t i = 0; i < (until - from) / 8; i++) {
            uint64_t word = atomic_load_explicit(&words[i], memory_order_relaxed);
            if (word != atomic_load_explicit(&ours[i], memory_order_relaxed))
                atomic_store_explicit(&ours[i], word, memory_order_relaxed);
        }
    }
}

static bool fits(table_place_t theirs, table_place_t ours, uint64_t file_size)
{
    return theirs.version == ours.version && theirs.size == ours.size && theirs.size % 8 == 0 &&
           theirs.offset % 8 == 0 && theirs.size <= file_size && theirs.offset <= file_size - theirs.size;
}

unsigned shm_tables_copy(shm_t *shm, int fd)
{
    unsigned missing = (1u << SHM_TABLES) - 1;
    struct stat file;
    segment_head_t head, own = {0};
    if (fstat(fd, &file) < 0 || pread(fd, &head, sizeof(head), 0) != (ssize_t)sizeof(head) ||
        head.magic != SEGMENT_MAGIC)
        return missing;
    char *segment = mmap(NULL, (size_t)file.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (segment == MAP_FAILED)
        return missing;
    shm_tables_note(&own);
    for (unsigned i = 0; i < SHM_TABLES; i++) {
        if (!fits(head.tables[i], own.tables[i], (uint64_t)file.st_size))
            continue;
        copy((char *)shm->segment + own.tables[i].offset, segment, fd, head.tables[i]);
        missing &= ~(1u << i);
    }
    munmap(segment, (size_t)file.st_size);
    /* Requests in flight end in the other segment. */
    for (unsigned i = 0; i < SHM_WORKERS_MAX; i++) {
        limit_worker_wipe(shm->limit, i);
        balance_worker_wipe(shm->balance, i);
    }
    return missing;
}
