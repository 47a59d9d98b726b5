#include "store_copy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <lmdb.h>

#include "bytes.h"
#include "env_meta.h"
#include "env_size.h"
#include "store_made.h"
#include "sync.h"
#include "table.h"

#define PATH_BYTES  4096
#define CHUNK_BYTES (1u << 20)
/* Of an empty part. */
#define MISSING_MAP_BYTES (1u << 20)

/* Offsets in a meta page. */
#define AT_NUMBER 0
#define AT_FREE   40
#define AT_MAIN   88
#define AT_LAST   136
#define AT_TXN    144

typedef struct source {
    char dir[PATH_BYTES];
    bool there;
    MDB_env *env;
    MDB_txn *write;
    MDB_txn *read;
    int fd;
    env_meta_t meta;
    char *meta_page; /* that of the commit: later commits overwrite it in the file */
} source_t;

typedef struct copy {
    source_t sources[STORE_DURABLE_COUNT];
    char *error;
    size_t error_len;
} copy_t;

static bool failed(const copy_t *copy, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool failed(const copy_t *copy, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(copy->error, copy->error_len, format, args);
    va_end(args);
    return false;
}

/* ---- the moment ---- */

static bool open_source(copy_t *copy, source_t *source, bool in_use)
{
    char path[PATH_BYTES + 16], sentence[256] = "";
    struct stat file;
    snprintf(path, sizeof(path), "%s/data.mdb", source->dir);
    if (stat(path, &file) != 0)
        return errno == ENOENT || failed(copy, "%s: %s", source->dir, strerror(errno));
    source->there = true;
    if (!env_size_begun(source->dir, sentence, sizeof(sentence)) ||
        !env_meta_check(source->dir, true, &source->meta, sentence, sizeof(sentence)))
        return failed(copy, "%s: %s", source->dir, sentence);
    snprintf(path, sizeof(path), "%s/lock.mdb", source->dir);
    bool lock = in_use && access(path, F_OK) == 0;
    int rc = mdb_env_create(&source->env);
    if (rc == 0)
        rc = mdb_env_open(source->env, source->dir, MDB_NOTLS | (lock ? 0 : MDB_RDONLY | MDB_NOLOCK), 0600);
    if (rc == 0 && lock)
        rc = mdb_txn_begin(source->env, NULL, 0, &source->write);
    return rc == 0 || failed(copy, "%s: cannot be opened: %s", source->dir, mdb_strerror(rc));
}

static bool pin_source(copy_t *copy, source_t *source)
{
    char sentence[256] = "";
    int rc = mdb_txn_begin(source->env, NULL, MDB_RDONLY, &source->read);
    if (rc == 0)
        rc = mdb_env_get_fd(source->env, &source->fd);
    if (rc != 0)
        return failed(copy, "%s: cannot be read: %s", source->dir, mdb_strerror(rc));
    if (!env_meta_read(source->fd, true, mdb_txn_id(source->read), &source->meta, sentence, sizeof(sentence)))
        return failed(copy, "%s: %s", source->dir, sentence);
    if (!env_size_complete(source->env, true, sentence, sizeof(sentence)))
        return failed(copy, "%s: %s", source->dir, sentence);
    size_t bytes = source->meta.page_bytes;
    uint64_t txn = 0;
    source->meta_page = malloc(bytes);
    if (source->meta_page != NULL &&
        pread(source->fd, source->meta_page, bytes, (off_t)(source->meta.txn % 2 * bytes)) == (ssize_t)bytes)
        memcpy(&txn, source->meta_page + AT_TXN, sizeof(txn));
    return txn == source->meta.txn || failed(copy, "%s: its meta page cannot be read", source->dir);
}

/* Opens a read transaction of each environment, all of one moment. No edge holds two writers at a time, so
 * that waiting for one after the other ends. */
static bool pin_all(copy_t *copy, const char *from, bool in_use)
{
    bool ok = true;
    for (size_t i = 0; ok && i < STORE_DURABLE_COUNT; i++) {
        source_t *source = &copy->sources[i];
        ok = store_durable_dir(from, store_durable_names[i], source->dir, sizeof(source->dir))
                 ? open_source(copy, source, in_use)
                 : failed(copy, "the path is too long");
    }
    for (size_t i = 0; ok && i < STORE_DURABLE_COUNT; i++)
        if (copy->sources[i].there)
            ok = pin_source(copy, &copy->sources[i]);
    for (size_t i = 0; i < STORE_DURABLE_COUNT; i++)
        if (copy->sources[i].write != NULL)
            mdb_txn_abort(copy->sources[i].write);
    if (ok && !copy->sources[0].there)
        ok = failed(copy, "there is no store in %s", from);
    return ok;
}

static void unpin_all(copy_t *copy)
{
    for (size_t i = 0; i < STORE_DURABLE_COUNT; i++) {
        if (copy->sources[i].read != NULL)
            mdb_txn_abort(copy->sources[i].read);
        if (copy->sources[i].env != NULL)
            mdb_env_close(copy->sources[i].env);
        free(copy->sources[i].meta_page);
    }
}

/* ---- files ---- */

static void put_number(char *page, size_t at, uint64_t number)
{
    memcpy(page + at, &number, sizeof(number));
}

/* Makes the two meta pages of the copy from that of its commit, which both lead to. */
static bool write_metas(const copy_t *copy, const source_t *source, int out)
{
    size_t bytes = source->meta.page_bytes;
    uint64_t txn = source->meta.txn;
    char *page = malloc(bytes);
    bool ok = page != NULL;
    for (int which = 0; ok && which < ENV_META_PAGES; which++) {
        memcpy(page, source->meta_page, bytes);
        bool last = (uint64_t)which == txn % 2;
        put_number(page, AT_NUMBER, (uint64_t)which);
        put_number(page, AT_TXN, last || txn == 0 ? txn : txn - 1);
        if (!last && txn <= 1) { /* as LMDB makes it: without pages */
            memset(page + AT_FREE + 6, 0, ENV_DB_BYTES - 6);
            memset(page + AT_MAIN + 6, 0, ENV_DB_BYTES - 6);
            put_number(page, AT_FREE + 40, ENV_NO_PAGE);
            put_number(page, AT_MAIN + 40, ENV_NO_PAGE);
            put_number(page, AT_LAST, ENV_META_PAGES - 1);
        }
        ok = pwrite(out, page, bytes, (off_t)((size_t)which * bytes)) == (ssize_t)bytes;
    }
    free(page);
    return ok || failed(copy, "the copy of %s fails: %s", source->dir, strerror(errno));
}

/* The pages behind the meta pages. The read transaction keeps them as they are. */
static bool write_pages(const copy_t *copy, const source_t *source, int out)
{
    off_t at = (off_t)ENV_META_PAGES * source->meta.page_bytes;
    const off_t end = (off_t)((source->meta.last_page + 1) * source->meta.page_bytes);
    char *chunk = malloc(CHUNK_BYTES);
    bool ok = chunk != NULL;
    while (ok && at < end) {
        size_t want = end - at < (off_t)CHUNK_BYTES ? (size_t)(end - at) : CHUNK_BYTES;
        ssize_t n = pread(source->fd, chunk, want, at);
        if (n == 0)
            break; /* only free pages follow: the check of the copy would miss any other */
        ssize_t written = n > 0 ? pwrite(out, chunk, (size_t)n, at) : -1;
        if (written >= 0 && written < n)
            errno = ENOSPC;
        ok = n > 0 && written == n;
        at += n;
    }
    free(chunk);
    ok = ok && ftruncate(out, end) == 0;
    return ok || failed(copy, "the copy of %s fails: %s", source->dir, strerror(errno));
}

static bool copy_source(const copy_t *copy, const source_t *source, const char *to, const char *name)
{
    char dir[PATH_BYTES], path[PATH_BYTES + 16];
    if (!store_durable_dir(to, name, dir, sizeof(dir)))
        return failed(copy, "the path is too long");
    snprintf(path, sizeof(path), "%s/data.mdb", dir);
    if (strcmp(dir, to) != 0 && mkdir(dir, 0700) != 0)
        return failed(copy, "%s cannot be made: %s", dir, strerror(errno));
    int out = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (out < 0)
        return failed(copy, "%s cannot be made: %s", path, strerror(errno));
    bool ok = write_metas(copy, source, out) && write_pages(copy, source, out);
    if (ok && (fsync(out) != 0 || !sync_path(dir)))
        ok = failed(copy, "%s: %s", path, strerror(errno));
    close(out);
    return ok;
}

bool store_copy(const char *from, bool in_use, const char *to, char *error, size_t error_len)
{
    copy_t *copy = calloc(1, sizeof(*copy));
    if (copy == NULL) {
        snprintf(error, error_len, "out of memory");
        return false;
    }
    copy->error = error;
    copy->error_len = error_len;
    bool ok = pin_all(copy, from, in_use), made = ok && mkdir(to, 0700) == 0;
    if (ok && !made)
        ok = failed(copy, "%s cannot be made: %s", to, strerror(errno));
    for (size_t i = 0; ok && i < STORE_DURABLE_COUNT; i++)
        if (copy->sources[i].there)
            ok = copy_source(copy, &copy->sources[i], to, store_durable_names[i]);
    if (ok && !sync_path(to)) /* the names of its parts came after those of the first */
        ok = failed(copy, "%s: %s", to, strerror(errno));
    unpin_all(copy);
    free(copy);
    if (!ok && made)
        store_copy_remove(to);
    return ok;
}

/* ---- in the place of a store ---- */

static bool skip_versions(const char *dir, char *error, size_t error_len)
{
    MDB_env *env = NULL;
    MDB_txn *txn = NULL;
    MDB_dbi meta;
    uint8_t number[8];
    MDB_val key = {8, (void *)(uintptr_t) "sequence"}, value;
    int rc = mdb_env_create(&env);
    if (rc == 0)
        rc = mdb_env_set_maxdbs(env, 3);
    if (rc == 0)
        rc = mdb_env_open(env, dir, MDB_NOLOCK, 0600);
    if (rc == 0)
        rc = mdb_txn_begin(env, NULL, 0, &txn);
    if (rc == 0)
        rc = mdb_dbi_open(txn, "meta", 0, &meta);
    if (rc == 0)
        rc = mdb_get(txn, meta, &key, &value);
    if (rc == 0 && value.mv_size == sizeof(number)) {
        bytes_put64(number, bytes_get64(value.mv_data) + STORE_COPY_SKIP);
        value = (MDB_val){sizeof(number), number};
        rc = mdb_put(txn, meta, &key, &value, 0);
    } else if (rc == MDB_NOTFOUND) {
        rc = 0; /* none was given out */
    }
    if (rc == 0) {
        rc = mdb_txn_commit(txn);
        txn = NULL;
    }
    if (rc == 0)
        env_size_keep(env);
    if (txn != NULL)
        mdb_txn_abort(txn);
    if (env != NULL)
        mdb_env_close(env);
    if (rc != 0)
        snprintf(error, error_len, "%.256s: versions cannot be skipped: %s", dir, mdb_strerror(rc));
    return rc == 0;
}

/* A copy of an earlier edge's store gets the parts that it lacks: the note of the store may list them. */
static bool make_missing(const char *dir, char *error, size_t error_len)
{
    char place[PATH_BYTES], path[PATH_BYTES + 16], why[TABLE_ERROR_MAX];
    struct stat st;
    for (size_t i = STORE_DURABLE_FIRST; i < STORE_DURABLE_COUNT; i++) {
        bool fits = store_durable_dir(dir, store_durable_names[i], place, sizeof(place));
        snprintf(path, sizeof(path), "%s/data.mdb", place);
        if (fits && stat(path, &st) == 0)
            continue;
        table_options_t options = {
            .dir = place, .map_bytes = MISSING_MAP_BYTES, .writer = true, .synced = true};
        table_t *table =
            fits && (mkdir(place, 0700) == 0 || errno == EEXIST) ? table_open(&options, why) : NULL;
        snprintf(path, sizeof(path), "%s/lock.mdb", place);
        if (table == NULL) {
            snprintf(error, error_len, "%.256s cannot be made", place);
            return false;
        }
        table_close(&table);
        (void)unlink(path);
    }
    return true;
}

bool store_copy_prepare(const char *dir, uid_t uid, gid_t gid, char *error, size_t error_len)
{
    char place[PATH_BYTES], path[PATH_BYTES + 16];
    if (!skip_versions(dir, error, error_len) || !make_missing(dir, error, error_len))
        return false;
    for (size_t i = 0; i < STORE_DURABLE_COUNT; i++) {
        bool fits = store_durable_dir(dir, store_durable_names[i], place, sizeof(place));
        snprintf(path, sizeof(path), "%s/data.mdb", place);
        if (!fits || chown(place, uid, gid) != 0 || chown(path, uid, gid) != 0) {
            snprintf(error, error_len, "%.256s: its owner cannot be changed: %s", path, strerror(errno));
            return false;
        }
        if (!sync_path(path) || !sync_path(place)) {
            snprintf(error, error_len, "%.256s: %s", path, strerror(errno));
            return false;
        }
    }
    return true;
}

bool store_copy_swap(const char *fresh, const char *dir, const char *kept, char *error, size_t error_len)
{
    struct stat st;
    bool ok;
    if (lstat(dir, &st) == 0) {
        /* The exchange is the last step: no store that was in use ever has the name of a copy. */
        ok = renameat2(AT_FDCWD, fresh, AT_FDCWD, kept, RENAME_NOREPLACE) == 0;
        if (ok && renameat2(AT_FDCWD, kept, AT_FDCWD, dir, RENAME_EXCHANGE) != 0) {
            int saved = errno;
            ok = false;
            (void)rename(kept, fresh);
            errno = saved;
        }
    } else {
        ok = rename(fresh, dir) == 0;
    }
    if (!ok) {
        snprintf(error, error_len, "%.256s cannot take the place of %.256s: %s", fresh, dir, strerror(errno));
        return false;
    }
    return true;
}

bool store_copy_keep_name(const char *dir, char *error, size_t error_len)
{
    if (sync_parent(dir))
        return true;
    snprintf(error, error_len, "%.256s is complete, but a power cut may take away its name: %s", dir,
             strerror(errno));
    return false;
}

void store_copy_remove(const char *dir)
{
    char place[PATH_BYTES], path[PATH_BYTES + 16];
    for (size_t i = STORE_DURABLE_COUNT; i-- > 0;) {
        if (!store_durable_dir(dir, store_durable_names[i], place, sizeof(place)))
            continue;
        snprintf(path, sizeof(path), "%s/data.mdb", place);
        (void)unlink(path);
        (void)rmdir(place);
    }
}
