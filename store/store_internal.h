/*
 * Internals that the files of the store share (store.c, store_rules.c, store_keys.c,
 * store_aliases.c, store_deletions.c, store_links.c). No other file includes this.
 */
#ifndef BOXEDGE_STORE_INTERNAL_H
#define BOXEDGE_STORE_INTERNAL_H

#include "store.h"
#include "table.h"

/* In the table of rules: the name of the cookie keys. No box id can equal it. */
#define STORE_KEYS_NAME STR("@cookie-keys")
/* In the table of API keys: the first character of a hash. No name of a key has it. */
#define STORE_HASH_MARK '~'

typedef struct store_ended store_ended_t; /* store_deletions.c */

struct store {
    table_t *previews;    /* durable */
    table_t *boxes;       /* volatile */
    table_t *rules;       /* durable: blocks and cookie keys */
    table_t *keys;        /* durable: API keys */
    table_t *aliases;     /* durable: host labels that replace box ids */
    table_t *deletions;   /* durable: boxes with a requested deletion */
    table_t *links;       /* durable: links to previews */
    store_ended_t *ended; /* the writer's: boxes whose deletions ended lately */
    table_trouble_t durable_trouble, volatile_trouble;
    uint64_t map_bytes;
    const _Atomic uint64_t *known; /* store_set_known_damage */
    bool patient;                  /* store_open_patiently */
    uint64_t known_at_open;        /* its parts that stay closed */
    char *durable_dir;             /* of store_open_patiently, as all below */
    char *volatile_dir;
    char missing[TABLE_ERROR_MAX]; /* why no durable part is opened; empty: each is tried */
    bool bad_record;               /* store_bad_record */
    char error[TABLE_ERROR_MAX];
};

/* Stores the reason of a refusal, and returns STORE_FAILED. */
store_result_t store_refused(store_t *store, const char *why, str_t id);
/* Begins to read `table` and finds a record. The caller ends the reading after STORE_OK; after any
 * other result it has ended. */
MUST_USE store_result_t store_read(store_t *store, table_t *table, str_t id, uint16_t port, str_t *record);
/* Opens a table in a directory `name` below the durable one; the writer makes it. Returns NULL with
 * store->error. */
table_t *store_open_beside(store_t *store, const char *durable_dir, store_part_t part, uint64_t map_bytes,
                           bool writer);
table_t *store_part(const store_t *store, store_part_t part);
/* Open store->rules, store->keys, store->aliases, store->deletions and store->links. Return false with
 * store->error. */
MUST_USE bool store_open_rules(store_t *store, const char *durable_dir, bool writer);
MUST_USE bool store_open_keys(store_t *store, const char *durable_dir, bool writer);
/* STORE_TAKEN unless the record of `alias` names box `id`, whether or not a preview carries it; a damaged
 * record names none. */
MUST_USE store_result_t store_check_alias(store_t *store, str_t alias, str_t id);
MUST_USE bool store_open_aliases(store_t *store, const char *durable_dir, bool writer);
MUST_USE bool store_open_deletions(store_t *store, const char *durable_dir, bool writer);
MUST_USE bool store_open_links(store_t *store, const char *durable_dir, bool writer);

#endif
