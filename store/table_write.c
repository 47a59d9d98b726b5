/*
 * Changes of a table. See table.h.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "bytes.h"
#include "env_size.h"
#include "order.h"
#include "table_internal.h"

/* Notes a change that the disk or the map refuses. */
static store_result_t change_result(table_t *table, int rc)
{
    static const char doing[] = "cannot change the store";
    table->disk_error = rc == EROFS || rc == EIO ? rc : 0;
    /* The first error of a transaction, since callers abort it: that of a root that LMDB could not read. */
    if (rc == MDB_BAD_TXN || rc == MDB_BAD_DBI || rc == MDB_INCOMPATIBLE)
        rc = MDB_CORRUPTED;
    store_result_t result = table_result(table, doing, rc);
    if (table->damaged) {
        table->disk_error = EUCLEAN;
        return result;
    }
    if ((result != STORE_FULL && result != STORE_FAILED) || table->trouble == NULL)
        return result;
    table->trouble->failed++;
    snprintf(table->trouble->why, sizeof(table->trouble->why), "%.*s", (int)sizeof(table->trouble->why) - 1,
             table->error + strlen(doing) + strlen(": "));
    return result;
}

store_result_t table_write_begin(table_t *table)
{
    assert(table->write == NULL);
    bool damaged = table->damaged || table_doubtful(table);
    table->disk_error = damaged ? EUCLEAN : 0;
    if (table->closed)
        return table_failed(table, "%s", table->why);
    if (damaged)
        return table_failed(table, "data.mdb is damaged" TABLE_REMEDY);
    int rc = mdb_txn_begin(table->env, NULL, 0, &table->write);
    if (rc != 0)
        table->write = NULL;
    if (rc == 0)
        env_size_keep(table->env);
    return change_result(table, rc);
}

uint64_t table_write_version(const table_t *table)
{
    assert(table->write != NULL);
    return mdb_txn_id(table->write);
}

store_result_t table_write_commit(table_t *table)
{
    assert(table->write != NULL);
    int rc = mdb_txn_commit(table->write);
    table->write = NULL;
    if (rc == 0)
        env_size_keep(table->env);
    if (rc == 0 && table->trouble != NULL)
        table->trouble->why[0] = '\0';
    return change_result(table, rc);
}

void table_write_abort(table_t *table)
{
    assert(table->write != NULL);
    mdb_txn_abort(table->write);
    table->write = NULL;
}

/* Stores a bucket; an empty one is deleted. */
static int write_bucket(table_t *table, str_t id, uint16_t port, str_t bucket)
{
    size_t hash = table_hash(table, id, port);
    MDB_val key = table_val(&hash, sizeof(hash)), value = table_val(bucket.p, bucket.n);
    if (bucket.n == 0)
        return mdb_del(table->write, table->records, &key, NULL);
    bucket_result_t sealed =
        bucket_add_seal(&table->hash_key, table->bucket, sizeof(table->bucket), &value.mv_size);
    assert(bucket.p == table->bucket && sealed == BUCKET_OK); /* make_bucket left room */
    return mdb_put(table->write, table->records, &key, &value, 0);
}

/* Reads the bucket of a name and writes it into table->bucket with the name's record replaced. */
static store_result_t make_bucket(table_t *table, str_t id, uint16_t port, str_t record, str_t *bucket)
{
    size_t hash = table_hash(table, id, port);
    MDB_val key = table_val(&hash, sizeof(hash)), value = {0};
    int rc = mdb_get(table->write, table->records, &key, &value);
    if (rc == MDB_NOTFOUND && record.p != NULL)
        value.mv_size = 0;
    else if (rc != 0)
        return change_result(table, rc);
    str_t old = str_make(value.mv_data, value.mv_size);
    bucket_entry_t entry;
    /* Except for one chance in 2^64, the damaged record is the one to replace or delete. */
    bool damaged = bucket_seal_state(&table->hash_key, old) == BUCKET_SEAL_WRONG;
    if (damaged)
        old.n = 0;
    bucket->p = table->bucket;
    if (bucket_replace(old, id, port, record, table->bucket, BUCKET_MAX - BUCKET_SEAL_BYTES, &bucket->n) !=
        BUCKET_OK)
        return table_failed(table, "too many records with one hash");
    bool found = damaged || bucket_find(old, id, port, &entry) == BUCKET_OK;
    return record.p == NULL && !found ? STORE_NOT_FOUND : STORE_OK;
}

store_result_t table_put(table_t *table, str_t id, uint16_t port, str_t record)
{
    assert(table->write != NULL && table_id_fits(id) && record.p != NULL);
    str_t bucket = str_make(NULL, 0);
    store_result_t result = make_bucket(table, id, port, record, &bucket);
    if (result != STORE_OK)
        return result;
    int rc = write_bucket(table, id, port, bucket);
    order_key_t order = order_key(id, port);
    MDB_val key = table_val(order.bytes, order.len), empty = table_val("", 0);
    if (rc == 0)
        rc = mdb_put(table->write, table->order, &key, &empty, MDB_NOOVERWRITE);
    return rc == MDB_KEYEXIST ? STORE_OK : change_result(table, rc);
}

store_result_t table_delete(table_t *table, str_t id, uint16_t port)
{
    assert(table->write != NULL);
    if (!table_id_fits(id))
        return STORE_NOT_FOUND;
    str_t bucket = str_make(NULL, 0);
    store_result_t result = make_bucket(table, id, port, (str_t){0}, &bucket);
    if (result != STORE_OK)
        return result;
    int rc = write_bucket(table, id, port, bucket);
    order_key_t order = order_key(id, port);
    MDB_val key = table_val(order.bytes, order.len);
    if (rc == 0)
        rc = mdb_del(table->write, table->order, &key, NULL);
    return rc == MDB_NOTFOUND ? STORE_OK : change_result(table, rc);
}

store_result_t table_next(table_t *table, uint64_t *number)
{
    assert(table->write != NULL);
    uint8_t bytes[8];
    uint64_t last = 0;
    MDB_val key = table_val("sequence", 8), value;
    int rc = mdb_get(table->write, table->meta, &key, &value);
    if (rc == 0 && value.mv_size != sizeof(bytes))
        return table_failed(table, "the store's sequence is broken");
    if (rc == 0)
        last = bytes_get64(value.mv_data);
    else if (rc != MDB_NOTFOUND)
        return change_result(table, rc);
    if (last < table->given_out)
        last = table->given_out;
    bytes_put64(bytes, last + 1);
    value = table_val(bytes, sizeof(bytes));
    rc = mdb_put(table->write, table->meta, &key, &value, 0);
    if (rc == 0)
        *number = table->given_out = last + 1;
    return change_result(table, rc);
}

void table_use_reserve(table_t *table, bool on)
{
    assert(table->write == NULL);
    /* LMDB never makes the map smaller than its used part. It maps anew, and has no map left if
     * that fails (only for want of address space): then no read would be possible. */
    int rc = mdb_env_set_mapsize(table->env, table->map_bytes + (on ? TABLE_RESERVE_BYTES : 0));
    assert(rc == 0);
}

int table_reap_readers(table_t *table)
{
    int dead = 0;
    return !table->closed && mdb_reader_check(table->env, &dead) == 0 ? dead : 0;
}

int table_disk_error(const table_t *table)
{
    return table->disk_error;
}

const char *table_dir(const table_t *table)
{
    const char *dir = "";
    if (table->closed)
        return dir;
    int rc = mdb_env_get_path(table->env, &dir);
    assert(rc == 0);
    return dir;
}
