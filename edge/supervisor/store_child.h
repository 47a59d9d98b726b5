/*
 * A complete check of the store (store_check.h) in a child process, so that a file which kills its
 * reader is a finding and not the end of this process. The child has the rights of the store's user.
 */
#ifndef BOXEDGE_STORE_CHILD_H
#define BOXEDGE_STORE_CHILD_H

#include "privileges.h"
#include "store_check.h"

/* Begins a sentence about pages, lists or counts of the store, for which no edge starts. */
#define STORE_DAMAGED                                                                                        \
    "the store is damaged (`boxedge store check` lists all faults, `boxedge store restore DIR` puts a "      \
    "backup in its place)"

/* Begins a sentence about a check without a result. */
#define STORE_UNDONE "the check of the store did not end (`boxedge store check` repeats it)"

/* Bound of a check before a start, in ms: it must not exceed the patience of a service manager. */
#define STORE_CHILD_START_MS 30000u

typedef struct store_child {
    const char *durable;
    const char *fleeting; /* NULL: only the durable environments */
    const privileges_t *privileges;
    bool in_use;          /* an edge may have it open */
    bool look;            /* first whether a writer can open it (store_look); not with in_use */
    uint64_t map_bytes;   /* for `look` */
    uint32_t bound_ms;    /* of the whole check; 0: none */
    uint32_t progress_ms; /* between two calls of `progress` */
} store_child_t;

typedef struct store_child_calls {
    /* `sentence` begins with the directory; `refused`: it is that of a writer that cannot open the store. */
    void (*finding)(store_check_kind_t kind, bool refused, const char *sentence, void *arg);
    void (*progress)(const char *dir, unsigned percent, void *arg); /* NULL: none */
    void *arg;
} store_child_calls_t;

typedef enum store_child_result {
    STORE_CHILD_DONE,
    STORE_CHILD_LATE,   /* ended at bound_ms; the findings so far were reported */
    STORE_CHILD_UNDONE, /* it ended without its result: a finding of STORE_CHECK_UNDONE has the reason */
    STORE_CHILD_FAILED, /* no child; errno */
} store_child_result_t;

/* *sum is complete only after STORE_CHILD_DONE; sum->damaged is current in each `finding`. */
MUST_USE store_child_result_t store_child_check(const store_child_t *check, const store_child_calls_t *calls,
                                                store_check_sum_t *sum);

#endif
