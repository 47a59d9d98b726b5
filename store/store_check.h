/*
 * A complete check of a store: the pages of each environment (env_pages.h), the checksum and layout of each
 * record, and the agreement of names, hashes and counts. Call it in a separate process that has no store
 * open: a file that shrinks under LMDB kills its reader, and LMDB opens an environment once per process.
 * Works on a store in use, of which it checks one commit of each environment.
 */
#ifndef BOXEDGE_STORE_CHECK_H
#define BOXEDGE_STORE_CHECK_H

#include "store.h"

typedef enum store_check_kind {
    STORE_CHECK_RECORD, /* one record is damaged: its preview answers 503, all else is served */
    STORE_CHECK_TREE,   /* pages, lists or counts are damaged: the environment cannot be trusted */
    STORE_CHECK_UNDONE, /* the check cannot continue, for a reason unrelated to the store's health */
    STORE_CHECK_BOXES,  /* the same of the volatile environment, which the providers' reports write anew */
} store_check_kind_t;

typedef struct store_check_calls {
    /* A sentence that begins with the environment's directory. */
    void (*finding)(store_check_kind_t kind, const char *sentence, void *arg);
    /* NULL: none. `percent` of the present environment is done. */
    void (*progress)(const char *dir, unsigned percent, void *arg);
    void *arg;
} store_check_calls_t;

typedef struct store_check_sum {
    unsigned environments; /* those that exist */
    uint64_t records;
    uint64_t findings;
    uint64_t damaged; /* parts with a finding of STORE_CHECK_TREE or STORE_CHECK_BOXES; set before the call */
    unsigned format;  /* of the newest environment: format and minor version; 0 without one */
    unsigned minor;
} store_check_sum_t;

/* Findings of damaged records beyond this are counted and not reported. */
#define STORE_CHECK_REPORTS_MAX 100

/* Checks the durable environments below `durable_dir` and, unless NULL, that in `volatile_dir`.
 * `in_use`: an edge may have them open. Otherwise no file is made or changed, lock files included. */
void store_check(const char *durable_dir, const char *volatile_dir, bool in_use,
                 const store_check_calls_t *calls, store_check_sum_t *sum);

#endif
