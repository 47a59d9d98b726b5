/*
 * One LMDB environment that maps names (box id, port) to records: what the store's two halves are made of.
 *
 * Three databases are in it. "records" maps a keyed 64-bit hash of a name to a bucket with the record: a
 * lookup compares integers on its way down, so that its cost hardly grows with the number of records. "order"
 * holds the names themselves, sorted by id and then port, for listings. "meta" holds the version of this
 * layout, the hash key and the sequence.
 *
 * Not part of the store's interface: only store.c, its tests and benchmarks include this.
 */
#ifndef BOXEDGE_TABLE_H
#define BOXEDGE_TABLE_H

#include "store.h"

#define TABLE_ERROR_MAX 512

typedef struct table table_t;

typedef struct table_options {
    const char *dir;    /* exists */
    uint64_t map_bytes; /* of address space; rounded up to whole pages */
    bool writer;
    bool synced; /* a commit is on disk when it returns */
    bool look;   /* table_look's */
} table_options_t;

/*
 * Returns NULL and a sentence in error[TABLE_ERROR_MAX], which begins with the directory, on failure; a file
 * that is cut short fails. `error` is kept: later failures are described there too.
 */
table_t *table_open(const table_options_t *options, char *error);
void table_close(table_t **table);
/*
 * Whether table_open would open it for a writer, for a table that no process has open: makes nothing, changes
 * nothing, takes no lock. `dir` may be missing. STORE_NOT_FOUND: a writer would make what is missing.
 * STORE_FAILED: with the sentence of table_open.
 */
MUST_USE store_result_t table_look(const table_options_t *options, char *error);

/* False where the file has become shorter than its records need: reading them would kill the process. */
MUST_USE bool table_whole(table_t *table);

/* ---- reading: what find and each give out is valid between begin and end ---- */
MUST_USE store_result_t table_read_begin(table_t *table);
void table_read_end(table_t *table);
/* STORE_NOT_FOUND also for an id that cannot be one; STORE_FAILED where what is there cannot be read. */
MUST_USE store_result_t table_find(table_t *table, str_t id, uint16_t port, str_t *record);
/* The same within the open write transaction, with what it has changed. */
MUST_USE store_result_t table_find_changed(table_t *table, str_t id, uint16_t port, str_t *record);
/* Calls `each` for the records from (id, port) on, by id, then port, until it returns false; what cannot be
 * read is left out. */
MUST_USE store_result_t table_each(table_t *table, str_t id, uint16_t port,
                                   bool (*each)(str_t id, uint16_t port, str_t record, void *), void *arg);

typedef struct table_stats {
    uint64_t records;
    uint64_t bytes; /* of the map in use, the free list included */
    uint64_t readers;
} table_stats_t;
MUST_USE store_result_t table_get_stats(table_t *table, table_stats_t *out);

/* A number that changes with every commit of any process: what is read after it is at least as new.
 * UINT64_MAX where nothing can be read. */
uint64_t table_version(table_t *table);

/* ---- writing: one transaction at a time; after any result but OK and NOT_FOUND it is to be aborted ---- */
MUST_USE store_result_t table_write_begin(table_t *table);
/* The version that the transaction makes where it commits. */
uint64_t table_write_version(const table_t *table);
/* Ends the transaction in any case. On failure nothing was changed. */
MUST_USE store_result_t table_write_commit(table_t *table);
void table_write_abort(table_t *table);
MUST_USE store_result_t table_put(table_t *table, str_t id, uint16_t port, str_t record);
MUST_USE store_result_t table_delete(table_t *table, str_t id, uint16_t port);
/* The next number of the sequence, from 1; never given out again, whether the transaction commits or not
 * while this table is open, and for ever once it has committed. */
MUST_USE store_result_t table_next(table_t *table, uint64_t *number);
/*
 * A full table must still be able to give something up, and a change needs free pages even for that: with
 * `on`, writing may use a reserve beyond map_bytes. To be called between write transactions.
 */
void table_use_reserve(table_t *table, bool on);

/* Frees the reader slots of dead processes; returns how many. */
int table_reap_readers(table_t *table);

#endif
