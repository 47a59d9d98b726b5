/*
 * Aliases: host labels that replace the id of a box in the names of its previews, unique across the store. A
 * record (alias, 0) -> id has the owner of an alias. It counts while a preview of that box carries the alias,
 * so deleting a preview needs no release. Unused aliases are removed when too many exist. Aliases have a
 * separate small environment.
 */
#include <assert.h>

#include "record.h"
#include "store_internal.h"

#define ALIASES_MAP_BYTES (64 << 20)
/* Maximum removals in one commit. */
#define SWEEP_MAX 256

bool store_open_aliases(store_t *store, const char *durable_dir, bool writer)
{
    store->aliases = store_open_beside(store, durable_dir, STORE_PART_ALIASES, ALIASES_MAP_BYTES, writer);
    return store->aliases != NULL;
}

bool store_alias_valid(str_t alias)
{
    return box_id_valid(alias) && memchr(alias.p, '_', alias.n) == NULL;
}

/* ---- readers ---- */

/* Reads the record, whether or not a preview carries the alias. */
static store_result_t find_owner(store_t *store, str_t alias, char owner[BOX_ID_MAX + 1])
{
    str_t record;
    store_result_t result = store_read(store, store->aliases, alias, 0, &record);
    if (result != STORE_OK)
        return result;
    if (!record_decode_alias(record, owner))
        result = store_refused(store, "this edge cannot read the record of an alias", alias);
    table_read_end(store->aliases);
    return result;
}

store_result_t store_check_alias(store_t *store, str_t alias, str_t id)
{
    char owner[BOX_ID_MAX + 1];
    store_result_t result = find_owner(store, alias, owner);
    if (result == STORE_FAILED && !store->bad_record)
        return STORE_FAILED;
    return result == STORE_OK && str_eq(str_from(owner), id) ? STORE_OK : STORE_TAKEN;
}

typedef struct carried {
    str_t alias;
    bool found;
} carried_t;

static bool carries(const store_preview_t *preview, void *arg)
{
    carried_t *carried = arg;
    carried->found = str_eq(str_from(preview->alias), carried->alias);
    return !carried->found;
}

store_result_t store_get_alias(store_t *store, str_t alias, char owner[BOX_ID_MAX + 1])
{
    carried_t carried = {.alias = alias};
    if (!store_alias_valid(alias))
        return STORE_NOT_FOUND;
    store_result_t result = find_owner(store, alias, owner);
    if (result != STORE_OK)
        return result;
    result = store_each_preview_from(store, str_from(owner), 0, true, carries, &carried);
    return result == STORE_OK && !carried.found ? STORE_NOT_FOUND : result;
}

store_result_t store_find_preview(store_t *store, str_t name, uint16_t port, store_preview_t *out)
{
    char owner[BOX_ID_MAX + 1];
    store_result_t result = store_get_preview(store, name, port, out);
    if (result != STORE_NOT_FOUND)
        return result;
    result = find_owner(store, name, owner);
    if (result == STORE_OK)
        result = store_get_preview(store, str_from(owner), port, out);
    return result == STORE_OK && !str_eq(str_from(out->alias), name) ? STORE_NOT_FOUND : result;
}

/* ---- the writer ---- */

typedef struct names {
    size_t count;
    char at[SWEEP_MAX][BOX_ID_MAX + 1];
} names_t;

static bool take_name(str_t id, uint16_t port, str_t record, void *arg)
{
    names_t *names = arg;
    (void)port;
    (void)record;
    if (id.n <= BOX_ID_MAX) {
        memcpy(names->at[names->count], id.p, id.n);
        names->at[names->count++][id.n] = '\0';
    }
    return names->count < SWEEP_MAX;
}

/* Removes all in one commit, because each commit waits for the disk and delays every other change
 * of the store. */
static store_result_t remove_all(store_t *store, const names_t *names)
{
    store_result_t result = names->count != 0 ? table_write_begin(store->aliases) : STORE_NOT_FOUND;
    if (result != STORE_OK)
        return result == STORE_NOT_FOUND ? STORE_OK : result;
    for (size_t i = 0; i < names->count && result == STORE_OK; i++)
        result = table_delete(store->aliases, str_from(names->at[i]), 0);
    if (result == STORE_OK)
        return table_write_commit(store->aliases);
    table_write_abort(store->aliases);
    return result;
}

/* Removes unused aliases from `from` on; `from` becomes the last one checked, or "". */
static store_result_t sweep(store_t *store, char from[BOX_ID_MAX + 1])
{
    names_t names = {.count = 0};
    char owner[BOX_ID_MAX + 1];
    store_result_t result = table_read_begin(store->aliases);
    if (result != STORE_OK)
        return result;
    result = table_each(store->aliases, str_from(from), 1, take_name, &names);
    table_read_end(store->aliases);
    memcpy(from, names.count == SWEEP_MAX ? names.at[SWEEP_MAX - 1] : "",
           names.count == SWEEP_MAX ? sizeof(names.at[0]) : 1);
    size_t unused = 0;
    for (size_t i = 0; i < names.count && result == STORE_OK; i++)
        if (store_get_alias(store, str_from(names.at[i]), owner) == STORE_NOT_FOUND)
            memmove(names.at[unused++], names.at[i], sizeof(names.at[0]));
    names.count = unused;
    return result == STORE_OK ? remove_all(store, &names) : result;
}

static store_result_t make_room(store_t *store)
{
    table_stats_t stats = {.records = 0};
    char from[BOX_ID_MAX + 1] = "";
    store_result_t result = table_read_begin(store->aliases);
    if (result != STORE_OK)
        return result;
    result = table_get_stats(store->aliases, &stats);
    table_read_end(store->aliases);
    if (result != STORE_OK || stats.records < STORE_ALIASES_MAX)
        return result;
    do
        result = sweep(store, from);
    while (result == STORE_OK && from[0] != '\0');
    if (result == STORE_OK && (result = table_read_begin(store->aliases)) == STORE_OK) {
        result = table_get_stats(store->aliases, &stats);
        table_read_end(store->aliases);
    }
    return result == STORE_OK && stats.records >= STORE_ALIASES_MAX ? STORE_TOO_MANY : result;
}

static bool found_one(const store_preview_t *preview, void *found)
{
    (void)preview;
    *(bool *)found = true;
    return false;
}

/* Returns whether a box of that id is known or has previews. */
static bool is_a_box(store_t *store, str_t name)
{
    store_box_t box;
    bool found = false;
    if (store_get_box(store, name, &box) == STORE_OK && box.state != BOX_GONE)
        return true;
    store_result_t result = store_each_preview_from(store, name, 0, true, found_one, &found);
    return found || (result != STORE_OK && result != STORE_NOT_FOUND);
}

store_result_t store_claim_alias(store_t *store, str_t alias, str_t id)
{
    char owner[BOX_ID_MAX + 1], record[RECORD_ALIAS_MAX];
    store_result_t result = store_get_alias(store, alias, owner);
    if (!store_alias_valid(alias) || !box_id_valid(id))
        return store_refused(store, "not an alias", alias);
    if (result == STORE_OK)
        return str_eq(str_from(owner), id) ? STORE_OK : STORE_CONFLICT;
    if (result != STORE_NOT_FOUND)
        return result;
    if (!str_eq(alias, id) && is_a_box(store, alias))
        return STORE_CONFLICT;
    result = make_room(store);
    if (result == STORE_OK)
        result = table_write_begin(store->aliases);
    if (result != STORE_OK)
        return result;
    result = table_put(store->aliases, alias, 0, str_make(record, record_encode_alias(id, record)));
    if (result == STORE_OK)
        return table_write_commit(store->aliases);
    table_write_abort(store->aliases);
    return result;
}
