#include "env_meta.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_BYTES 4096
#define MAGIC      0xBEEFC0DEu
#define VERSION    1u
#define FLAG_META  8u
/* The flags that LMDB stores for environments as ours: those of the database of free pages. */
#define INTEGER_KEYS 8u
/* Meta pages are read while a writer may write them: attempts to read both between two commits. */
#define ATTEMPTS 200
/* Of a meta page; the rest is unused. */
#define META_BYTES 152
/* The largest size of LMDB. */
#define PAGE_BYTES_MAX 32768
#define DEPTH_MAX      32

/* Offsets in a meta page. */
#define AT_NUMBER  0
#define AT_FLAGS   10
#define AT_MAGIC   16
#define AT_VERSION 20
#define AT_DBS     40
#define AT_LAST    136
#define AT_TXN     144

env_db_t env_db_decode(const void *bytes)
{
    const uint8_t *p = bytes;
    return (env_db_t){.pad = env_get32(p),
                      .flags = env_get16(p + 4),
                      .depth = env_get16(p + 6),
                      .branch_pages = env_get64(p + 8),
                      .leaf_pages = env_get64(p + 16),
                      .overflow_pages = env_get64(p + 24),
                      .entries = env_get64(p + 32),
                      .root = env_get64(p + 40)};
}

/* Returns whether the database can be one of a file with `last_page`. */
static bool db_fits(const env_db_t *db, uint64_t last_page)
{
    if (db->root == ENV_NO_PAGE)
        return db->depth == 0 && db->entries == 0;
    return db->root >= ENV_META_PAGES && db->root <= last_page && db->depth != 0 && db->depth <= DEPTH_MAX;
}

bool env_is_meta(const uint8_t *page)
{
    return env_get32(page + AT_MAGIC) == MAGIC && env_get32(page + AT_VERSION) == VERSION;
}

/* Returns the fault of page `number`, or NULL and its contents. */
static const char *decode(const uint8_t *page, uint64_t number, env_meta_t *out)
{
    if (!env_is_meta(page))
        return "is not one of LMDB";
    *out = (env_meta_t){.last_page = env_get64(page + AT_LAST), .txn = env_get64(page + AT_TXN)};
    for (size_t i = 0; i < 2; i++)
        out->dbs[i] = env_db_decode(page + AT_DBS + i * ENV_DB_BYTES);
    out->page_bytes = out->dbs[ENV_FREE].pad;
    if (env_get64(page + AT_NUMBER) != number || env_get16(page + AT_FLAGS) != FLAG_META)
        return "has another page's header";
    if (out->page_bytes < 512 || out->page_bytes > PAGE_BYTES_MAX ||
        (out->page_bytes & (out->page_bytes - 1)) != 0)
        return "has no size of pages";
    if (out->dbs[ENV_FREE].flags != INTEGER_KEYS || out->dbs[ENV_MAIN].flags != 0)
        return "has flags that the edge never sets";
    return NULL;
}

/* Returns the fault of a page's references, or NULL. */
static const char *judge_roots(const env_meta_t *meta)
{
    if (meta->last_page < ENV_META_PAGES - 1 || !db_fits(&meta->dbs[ENV_FREE], meta->last_page) ||
        !db_fits(&meta->dbs[ENV_MAIN], meta->last_page))
        return "points to pages that do not exist";
    if (meta->txn == 0 && meta->dbs[ENV_MAIN].root != ENV_NO_PAGE)
        return "has no number of its commit";
    return NULL;
}

/* Commits alternate between the pages: even transactions go to page 0. Both pages of a new
 * environment have transaction 0. */
static bool follow(const env_meta_t meta[2])
{
    uint64_t low = meta[0].txn < meta[1].txn ? meta[0].txn : meta[1].txn;
    uint64_t high = meta[0].txn < meta[1].txn ? meta[1].txn : meta[0].txn;
    bool fresh = high == 0;
    return fresh || (high - low == 1 && meta[0].txn % 2 == 0 && meta[1].txn % 2 == 1);
}

/* One attempt. Returns the fault, or NULL. `bytes` has the first two pages. */
static const char *judge(const uint8_t *bytes, ssize_t n, bool in_order, uint64_t txn, env_meta_t *out,
                         int *where)
{
    env_meta_t meta[ENV_META_PAGES];
    *where = 0;
    const char *fault = decode(bytes, 0, &meta[0]);
    if (fault != NULL)
        return fault;
    *where = 1;
    if ((size_t)n < (size_t)meta[0].page_bytes + META_BYTES)
        return "is cut off";
    fault = decode(bytes + meta[0].page_bytes, 1, &meta[1]);
    if (fault != NULL)
        return fault;
    if (meta[0].page_bytes != meta[1].page_bytes)
        return "has another size of pages";
    *where = -1;
    if (in_order && !follow(meta))
        return "are not of consecutive commits";
    bool second = txn != 0 ? meta[1].txn == txn : meta[1].txn > meta[0].txn;
    if (txn != 0 && !second && meta[0].txn != txn)
        return "are of other commits";
    /* Nothing reads from the roots of the other page. After a failed commit they are those of the
     * failed one, because LMDB then restores only the numbers of the last page and of the commit. */
    const env_meta_t *other = &meta[!second];
    *where = second ? 0 : 1;
    if (other->txn == 0 && other->last_page != ENV_META_PAGES - 1)
        return "has no number of its commit";
    *where = second ? 1 : 0;
    *out = meta[second];
    return judge_roots(&meta[second]);
}

bool env_meta_read(int fd, bool in_order, uint64_t txn, env_meta_t *out, char *error, size_t error_len)
{
    static const char *const places[] = {"both meta pages", "meta page 0", "meta page 1"};
    uint8_t bytes[2 * PAGE_BYTES_MAX];
    const char *fault = NULL;
    int where = 0;
    *out = (env_meta_t){.page_bytes = 0};
    for (int i = 0; i < ATTEMPTS; i++) {
        ssize_t n = pread(fd, bytes, sizeof(bytes), 0);
        if (n < META_BYTES)
            return true;
        fault = judge(bytes, n, in_order, txn, out, &where);
        if (fault == NULL)
            return true;
        if (!env_is_meta(bytes) && (n < 4096 + META_BYTES || !env_is_meta(bytes + 4096))) {
            snprintf(error, error_len, "data.mdb is no store");
            return false;
        }
    }
    snprintf(error, error_len, "data.mdb is damaged: %s %s", places[where + 1], fault);
    return false;
}

bool env_meta_check(const char *dir, bool in_order, env_meta_t *out, char *error, size_t error_len)
{
    char path[PATH_BYTES];
    *out = (env_meta_t){.page_bytes = 0};
    int n = snprintf(path, sizeof(path), "%s/data.mdb", dir);
    int fd = n > 0 && (size_t)n < sizeof(path) ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
    if (fd < 0)
        return true; /* LMDB finds the error */
    bool ok = env_meta_read(fd, in_order, 0, out, error, error_len);
    close(fd);
    return ok;
}
