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
    int rc = mdb_dbi_open(txn, "records", MDB_INTEGERKEY | make, &table->records);
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
    if (rc != 0)
        return table_failed(table, "cannot open the store: %s", mdb_strerror(rc));
    store_result_t result = meta_read(table, txn);
    if (result == STORE_OK && writer)
        result = table_result(table, "cannot open the store", minor_put(table, txn));
    return result;
}

/* Adds the advice to a sentence about a broken file. */
static store_result_t broken(table_t *table, const table_options_t *options)
{
    size_t n = strlen(table->error);
    snprintf(table->error + n, TABLE_ERROR_MAX - n,
             options->synced
                 ? "; restore a backup (`boxedge store restore DIR`), or move it away to begin without "
                   "what it recorded"
                 : "; remove it: the edge makes it anew");
    return STORE_FAILED;
}

/* LMDB aborts after an assertion of its own, which damaged pages can fail. */
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
    result = open_databases(table, txn, writer);
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
    if (open_all(table, options) == STORE_OK)
        return table;
    name_place(options->dir, error);
    table_close(&table);
    return NULL;
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

/* ---- reading ---- */

bool table_damaged(const table_t *table)
{
    return table->damaged;
}

/* One guarded read of the map. */
typedef struct reading {
    table_t *table;
    MDB_txn *txn;
    str_t id;
    uint16_t port;
    str_t record;
    MDB_cursor *cursor;
    MDB_cursor_op op;
    order_key_t *at; /* of a list: the present key */
    table_stats_t *stats;
    int rc;
} reading_t;

/* A fault of the map is an error of LMDB. So is what a reader's transaction says after a root that it could
 * not read; of a writer's, an earlier error may be the reason. */
static int read_map(void (*read)(void *), reading_t *reading)
{
    if (!read_guard(read, reading))
        return MDB_CORRUPTED;
    bool reads = reading->txn == NULL || reading->txn != reading->table->write;
    bool lost = reading->rc == MDB_BAD_TXN || reading->rc == MDB_BAD_DBI || reading->rc == MDB_INCOMPATIBLE;
    return reads && lost ? MDB_CORRUPTED : reading->rc;
}

static void renew(void *arg)
{
    reading_t *r = arg;
    r->rc = mdb_txn_renew(r->table->read);
    if (r->rc == MDB_MAP_RESIZED) {
        /* A writer with a larger map was active: adopt its size. */
        r->rc = mdb_env_set_mapsize(r->table->env, 0);
        if (r->rc == 0)
            r->rc = mdb_txn_renew(r->table->read);
    }
}

store_result_t table_read_begin(table_t *table)
{
    reading_t reading = {.table = table};
    int rc = read_map(renew, &reading);
    if (rc != 0)
        mdb_txn_reset(table->read); /* a fault in between would keep its slot, and with it old pages */
    return table_result(table, "cannot read the store", rc);
}

void table_read_end(table_t *table)
{
    mdb_txn_reset(table->read);
}

/* Copies the record out of the map. */
static void find(void *arg)
{
    reading_t *r = arg;
    table_t *table = r->table;
    size_t hash = table_hash(table, r->id, r->port);
    MDB_val key = table_val(&hash, sizeof(hash)), value;
    r->rc = mdb_get(r->txn, table->records, &key, &value);
    if (r->rc != 0)
        return;
    bucket_entry_t entry;
    str_t bucket = str_make(value.mv_data, value.mv_size);
    table->bad_record =
        bucket.n > BUCKET_MAX || bucket_seal_state(&table->hash_key, bucket) == BUCKET_SEAL_WRONG;
    if (table->bad_record)
        return;
    if (bucket_find(bucket, r->id, r->port, &entry) != BUCKET_OK)
        r->rc = MDB_NOTFOUND;
    else if (entry.record.n > sizeof(table->found))
        table->bad_record = true;
    else
        r->record = str_make(memcpy(table->found, entry.record.p, entry.record.n), entry.record.n);
}

static store_result_t find_in(table_t *table, MDB_txn *txn, str_t id, uint16_t port, str_t *record)
{
    reading_t reading = {.table = table, .txn = txn, .id = id, .port = port};
    table->bad_record = false;
    if (!table_id_fits(id))
        return STORE_NOT_FOUND;
    int rc = read_map(find, &reading);
    if (rc != 0)
        table->bad_record = false;
    if (table->bad_record)
        return table_failed(table, "the record of %.*s is damaged", STR_ARG(id));
    *record = reading.record;
    return table_result(table, "cannot read the store", rc);
}

bool table_bad_record(const table_t *table)
{
    return table->bad_record;
}

store_result_t table_find(table_t *table, str_t id, uint16_t port, str_t *record)
{
    return find_in(table, table->read, id, port, record);
}

store_result_t table_find_changed(table_t *table, str_t id, uint16_t port, str_t *record)
{
    assert(table->write != NULL);
    return find_in(table, table->write, id, port, record);
}

/* mdb_stat reads the root first: a fault in mdb_cursor_open would leave the cursor's memory behind. */
static void open_cursor(void *arg)
{
    reading_t *r = arg;
    MDB_stat stat;
    r->rc = mdb_stat(r->table->read, r->table->order, &stat);
    if (r->rc == 0)
        r->rc = mdb_cursor_open(r->table->read, r->table->order, &r->cursor);
}

/* Moves the cursor, and copies its key out of the map. */
static void move(void *arg)
{
    reading_t *r = arg;
    MDB_val key = table_val(r->at->bytes, r->at->len), value;
    r->rc = mdb_cursor_get(r->cursor, &key, &value, r->op);
    if (r->rc != 0)
        return;
    bool fits = key.mv_size <= sizeof(r->at->bytes);
    r->at->len = fits ? key.mv_size : 0;
    if (fits)
        memcpy(r->at->bytes, key.mv_data, key.mv_size);
}

/* Whether a list goes forward: damaged pages can lead back. */
static bool goes_on(const order_key_t *from, const order_key_t *to)
{
    size_t n = from->len < to->len ? from->len : to->len;
    int order = memcmp(from->bytes, to->bytes, n);
    return order < 0 || (order == 0 && from->len < to->len);
}

static store_result_t list(table_t *table, str_t id, uint16_t port, bool unreadable,
                           bool (*each)(str_t id, uint16_t port, str_t record, void *), void *arg)
{
    order_key_t at = order_key(id, port), before = at;
    reading_t reading = {.table = table, .op = MDB_SET_RANGE, .at = &at};
    int rc = read_map(open_cursor, &reading);
    if (rc != 0)
        return table_result(table, "cannot list the store", rc);
    bool more = true;
    table->skipped = 0;
    while (more && (rc = read_map(move, &reading)) == 0) {
        if (at.len == 0 || (reading.op == MDB_NEXT && !goes_on(&before, &at))) {
            rc = MDB_CORRUPTED;
            break;
        }
        str_t record = str_make(NULL, 0);
        bool named = order_name(str_make((const char *)at.bytes, at.len), &id, &port);
        store_result_t found = named ? table_find(table, id, port, &record) : STORE_NOT_FOUND;
        rc = found == STORE_FAILED && !table->bad_record ? MDB_CORRUPTED : 0; /* pages, not the record */
        if (rc != 0)
            break;
        bool readable = found == STORE_OK;
        before = at;
        reading.op = MDB_NEXT;
        if (readable || (named && unreadable))
            more = each(id, port, record, arg);
        else
            table->skipped++;
    }
    mdb_cursor_close(reading.cursor);
    return rc == MDB_NOTFOUND ? STORE_OK : table_result(table, "cannot list the store", rc);
}

store_result_t table_each(table_t *table, str_t id, uint16_t port,
                          bool (*each)(str_t id, uint16_t port, str_t record, void *), void *arg)
{
    return list(table, id, port, false, each, arg);
}

store_result_t table_each_name(table_t *table, str_t id, uint16_t port,
                               bool (*each)(str_t id, uint16_t port, str_t record, void *), void *arg)
{
    return list(table, id, port, true, each, arg);
}

size_t table_skipped(const table_t *table)
{
    return table->skipped;
}

static int count_line(const char *line, void *count)
{
    (void)line;
    ++*(uint64_t *)count;
    return 0;
}

static void get_stats(void *arg)
{
    reading_t *r = arg;
    MDB_stat stat;
    MDB_envinfo info;
    uint64_t lines = 0;
    r->rc = mdb_stat(r->table->read, r->table->order, &stat);
    if (r->rc == 0)
        r->rc = mdb_env_info(r->table->env, &info);
    if (r->rc == 0 && mdb_reader_list(r->table->env, count_line, &lines) < 0)
        r->rc = EIO;
    if (r->rc != 0)
        return;
    /* One line is a heading, or reports that there are none. */
    *r->stats = (table_stats_t){.records = stat.ms_entries,
                                .bytes = (uint64_t)stat.ms_psize * (info.me_last_pgno + 1),
                                .readers = lines - 1};
}

store_result_t table_get_stats(table_t *table, table_stats_t *out)
{
    reading_t reading = {.table = table, .stats = out};
    return table_result(table, "cannot read the store", read_map(get_stats, &reading));
}

/* Reads the version from a snapshot. mdb_env_info is ahead of a reader's data while the last page
 * of a commit is being synced; a list read then would count as the newer one for ever. */
uint64_t table_version(table_t *table)
{
    if (table_read_begin(table) != STORE_OK)
        return UINT64_MAX; /* no commit has this version, so the caller reads and gets the error */
    uint64_t version = mdb_txn_id(table->read);
    table_read_end(table);
    return version;
}

bool table_whole(table_t *table)
{
    char error[TABLE_ERROR_MAX];
    return env_size_whole(table->env, error, sizeof(error));
}
