/*
 * Internals that the files of the table share (table.c, table_write.c). No other file includes this.
 */
#ifndef BOXEDGE_TABLE_INTERNAL_H
#define BOXEDGE_TABLE_INTERNAL_H

#include <lmdb.h>

#include "bucket.h"
#include "siphash.h"
#include "table.h"

/* Size of table_use_reserve's reserve; a change touches about 20 pages. */
#define TABLE_RESERVE_BYTES (1024 * 1024)

struct table {
    MDB_env *env;
    MDB_dbi records;
    MDB_dbi order;
    MDB_dbi meta;
    MDB_dbi main;   /* of the databases themselves */
    MDB_txn *read;  /* made once, renewed for each reading */
    MDB_txn *write; /* NULL outside write transactions */
    bool writer;
    bool bad_record; /* the last table_find failed at one record, and others can be read */
    size_t skipped;  /* names without a readable record, of the last table_each */
    size_t map_bytes;
    siphash_key_t hash_key;
    uint64_t given_out; /* highest number of the sequence given out, committed or not */
    int disk_error;     /* table_disk_error */
    table_trouble_t *trouble;
    bool damaged; /* table_damaged */
    bool closed;  /* env is NULL, and `why` has the reason */
    char why[TABLE_ERROR_MAX];
    const _Atomic uint64_t *known; /* table_set_known_damage */
    uint64_t known_bit;
    char *error;
    char found[BUCKET_RECORD_MAX]; /* the record of the last table_find */
    char bucket[BUCKET_MAX];       /* for the bucket being written */
};

/* The key of "records": LMDB requires integers in its own size and byte order. */
size_t table_hash(const table_t *table, str_t id, uint16_t port);
MDB_val table_val(const void *p, size_t n);
bool table_id_fits(str_t id);
/* Writes table->error; returns STORE_FAILED. */
store_result_t table_failed(table_t *table, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Translates an error of LMDB, or of a system call in LMDB. */
MUST_USE store_result_t table_result(table_t *table, const char *doing, int rc);

#endif
