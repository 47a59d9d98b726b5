/*
 * Internals that the files of the store share (store.c, store_rules.c, store_keys.c,
 * store_aliases.c, store_deletions.c). No other file includes this.
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
    store_ended_t *ended; /* the writer's: boxes whose deletions ended lately */
    table_trouble_t durable_trouble, volatile_trouble;
    uint64_t map_bytes;
    bool bad_record; /* store_bad_record */
    char error[TABLE_ERROR_MAX];
};

/* Stores the reason of a refusal, and returns STORE_FAILED. */
store_result_t store_refused(store_t *store, const char *why, str_t id);
/* Begins to read `table` and finds a record. The caller ends the reading after STORE_OK; after any
 * other result it has ended. */
MUST_USE store_result_t store_read(store_t *store, table_t *table, str_t id, uint16_t port, str_t *record);
/* Opens a table in a directory `name` below the durable one; the writer makes it. Returns NULL with
 * store->error. */
table_t *store_open_beside(store_t *store, const char *durable_dir, const char *name, uint64_t map_bytes,
                           bool writer);
/* Open store->rules, store->keys, store->aliases and store->deletions. Return false with
 * store->error. */
MUST_USE bool store_open_rules(store_t *store, const char *durable_dir, bool writer);
MUST_USE bool store_open_keys(store_t *store, const char *durable_dir, bool writer);
/* STORE_TAKEN unless the record of `alias` names box `id`, whether or not a preview carries it; a damaged
 * record names none. */
MUST_USE store_result_t store_check_alias(store_t *store, str_t alias, str_t id);
MUST_USE bool store_open_aliases(store_t *store, const char *durable_dir, bool writer);
MUST_USE bool store_open_deletions(store_t *store, const char *durable_dir, bool writer);

#endif
