/*
 * Reads of a table, each guarded against faults of the map. See table.h.
 */
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <lmdb.h>

#include "bucket.h"
#include "env_meta.h"
#include "env_pages.h"
#include "env_size.h"
#include "order.h"
#include "read_guard.h"
#include "table_internal.h"

bool table_damaged(const table_t *table)
{
    return table->damaged;
}

const char *table_closed(const table_t *table)
{
    return table->closed ? table->why : NULL;
}

void table_set_known_damage(table_t *table, const _Atomic uint64_t *known, uint64_t bit)
{
    table->known = known;
    table->known_bit = bit;
}

bool table_doubtful(const table_t *table)
{
    return table->known != NULL &&
           (atomic_load_explicit(table->known, memory_order_relaxed) & table->known_bit) != 0;
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
    uint64_t entries; /* of a list, as LMDB counts them */
    int rc;
} reading_t;

/* A fault of the map is an error of LMDB, and so is a reader's transaction that failed at a root which it
 * could not read. In a writer's, an earlier error may be the reason. */
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
    if (table->closed)
        return table_failed(table, "%s", table->why);
    int rc = read_map(renew, &reading);
    if (rc != 0)
        mdb_txn_reset(table->read); /* a fault in between would keep its slot, and with it old pages */
    return table_result(table, "cannot read the store", rc);
}

void table_read_end(table_t *table)
{
    mdb_txn_reset(table->read);
}

/* Whether the pages that lead to the hash are sound and without it. LMDB trusts them: one wrong bit in the
 * number of a page's records hides some of them. */
static bool lacks(const table_t *table, MDB_txn *txn, size_t hash)
{
    MDB_val key = table_val("records", 7), value;
    MDB_envinfo info;
    MDB_stat stat;
    if (mdb_get(txn, table->main, &key, &value) != 0 || value.mv_size != ENV_DB_BYTES ||
        mdb_stat(txn, table->records, &stat) != 0 || mdb_env_info(table->env, &info) != 0)
        return false;
    const env_meta_t meta = {.page_bytes = stat.ms_psize, .last_page = info.me_last_pgno};
    const env_db_t db = env_db_decode(value.mv_data);
    /* The description of the database is in a page of the map, which knows its own number. */
    const uint8_t *bytes = value.mv_data, *page = bytes - (uintptr_t)bytes % meta.page_bytes;
    uint64_t number = env_get64(page);
    if (number < ENV_META_PAGES || number > meta.last_page)
        return false;
    const uint8_t *map = page - number * meta.page_bytes;
    return env_is_meta(map) && env_pages_lack(map, &meta, &db, hash);
}

/* What LMDB does not find is not there, unless damage hides it. */
static int absent(const reading_t *r, size_t hash)
{
    const table_t *table = r->table;
    bool sure = r->txn == table->write || (!table_doubtful(table) && lacks(table, r->txn, hash));
    return sure ? MDB_NOTFOUND : MDB_CORRUPTED;
}

/* Copies the record out of the map. */
static void find(void *arg)
{
    reading_t *r = arg;
    table_t *table = r->table;
    size_t hash = table_hash(table, r->id, r->port);
    MDB_val key = table_val(&hash, sizeof(hash)), value;
    r->rc = mdb_get(r->txn, table->records, &key, &value);
    if (r->rc == MDB_NOTFOUND)
        r->rc = absent(r, hash);
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
    r->entries = stat.ms_entries;
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
    bool all = id.n == 0 && port == 0;
    int rc = table_doubtful(table) ? MDB_CORRUPTED : read_map(open_cursor, &reading);
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
        reading.entries -= reading.entries != 0;
        before = at;
        reading.op = MDB_NEXT;
        if (readable || (named && unreadable))
            more = each(id, port, record, arg);
        else
            table->skipped++;
    }
    mdb_cursor_close(reading.cursor);
    if (rc == MDB_NOTFOUND && all && reading.entries != 0)
        rc = MDB_CORRUPTED; /* LMDB counts more */
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
    /* One line is a heading, or reports that none exist. */
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
    if (table_doubtful(table) || table_read_begin(table) != STORE_OK)
        return UINT64_MAX; /* no commit has this version, so the caller reads and gets the error */
    uint64_t version = mdb_txn_id(table->read);
    table_read_end(table);
    return version;
}

bool table_whole(table_t *table)
{
    char error[TABLE_ERROR_MAX];
    return table->closed || env_size_whole(table->env, error, sizeof(error));
}
