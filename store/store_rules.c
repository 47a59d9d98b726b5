/*
 * The rules beside previews: blocks, and the keys of session cookies. They have a separate small environment,
 * so that a store full of previews can still block one. Names: a blocked box is (id, 0), a blocked preview
 * (id, port), a blocked network its text, which is no box id, with port 0.
 */
#include <assert.h>
#include <stdio.h>

#include "record.h"
#include "store_internal.h"

#define RULES_MAP_BYTES (16 << 20)

bool store_open_rules(store_t *store, const char *durable_dir, bool writer)
{
    store->rules = store_open_beside(store, durable_dir, STORE_PART_RULES, RULES_MAP_BYTES, writer);
    return store->rules != NULL;
}

/* ---- names ---- */

/* The table's name of a rule. `label` has the id of a preview. */
typedef struct rule_name {
    str_t id;
    uint16_t port;
    hostname_t label;
} rule_name_t;

static bool name_of(store_block_kind_t kind, str_t text, rule_name_t *name)
{
    *name = (rule_name_t){.id = text};
    switch (kind) {
    case BLOCK_BOX:
        return box_id_valid(text);
    case BLOCK_PREVIEW:
        if (!hostname_parse_label(text, &name->label))
            return false;
        name->id = str_make(name->label.id, name->label.id_len);
        name->port = name->label.port;
        return true;
    case BLOCK_CIDR: /* the caller checks the network; this only excludes box ids */
        return text.n != 0 && text.n <= BOX_ID_MAX && memchr(text.p, '/', text.n) != NULL;
    }
    return false;
}

/* ---- readers ---- */

typedef struct block_walk {
    store_t *store;
    bool (*each)(const store_block_t *, void *);
    void *arg;
    store_result_t result;
} block_walk_t;

static bool on_rule(str_t id, uint16_t port, str_t record, void *arg)
{
    block_walk_t *walk = arg;
    store_block_t block;
    char text[STORE_BLOCK_TEXT_MAX + 1];
    if (str_eq(id, STORE_KEYS_NAME))
        return true; /* readable or not: it is no block */
    int n = port != 0 ? snprintf(text, sizeof(text), "%.*s-%u", STR_ARG(id), port)
                      : snprintf(text, sizeof(text), "%.*s", STR_ARG(id));
    if (n <= 0 || (size_t)n >= sizeof(text)) { /* a name that no writer made */
        walk->result = store_refused(walk->store, "a block cannot be read", STR("rules"));
        return false;
    }
    if (record.p != NULL && record_decode_block(record, str_make(text, (size_t)n), &block))
        return walk->each(&block, walk->arg);
    walk->result = store_refused(walk->store, "a block cannot be read", str_make(text, (size_t)n));
    return false;
}

store_result_t store_each_block(store_t *store, bool (*each)(const store_block_t *, void *), void *arg)
{
    block_walk_t walk = {.store = store, .each = each, .arg = arg, .result = STORE_OK};
    store_result_t result = table_read_begin(store->rules);
    if (result != STORE_OK)
        return result;
    result = table_each_name(store->rules, STR(""), 0, on_rule, &walk);
    table_read_end(store->rules);
    if (result == STORE_OK && walk.result == STORE_OK && table_skipped(store->rules) != 0)
        return store_refused(store, "blocks that cannot be read", STR("rules"));
    return walk.result != STORE_OK ? walk.result : result;
}

uint64_t store_rules_version(store_t *store)
{
    return table_version(store->rules);
}

store_result_t store_get_cookie_keys(store_t *store, store_cookie_keys_t *out)
{
    store->bad_record = false;
    store_result_t result = table_read_begin(store->rules);
    if (result != STORE_OK)
        return result;
    str_t record;
    result = table_find(store->rules, STORE_KEYS_NAME, 0, &record);
    store->bad_record = result == STORE_FAILED && table_bad_record(store->rules);
    if (result == STORE_OK && !record_decode_keys(record, out))
        result = store_refused(store, "the record cannot be read", STORE_KEYS_NAME);
    table_read_end(store->rules);
    return result;
}

/* In a transaction. The keys are a rule, and no block. */
static store_result_t count_blocks(store_t *store, uint64_t *count)
{
    table_stats_t stats;
    str_t record;
    store_result_t result = table_get_stats(store->rules, &stats);
    if (result == STORE_OK)
        *count = stats.records - (table_find(store->rules, STORE_KEYS_NAME, 0, &record) != STORE_NOT_FOUND);
    return result;
}

store_result_t store_count_blocks(store_t *store, uint64_t *count)
{
    store_result_t result = table_read_begin(store->rules);
    if (result != STORE_OK)
        return result;
    result = count_blocks(store, count);
    table_read_end(store->rules);
    return result;
}

/* ---- the writer ---- */

/* Puts (or with record.p NULL deletes) one rule in a separate transaction. */
static store_result_t change_rule(store_t *store, const rule_name_t *name, str_t record)
{
    store_result_t result = table_write_begin(store->rules);
    if (result != STORE_OK)
        return result;
    result = record.p != NULL ? table_put(store->rules, name->id, name->port, record)
                              : table_delete(store->rules, name->id, name->port);
    if (result == STORE_OK)
        return table_write_commit(store->rules);
    table_write_abort(store->rules);
    return result;
}

/* Sets *room if the block may be put: it exists already, or fewer than STORE_BLOCKS_MAX exist. */
static store_result_t has_room(store_t *store, const rule_name_t *name, bool *room)
{
    uint64_t count;
    str_t record;
    store_result_t result = table_read_begin(store->rules);
    if (result != STORE_OK)
        return result;
    result = count_blocks(store, &count);
    if (result == STORE_OK)
        *room =
            table_find(store->rules, name->id, name->port, &record) == STORE_OK || count < STORE_BLOCKS_MAX;
    table_read_end(store->rules);
    return result;
}

store_result_t store_put_block(store_t *store, const store_block_t *block)
{
    rule_name_t name;
    str_t text = str_make(block->text, strnlen(block->text, sizeof(block->text)));
    if (!name_of(block->kind, text, &name))
        return store_refused(store, "not a block", text);
    bool room;
    store_result_t result = has_room(store, &name, &room);
    if (result != STORE_OK || !room)
        return result != STORE_OK ? result : STORE_TOO_MANY;
    char record[RECORD_BLOCK_BYTES];
    record_encode_block(block, record);
    return change_rule(store, &name, str_make(record, sizeof(record)));
}

store_result_t store_delete_block(store_t *store, store_block_kind_t kind, str_t text)
{
    rule_name_t name;
    if (!name_of(kind, text, &name))
        return STORE_NOT_FOUND;
    return change_rule(store, &name, str_make(NULL, 0));
}

store_result_t store_put_cookie_keys(store_t *store, const store_cookie_keys_t *keys)
{
    rule_name_t name = {.id = STORE_KEYS_NAME};
    char record[RECORD_KEYS_BYTES];
    record_encode_keys(keys, record);
    return change_rule(store, &name, str_make(record, sizeof(record)));
}
