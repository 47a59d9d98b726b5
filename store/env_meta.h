/*
 * The two meta pages of an LMDB environment (version 1 of its format), checked before the file is
 * mapped. LMDB takes the page with the higher transaction and checks only its magic and version:
 * one wrong bit there can bring back an earlier state, or lead a reader to pages that do not exist.
 */
#ifndef BOXEDGE_ENV_META_H
#define BOXEDGE_ENV_META_H

#include <stddef.h>
#include <string.h>

#include "str.h"

#define ENV_META_PAGES 2
/* Databases that each meta page describes: that of free pages, and the one of names. */
#define ENV_FREE 0
#define ENV_MAIN 1
/* The root of a database without pages. */
#define ENV_NO_PAGE UINT64_MAX

/* A database as LMDB records it (MDB_db). */
typedef struct env_db {
    uint32_t pad;
    uint16_t flags;
    uint16_t depth;
    uint64_t branch_pages;
    uint64_t leaf_pages;
    uint64_t overflow_pages;
    uint64_t entries;
    uint64_t root;
} env_db_t;
#define ENV_DB_BYTES 48

typedef struct env_meta {
    uint32_t page_bytes;
    uint64_t last_page;
    uint64_t txn;
    env_db_t dbs[2];
} env_meta_t;

/* Numbers of LMDB: in the machine's byte order, at any alignment. */
static inline uint16_t env_get16(const uint8_t *p)
{
    uint16_t n;
    memcpy(&n, p, sizeof(n));
    return n;
}

static inline uint32_t env_get32(const uint8_t *p)
{
    uint32_t n;
    memcpy(&n, p, sizeof(n));
    return n;
}

static inline uint64_t env_get64(const uint8_t *p)
{
    uint64_t n;
    memcpy(&n, p, sizeof(n));
    return n;
}

env_db_t env_db_decode(const void *bytes);
/* Whether the bytes begin as a meta page of this format does. */
MUST_USE bool env_is_meta(const uint8_t *page);

/*
 * Reads both pages from the file of the environment in `dir`, and fills *out with the one in force.
 * Returns false, and fills `error`, if one of them is damaged; with `in_order` also if their
 * transactions do not follow each other, as each commit of a synced environment leaves them. A
 * missing file, and one that is shorter than the two pages, is left to others: true with
 * out->page_bytes 0.
 */
MUST_USE bool env_meta_check(const char *dir, bool in_order, env_meta_t *out, char *error, size_t error_len);
/* The same for an open file. With `txn` not 0, *out is the page of that transaction. */
MUST_USE bool env_meta_read(int fd, bool in_order, uint64_t txn, env_meta_t *out, char *error,
                            size_t error_len);

#endif
