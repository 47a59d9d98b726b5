/*
 * The damage of the store that processes of this edge have met, so that the log tells each once and
 * not once a process. In shared memory; everything is atomic.
 */
#ifndef BOXEDGE_STORE_HEALTH_H
#define BOXEDGE_STORE_HEALTH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "str.h"

/* Damaged records that are told one by one. */
#define STORE_HEALTH_RECORDS_MAX 64

/* All-zero is valid and intact. */
typedef struct store_health {
    _Atomic uint64_t told[STORE_HEALTH_RECORDS_MAX]; /* hashes of sentences; 0: free */
} store_health_t;

/* Returns whether the caller is the first to tell of a record with this sentence. False for further
 * records when STORE_HEALTH_RECORDS_MAX were told. */
MUST_USE bool store_health_tell_record(store_health_t *health, str_t sentence);

#endif
