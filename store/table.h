/*
 * One LMDB environment that maps names (box id, port) to records: the building block of the store.
 *
 * It has three databases. "records" maps a keyed 64-bit hash of a name to a bucket with the record.
 * A lookup compares integers on its way down, so its cost hardly grows with the number of records.
 * "order" has the names themselves, sorted by id and then port, for listings. "meta" has the
 * version of this layout, the hash key and the sequence.
 *
 * Not part of the store's interface: only the store's files, its tests and benchmarks include this.
 */
#ifndef BOXEDGE_TABLE_H
#define BOXEDGE_TABLE_H

#include "store.h"

#define TABLE_ERROR_MAX 512

/* The format that this comment describes. An edge refuses another one. */
#define TABLE_FORMAT 1
/* Additions to it, which an edge with a lower number reads past. 1: buckets end with a seal. */
#define TABLE_MINOR 1

/* Ends a sentence about damage. */
#define TABLE_REMEDY                                                                                         \
    ": nothing is changed (`boxedge store check` lists all faults, `boxedge store restore DIR` puts a "      \
    "backup in its place)"

typedef struct table table_t;

/* Of the tables of one disk. */
typedef struct table_trouble {
    uint64_t failed; /* changes that the disk or a map refused */
    char why[256];   /* it refused the last one; empty: the last one was taken */
} table_trouble_t;

typedef struct table_options {
    const char *dir;    /* must exist */
    uint64_t map_bytes; /* of address space; rounded up to whole pages */
    bool writer;
    bool synced;              /* a commit is on disk when it returns */
    bool look;                /* for table_look */
    bool unfinished;          /* store_made_unfinished: a writer begins it anew */
    bool patient;             /* table_open returns a closed table in place of NULL (table_closed) */
    const char *closed;       /* with `patient`: not opened, for this reason, which is damage. NULL: opened */
    table_trouble_t *trouble; /* updated by each change; must outlive the table. NULL: not counted */
} table_options_t;

/*
 * Returns NULL on failure, and a sentence in error[TABLE_ERROR_MAX] that begins with the directory.
 * A truncated file is a failure. `error` must outlive the table: later failures are written to it
 * too.
 */
table_t *table_open(const table_options_t *options, char *error);
void table_close(table_t **table);
/*
 * For a table that no process has open: tests whether table_open would open it for a writer. Makes
 * nothing, changes nothing and takes no lock. `dir` may be missing. STORE_NOT_FOUND: a writer would
 * make the missing parts. STORE_FAILED: with the sentence of table_open.
 */
MUST_USE store_result_t table_look(const table_options_t *options, char *error);

/* Returns false if the file has become shorter than its records need. */
MUST_USE bool table_whole(table_t *table);

/* The disk's reason for the failure of the last change: ENOSPC, EROFS or EIO; EUCLEAN: damage; 0: not the
 * disk's, such as a full map. */
int table_disk_error(const table_t *table);
/* The directory of table_options_t. */
const char *table_dir(const table_t *table);
/* Whether a read or a change has met damaged pages since the opening, or the table is closed since it is
 * damaged. */
bool table_damaged(const table_t *table);
/* Why the table is closed: each read and change fails with this sentence. NULL: it is open. */
const char *table_closed(const table_t *table);
/* While `bit` is in *known, a find without a result, a list and a change are STORE_FAILED. A change is also
 * after table_damaged. */
void table_set_known_damage(table_t *table, const _Atomic uint64_t *known, uint64_t bit);
bool table_doubtful(const table_t *table);

/* ---- reading: the record of a find or each is valid until the next find or end. A page that is damaged,
 * behind the end of the file, or that the disk cannot deliver, ends the read with STORE_FAILED ---- */
MUST_USE store_result_t table_read_begin(table_t *table);
void table_read_end(table_t *table);
/* STORE_NOT_FOUND also for an invalid id; STORE_FAILED if the record cannot be read. */
MUST_USE store_result_t table_find(table_t *table, str_t id, uint16_t port, str_t *record);
/* Whether the last table_find failed at one record only: its checksum is wrong, and others can be
 * read. */
bool table_bad_record(const table_t *table);
/* As table_find within the open write transaction, including its changes. */
MUST_USE store_result_t table_find_changed(table_t *table, str_t id, uint16_t port, str_t *record);
/* Calls `each` for the records from (id, port) on, by id, then port, until it returns false. Skips
 * unreadable ones. */
MUST_USE store_result_t table_each(table_t *table, str_t id, uint16_t port,
                                   bool (*each)(str_t id, uint16_t port, str_t record, void *), void *arg);

/* The same with unreadable records: `record.p` is NULL for them. */
MUST_USE store_result_t table_each_name(table_t *table, str_t id, uint16_t port,
                                        bool (*each)(str_t id, uint16_t port, str_t record, void *),
                                        void *arg);

/* The number of names without a readable record that the last table_each passed over. */
size_t table_skipped(const table_t *table);

typedef struct table_stats {
    uint64_t records;
    uint64_t bytes; /* of the map in use, the free list included */
    uint64_t readers;
} table_stats_t;
MUST_USE store_result_t table_get_stats(table_t *table, table_stats_t *out);

/* A number that changes with every commit of any process: later reads are at least as new.
 * UINT64_MAX if the table cannot be read. */
uint64_t table_version(table_t *table);

/* ---- writing: one transaction at a time; abort it after any result but OK and NOT_FOUND ---- */
MUST_USE store_result_t table_write_begin(table_t *table);
/* The version that the transaction makes if it commits. */
uint64_t table_write_version(const table_t *table);
/* Ends the transaction in any case. On failure the store is unchanged. */
MUST_USE store_result_t table_write_commit(table_t *table);
void table_write_abort(table_t *table);
MUST_USE store_result_t table_put(table_t *table, str_t id, uint16_t port, str_t record);
MUST_USE store_result_t table_delete(table_t *table, str_t id, uint16_t port);
/* The next number of the sequence, from 1. While this table is open, a number is never repeated,
 * even after an abort; once committed, it is never repeated at all. */
MUST_USE store_result_t table_next(table_t *table, uint64_t *number);
/*
 * A full table must still be able to delete, and even a deletion needs free pages. With `on`,
 * writing may use a reserve beyond map_bytes. Call between write transactions.
 */
void table_use_reserve(table_t *table, bool on);

/* Frees the reader slots of dead processes; returns their number. */
int table_reap_readers(table_t *table);

#endif
