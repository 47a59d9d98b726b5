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
    "the store is damaged: requests that need a damaged page get 503, and /readyz too (`boxedge store "      \
    "check` lists all faults)"
/* Maximum damaged records with a message of their own. */
#define STORE_HEALTH_RECORDS_MAX 63

/* All-zero is valid and intact. */
typedef struct store_health {
    _Atomic uint64_t reported[STORE_HEALTH_RECORDS_MAX]; /* hashes of sentences; 0: free */
    _Atomic uint64_t pages;                              /* not 0: a process met damaged pages */
} store_health_t;

/* Returns whether the caller is the first to report a record with this sentence. False for further
 * records once STORE_HEALTH_RECORDS_MAX were reported. */
MUST_USE bool store_health_report_record(store_health_t *health, str_t sentence);
/* Notes that a process met damaged pages; returns whether the caller is the first. */
MUST_USE bool store_health_report_pages(store_health_t *health);
/* A check has read all pages, and found no damage. */
void store_health_clear_pages(store_health_t *health);
bool store_health_has_bad_pages(const store_health_t *health);

#endif
