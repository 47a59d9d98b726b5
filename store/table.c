#include "table_internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <lmdb.h>

#include "bucket.h"
#include "bytes.h"
#include "env_meta.h"
#include "env_pages.h"
#include "env_size.h"
#include "order.h"
#include "read_guard.h"
#include "siphash.h"

/* Slots for reading processes: workers of two generations, the controller, command lines. */
#define TABLE_READERS 1024

size_t table_hash(const table_t *table, str_t id, uint16_t port)
{
    static_assert(sizeof(size_t) == sizeof(uint64_t), "hashes are keys of 64 bits");
    return order_hash(&table->hash_key, id, port);
}

MDB_val table_val(const void *p, size_t n)
{
    return (MDB_val){.mv_size = n, .mv_data = (void *)(uintptr_t)p};
}

bool table_id_fits(str_t id)
{
    return id.n != 0 && id.n <= ORDER_ID_MAX;
}

store_result_t table_failed(table_t *table, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(table->error, TABLE_ERROR_MAX, format, args);
    va_end(args);
    return STORE_FAILED;
}

/* LMDB reports EIO after a short write, the usual sign of a full disk. In that case, one more page
 * at the end of the file, where LMDB will overwrite it, cannot be written either. */
static bool disk_is_full(table_t *table)
{
    static const char page[4096];
    int fd;
    struct stat file;
    if (mdb_env_get_fd(table->env, &fd) != 0 || fstat(fd, &file) != 0)
        return false;
    ssize_t n = pwrite(fd, page, sizeof(page), file.st_size);
    return n >= 0 ? n < (ssize_t)sizeof(page) : errno == ENOSPC || errno == EDQUOT || errno == EFBIG;
}

store_result_t table_result(table_t *table, const char *doing, int rc)
{
    if (rc == EIO && table->writer && disk_is_full(table))
        rc = ENOSPC;
    switch (rc) {
    case 0:
        return STORE_OK;
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_CURSOR_FULL:
        table->damaged = true;
        return table_failed(table, "data.mdb is damaged: %s", mdb_strerror(rc));
    case MDB_NOTFOUND:
        return STORE_NOT_FOUND;
    case MDB_MAP_FULL: /* the map */
    case MDB_TXN_FULL: /* more pages than one transaction may change */
        table_failed(table,
                     "%s: the store is full: delete what is not needed, or raise store.map_size and restart "
                     "the edge",
                     doing);
        return STORE_FULL;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        table->disk_error = ENOSPC;
        table_failed(table, "%s: the disk is full: %s", doing, mdb_strerror(rc));
        return STORE_FULL;
    default:
        return table_failed(table, "%s: %s", doing, mdb_strerror(rc));
    }
}

/* ---- opening ---- */

/* Writes the initial contents of a new environment. */
static int meta_make(table_t *table, MDB_txn *txn)
{
    uint8_t layout = TABLE_FORMAT;
    siphash_key_t hash_key;
    if (getrandom(&hash_key, sizeof(hash_key), 0) != sizeof(hash_key))
        return errno != 0 ? errno : EIO;
    MDB_val key = table_val("layout", 6), value = table_val(&layout, 1);
    int rc = mdb_put(txn, table->meta, &key, &value, 0);
    if (rc != 0)
        return rc;
    key = table_val("hash_key", 8);
    value = table_val(&hash_key, sizeof(hash_key));
    return mdb_put(txn, table->meta, &key, &value, 0);
}

/* Notes that this edge's additions may be in the store. */
static int minor_put(table_t *table, MDB_txn *txn)
{
    uint8_t minor = TABLE_MINOR;
    MDB_val key = table_val("minor", 5), value;
    int rc = mdb_get(txn, table->meta, &key, &value);
    if (rc == 0 && value.mv_size == 1 && *(const uint8_t *)value.mv_data >= minor)
        return 0;
    if (rc != 0 && rc != MDB_NOTFOUND)
        return rc;
    value = table_val(&minor, sizeof(minor));
    return mdb_put(txn, table->meta, &key, &value, 0);
}

static store_result_t meta_read(table_t *table, MDB_txn *txn)
{
    MDB_val key = table_val("layout", 6), value;
    int rc = mdb_get(txn, table->meta, &key, &value);
    table->damaged |= rc < 0;
    if (rc != 0)
        return table_failed(table, "the store has no version of its format: %s", mdb_strerror(rc));
    if (value.mv_size != 1 || *(const uint8_t *)value.mv_data == 0)
        return table_failed(table, "the version of the store's format cannot be read");
    unsigned format = *(const uint8_t *)value.mv_data;
    if (format != TABLE_FORMAT)
        return table_failed(
            table, "the store has format %u and this edge reads format %u: start the edge that wrote it",
            format, TABLE_FORMAT);
    key = table_val("hash_key", 8);
    rc = mdb_get(txn, table->meta, &key, &value);
    if (rc != 0 || value.mv_size != sizeof(table->hash_key))
        return table_failed(table, "the store has no hash key");
    memcpy(&table->hash_key, value.mv_data, sizeof(table->hash_key));
    return STORE_OK;
}

/* Opens the three databases; the writer makes missing ones. */
static store_result_t open_databases(table_t *table, MDB_txn *txn, bool writer)
{
    unsigned make = writer ? MDB_CREATE : 0;
    int rc = mdb_dbi_open(txn, NULL, 0, &table->main);
    if (rc == 0)
        rc = mdb_dbi_open(txn, "records", MDB_INTEGERKEY | make, &table->records);
    if (rc == 0)
        rc = mdb_dbi_open(txn, "order", make, &table->order);
    if (rc == 0)
        rc = mdb_dbi_open(txn, "meta", make, &table->meta);
    if (rc == MDB_NOTFOUND) {
        (void)table_failed(table, "there is no store yet");
        return STORE_NOT_FOUND;
    }
    if (rc == 0 && writer) {
        MDB_stat stat;
        rc = mdb_stat(txn, table->meta, &stat);
        if (rc == 0 && stat.ms_entries == 0)
            rc = meta_make(table, txn);
    }
    table->damaged |= rc < 0; /* of LMDB, and no system call */
    if (rc != 0)
        return table_failed(table, "cannot open the store: %s", mdb_strerror(rc));
    store_result_t result = meta_read(table, txn);
    if (result == STORE_OK && writer)
        result = table_result(table, "cannot open the store", minor_put(table, txn));
    return result;
}

typedef struct opening {
    table_t *table;
    MDB_txn *txn;
    bool writer;
    store_result_t result;
} opening_t;

static void open_guarded(void *arg)
{
    opening_t *opening = arg;
    opening->result = open_databases(opening->table, opening->txn, opening->writer);
}

/* Adds the advice to a sentence about a broken file. */
static store_result_t broken(table_t *table, const table_options_t *options)
{
    size_t n = strlen(table->error);
    table->damaged = true;
    snprintf(table->error + n, TABLE_ERROR_MAX - n,
             options->synced
                 ? "; restore a backup (`boxedge store restore DIR`), or move it away to begin without "
                   "what it recorded"
                 : "; remove it: the edge makes it anew");
    return STORE_FAILED;
}

/* LMDB aborts after a failed assertion, which damaged pages can cause. */
static void on_assert(MDB_env *env, const char *message)
{
    (void)env;
    (void)message;
    read_guard_fail();
}

/* LMDB makes an environment only in a file that is empty. */
static store_result_t begin_anew(table_t *table, const table_options_t *options)
{
    char path[4096];
    int n = snprintf(path, sizeof(path), "%s/data.mdb", options->dir);
    if (!options->writer || options->look)
        return STORE_NOT_FOUND;
    if (n > 0 && (size_t)n < sizeof(path) && (truncate(path, 0) == 0 || errno == ENOENT))
        return STORE_OK;
    return table_failed(table, "cannot open the store: %s", strerror(errno));
}

static store_result_t open_env(table_t *table, const table_options_t *options)
{
    env_meta_t meta;
    store_result_t begun = options->unfinished ? begin_anew(table, options) : STORE_OK;
    if (begun == STORE_NOT_FOUND)
        (void)table_failed(table, "there is no store yet");
    if (begun != STORE_OK)
        return begun;
    if ((!options->unfinished && !env_size_begun(options->dir, table->error, TABLE_ERROR_MAX)) ||
        !env_meta_check(options->dir, options->synced, &meta, table->error, TABLE_ERROR_MAX))
        return broken(table, options);
    size_t page = 4096;
    table->map_bytes = (options->map_bytes + page - 1) / page * page;
    read_guard_install();
    int rc = mdb_env_create(&table->env);
    if (rc == 0)
        rc = mdb_env_set_assert(table->env, on_assert);
    if (rc == 0)
        rc = mdb_env_set_maxdbs(table->env, 3);
    if (rc == 0)
        rc = mdb_env_set_maxreaders(table->env, TABLE_READERS);
    /* Readers map the reserve too, so that they can follow a writer that uses it. */
    if (rc == 0)
        rc = mdb_env_set_mapsize(table->env, table->map_bytes + (options->writer ? 0 : TABLE_RESERVE_BYTES));
    /* MDB_NOTLS: a reader slot belongs to the transaction, which stays open and is renewed, not to
     * the thread. A read then costs no system call, and the writing thread may read as well. */
    unsigned flags = MDB_NOTLS | (options->writer ? 0 : MDB_RDONLY) | (options->look ? MDB_NOLOCK : 0) |
                     (options->synced ? 0 : MDB_NOSYNC | MDB_NOMETASYNC);
    if (options->writer && !options->look)
        env_size_reserve_readers(options->dir, TABLE_READERS);
    if (rc == 0)
        rc = mdb_env_open(table->env, options->dir, flags, 0600);
    if (rc == ENOENT && !options->writer)
        return table_failed(table, "there is no store yet");
    if (rc == MDB_INVALID || rc == MDB_CORRUPTED) {
        table_failed(table, "data.mdb is no store");
        return broken(table, options);
    }
    if (rc != 0)
        return table_failed(table, "cannot open the store: %s", mdb_strerror(rc));
    if (!env_size_complete(table->env, options->synced, table->error, TABLE_ERROR_MAX))
        return broken(table, options);
    if (options->writer && !options->look)
        env_size_keep(table->env);
    return STORE_OK;
}

static store_result_t open_all(table_t *table, const table_options_t *options)
{
    store_result_t result = open_env(table, options);
    if (result != STORE_OK)
        return result;
    (void)table_reap_readers(table);
    bool writer = options->writer && !options->look;
    MDB_txn *txn;
    int rc = mdb_txn_begin(table->env, NULL, writer ? 0 : MDB_RDONLY, &txn);
    if (rc != 0)
        return table_failed(table, "cannot read the store: %s", mdb_strerror(rc));
    opening_t opening = {.table = table, .txn = txn, .writer = writer};
    if (writer || options->look)
        open_guarded(&opening);
    else if (!read_guard(open_guarded, &opening))
        opening.result = table_result(table, "cannot open the store", MDB_CORRUPTED);
    result = opening.result;
    if (result != STORE_OK) {
        mdb_txn_abort(txn);
        return result;
    }
    rc = mdb_txn_commit(txn);
    if (rc == 0)
        rc = mdb_txn_begin(table->env, NULL, MDB_RDONLY, &table->read);
    if (rc != 0)
        return table_failed(table, "cannot open the store: %s", mdb_strerror(rc));
    mdb_txn_reset(table->read);
    return STORE_OK;
}

/* Prefixes the sentence with the directory. */
static void name_place(const char *dir, char *error)
{
    char sentence[TABLE_ERROR_MAX / 2];
    snprintf(sentence, sizeof(sentence), "%.*s", (int)sizeof(sentence) - 1, error);
    snprintf(error, TABLE_ERROR_MAX, "%.*s: %s", TABLE_ERROR_MAX / 2 - 4, dir, sentence);
}

static void close_all(table_t *t)
{
    if (t->write != NULL)
        mdb_txn_abort(t->write);
    if (t->read != NULL)
        mdb_txn_abort(t->read);
    if (t->env != NULL)
        mdb_env_close(t->env);
}

/* Leaves a closed table, with the sentence of its failure. */
static void shut(table_t *table)
{
    close_all(table);
    table->env = NULL;
    table->read = table->write = NULL;
    table->closed = true;
    memcpy(table->why, table->error, sizeof(table->why));
}

table_t *table_open(const table_options_t *options, char *error)
{
    table_t *table = calloc(1, sizeof(*table));
    if (table == NULL) {
        snprintf(error, TABLE_ERROR_MAX, "out of memory");
        return NULL;
    }
    table->error = error;
    table->writer = options->writer;
    table->trouble = options->trouble;
    if (options->closed != NULL) {
        table->damaged = true;
        snprintf(error, TABLE_ERROR_MAX, "%s", options->closed);
    } else {
        store_result_t result = open_all(table, options);
        if (result == STORE_OK)
            return table;
        table->damaged |= result == STORE_NOT_FOUND; /* if `patient`: there was a store */
    }
    name_place(options->dir, error);
    if (options->patient)
        shut(table);
    else
        table_close(&table);
    return table;
}

void table_close(table_t **table)
{
    if (*table == NULL)
        return;
    close_all(*table);
    free(*table);
    *table = NULL;
}

/* Returns 0 if a writer can open the file, ENOENT if it can make it, otherwise the reason why it
 * can do neither. */
static int look_at(const char *dir, const char *name)
{
    char path[4096];
    int n = snprintf(path, sizeof(path), "%s/%s", dir, name);
    if (n < 0 || (size_t)n >= sizeof(path))
        return ENAMETOOLONG;
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT)
        return access(dir, W_OK | X_OK) == 0 ? ENOENT : errno;
    if (fd < 0)
        return errno;
    close(fd);
    return 0;
}

store_result_t table_look(const table_options_t *options, char *error)
{
    table_options_t look = *options;
    table_t table = {.error = error};
    look.writer = look.look = true;
    int lock = look_at(look.dir, "lock.mdb"), data = look_at(look.dir, "data.mdb");
    int rc = lock != 0 && lock != ENOENT ? lock : data;
    if (rc == ENOENT)
        return STORE_NOT_FOUND;
    store_result_t result = rc == 0 ? open_all(&table, &look)
                                    : table_failed(&table, "cannot open the store: %s", mdb_strerror(rc));
    close_all(&table);
    if (result == STORE_FAILED)
        name_place(look.dir, error);
    return result;
}
