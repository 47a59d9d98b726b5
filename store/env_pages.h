/*
 * A walk over all pages of one commit of an LMDB environment (version 1 of its format, without
 * sorted duplicates), by reads of the file and never through its map. LMDB trusts its pages: a wrong
 * length or page number makes it read or write anywhere. The walk bounds everything. It verifies
 * each page's header and layout, the order of all keys, the counts of each database, and that no
 * page has two uses. After a walk without a fault, LMDB reads only inside its pages.
 *
 * The commit's pages must not change during the walk: the caller has a read transaction of it, or
 * nobody writes.
 */
#ifndef BOXEDGE_ENV_PAGES_H
#define BOXEDGE_ENV_PAGES_H

#include "env_meta.h"

/* Named databases of an environment. */
#define ENV_NAMED_MAX 8
/* Free pages of the commit may lie behind the end of the file: at most this number. */
#define ENV_FREE_TAIL_PAGES 1024

typedef struct env_pages_calls {
    /* A record of the named database `db`. `value` is valid during the call. Returns false to end
     * the walk. */
    bool (*entry)(str_t db, str_t key, str_t value, void *arg);
    /* `done` of `all` pages were read; called at times. Returns false to end the walk. */
    bool (*progress)(uint64_t done, uint64_t all, void *arg);
    void *arg;
} env_pages_calls_t;

typedef enum env_pages_result {
    ENV_PAGES_GOOD,
    ENV_PAGES_BAD,   /* the sentence names the page and its fault */
    ENV_PAGES_ENDED, /* a call returned false */
    ENV_PAGES_NO_MEMORY,
} env_pages_result_t;

/*
 * Walks the commit of `meta` (env_meta_read) in the file `fd`. Its databases come in the order of
 * their names. `order8` names one whose keys are integers of 8 bytes.
 */
MUST_USE env_pages_result_t env_pages_walk(int fd, const env_meta_t *meta, str_t order8,
                                           const env_pages_calls_t *calls, char *error, size_t error_len);
/*
 * Whether a database whose keys are integers of 8 bytes lacks `key`, by the pages of a map that lead to it:
 * false if it has the key, or if one of these pages has a fault. Reads nothing outside of the pages up to
 * meta->last_page; of `meta` only that and page_bytes are set.
 */
MUST_USE bool env_pages_lack(const uint8_t *map, const env_meta_t *meta, const env_db_t *db, uint64_t key);

#endif
