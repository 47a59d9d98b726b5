/*
 * The damage of the store that processes of this edge have met, so that the log reports each once and
 * not once per process. In shared memory; everything is atomic.
 */
#ifndef BOXEDGE_STORE_HEALTH_H
#define BOXEDGE_STORE_HEALTH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "str.h"

/* The message of the process that reports damaged pages first. */
#define STORE_HEALTH_PAGES                                                                                   \
    "the store is damaged: requests that need a damaged page get 503, and /readyz too; the damaged part "    \
    "takes no change (`boxedge store check` lists all faults, `boxedge store restore DIR` puts a backup in " \
    "its place)"
/* Maximum damaged records with a separate message each. */
#define STORE_HEALTH_RECORDS_MAX 63

/* All-zero is valid and intact. */
typedef struct store_health {
    _Atomic uint64_t reported[STORE_HEALTH_RECORDS_MAX]; /* hashes of sentences; 0: free */
    _Atomic uint64_t
        damaged; /* parts of the store (store_part_t) whose pages a process knows to be damaged */
} store_health_t;

/* Returns whether the caller is the first to report a record with this sentence. False for further
 * records once STORE_HEALTH_RECORDS_MAX were reported. */
MUST_USE bool store_health_report_record(store_health_t *health, str_t sentence);
/* Records that have been reported so far. */
size_t store_health_records(const store_health_t *health);
/* Notes parts whose pages are damaged; returns whether one of them is new. The caller then moves the epoch,
 * because earlier answers from them, such as that a preview does not exist, no longer count. */
MUST_USE bool store_health_report_pages(store_health_t *health, uint64_t parts);
/* A check has read all pages, and found no damage. */
void store_health_clear_pages(store_health_t *health);
/* The damaged parts; 0: none is known. */
uint64_t store_health_bad_pages(const store_health_t *health);

#endif
