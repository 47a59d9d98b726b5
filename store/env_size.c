/*
 * See env_size.h.
 */
#include "env_size.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "env_pages.h"
#include "read_guard.h"

/* Of LMDB's file of readers: a slot, and at least the rest. */
#define READER_BYTES    64
#define LOCK_HEAD_BYTES 4096

typedef struct pages {
    MDB_env *env;
    bool known;
    uint64_t bytes; /* that the pages need */
} pages_t;

static void read_pages(void *arg)
{
    pages_t *pages = arg;
    MDB_envinfo info;
    MDB_stat stat;
    pages->known = mdb_env_info(pages->env, &info) == 0 && mdb_env_stat(pages->env, &stat) == 0;
    if (pages->known)
        pages->bytes = ((uint64_t)info.me_last_pgno + 1) * stat.ms_psize;
}

/* Returns the file's bytes, and the bytes that its pages need. The meta pages may be gone, too. */
static bool measure(MDB_env *env, int *fd, uint64_t *has, uint64_t *needs)
{
    struct stat file;
    pages_t pages = {.env = env};
    if (!read_guard(read_pages, &pages) || !pages.known || mdb_env_get_fd(env, fd) != 0 ||
        fstat(*fd, &file) != 0)
        return false;
    *has = (uint64_t)file.st_size;
    *needs = pages.bytes;
    return true;
}

bool env_size_begun(const char *dir, char *error, size_t error_len)
{
    char path[4096];
    struct stat file;
    int n = snprintf(path, sizeof(path), "%s/data.mdb", dir);
    if (n < 0 || (size_t)n >= sizeof(path) || stat(path, &file) != 0 || file.st_size != 0)
        return true; /* LMDB finds the error */
    snprintf(error, error_len, "data.mdb is empty");
    return false;
}

bool env_size_whole(MDB_env *env, char *error, size_t error_len)
{
    uint64_t has, needs;
    int fd;
    if (!measure(env, &fd, &has, &needs)) {
        snprintf(error, error_len, "data.mdb has lost its first pages");
        return false;
    }
    if (has >= needs)
        return true;
    snprintf(error, error_len, "data.mdb is cut short: it has %llu of %llu bytes", (unsigned long long)has,
             (unsigned long long)needs);
    return false;
}

/* Returns whether no used page is missing. */
static bool only_free_pages_miss(MDB_env *env, bool in_order)
{
    static const env_pages_calls_t none = {.entry = NULL};
    char fault[256];
    env_meta_t meta;
    int fd;
    return mdb_env_get_fd(env, &fd) == 0 && env_meta_read(fd, in_order, 0, &meta, fault, sizeof(fault)) &&
           meta.page_bytes != 0 &&
           env_pages_walk(fd, &meta, STR("records"), &none, fault, sizeof(fault)) == ENV_PAGES_GOOD;
}

bool env_size_complete(MDB_env *env, bool in_order, char *error, size_t error_len)
{
    /* The writer may extend the file, and change its pages, during the walk. */
    return env_size_whole(env, error, error_len) || only_free_pages_miss(env, in_order) ||
           env_size_whole(env, error, error_len);
}

void env_size_reserve_readers(const char *dir, unsigned readers)
{
    char path[4096];
    off_t bytes = (off_t)readers * READER_BYTES + LOCK_HEAD_BYTES;
    int n = snprintf(path, sizeof(path), "%s/lock.mdb", dir);
    if (n < 0 || (size_t)n >= sizeof(path))
        return;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return; /* LMDB finds the error */
    if (fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, bytes) != 0) {
        /* The disk is full, or cannot do that: a reader beyond the first page may fail. */
    }
    close(fd);
}

void env_size_keep(MDB_env *env)
{
    uint64_t has, needs;
    int fd;
    if (measure(env, &fd, &has, &needs) && has < needs && ftruncate(fd, (off_t)needs) != 0) {
        /* The disk takes no more: the next commit tries again. */
    }
}
