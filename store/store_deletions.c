/*
 * Requested deletions of boxes whose outcome is open: while a record exists, the box's previews are hidden.
 * They have a separate small environment, so that a store full of previews can still take one. Each call has
 * its own record: (box id, slot), slots from 1.
 */
#include <assert.h>
#include <stdlib.h>

#include "record.h"
#include "store_internal.h"

#define DELETIONS_MAP_BYTES (32 << 20)

/* The last boxes with an ended deletion, in a ring. A box that has left the ring could be any box,
 * so versions below `floor` count as older than its end. */
struct store_ended {
    uint64_t floor;
    size_t next;
    struct {
        char id[BOX_ID_MAX + 1];
        uint64_t version; /* of the commit that ended it; 0: free */
    } at[STORE_ENDED_MAX];
};

/* `floor` starts at the current version, because an earlier writer may have ended any box's
 * deletion. */
bool store_open_deletions(store_t *store, const char *durable_dir, bool writer)
{
    store->deletions =
        store_open_beside(store, durable_dir, STORE_PART_DELETIONS, DELETIONS_MAP_BYTES, writer);
    if (store->deletions == NULL || !writer)
        return store->deletions != NULL;
    store->ended = calloc(1, sizeof(*store->ended));
    assert(store->ended != NULL);
    store->ended->floor = table_version(store->deletions);
    if (store->ended->floor == UINT64_MAX)
        (void)store_refused(store, "cannot be read", STR("deletions"));
    return store->ended->floor != UINT64_MAX || store->patient; /* any deletion may have ended */
}

/* ---- readers ---- */

typedef struct deletion_walk {
    bool (*each)(const store_deletion_t *, void *);
    void *arg;
    str_t only; /* those of this box; empty: all */
} deletion_walk_t;

/* A damaged record counts as an unknown call. No worker has it, so a sweep closes it. The slot distinguishes
 * several of one box. */
static void make_lost(str_t id, uint16_t slot, store_deletion_t *out)
{
    *out = (store_deletion_t){.call = slot};
    memcpy(out->id, id.p, id.n);
}

static bool on_deletion(str_t id, uint16_t slot, str_t record, void *arg)
{
    const deletion_walk_t *walk = arg;
    store_deletion_t deletion;
    if (walk->only.n != 0 && !str_eq(id, walk->only))
        return false;
    if (id.n > BOX_ID_MAX)
        return true;
    if (record.p == NULL || !record_decode_deletion(record, id, &deletion))
        make_lost(id, slot, &deletion);
    deletion.slot = slot;
    return walk->each(&deletion, walk->arg);
}

store_result_t store_each_deletion(store_t *store, str_t id, bool (*each)(const store_deletion_t *, void *),
                                   void *arg)
{
    deletion_walk_t walk = {each, arg, id};
    store_result_t result = table_read_begin(store->deletions);
    if (result != STORE_OK)
        return result;
    result = table_each_name(store->deletions, id, 0, on_deletion, &walk);
    table_read_end(store->deletions);
    return result;
}

store_result_t store_is_being_deleted(store_t *store, str_t id)
{
    str_t record;
    store_result_t result = store_read(store, store->deletions, id, 1, &record);
    if (result == STORE_OK)
        table_read_end(store->deletions);
    return result;
}

uint64_t store_deletions_version(store_t *store)
{
    uint64_t version = table_version(store->deletions);
    return version != UINT64_MAX ? version : 0;
}

/* ---- the writer ---- */

/* `version` is that of the commit. */
static void note_ended(store_t *store, str_t id, uint64_t version)
{
    store_ended_t *ended = store->ended;
    size_t i = ended->next;
    ended->next = (i + 1) % STORE_ENDED_MAX;
    if (ended->at[i].version > ended->floor)
        ended->floor = ended->at[i].version;
    ended->at[i].version = version;
    memcpy(ended->at[i].id, id.p, id.n);
    ended->at[i].id[id.n] = '\0';
}

bool store_deletion_ended_since(const store_t *store, str_t id, uint64_t version)
{
    const store_ended_t *ended = store->ended;
    if (version < ended->floor)
        return true;
    for (size_t i = 0; i < STORE_ENDED_MAX; i++)
        if (ended->at[i].version > version && str_eq(str_from(ended->at[i].id), id))
            return true;
    return false;
}

/* The records of one box. */
typedef struct slots {
    store_deletion_t at[STORE_DELETIONS_PER_BOX];
    size_t count;
} slots_t;

static bool take_slot(const store_deletion_t *deletion, void *arg)
{
    slots_t *slots = arg;
    slots->at[slots->count++] = *deletion;
    return slots->count < STORE_DELETIONS_PER_BOX;
}

static store_result_t slots_of(store_t *store, const char *id, slots_t *slots)
{
    slots->count = 0;
    return store_each_deletion(store, str_from(id), take_slot, slots);
}

/* In an open transaction. The first slot of a box is in use whenever any is, so that one look-up
 * tells whether the box has records. */
static store_result_t put_slot(store_t *store, const store_deletion_t *deletion, size_t slot)
{
    char record[RECORD_DELETION_BYTES];
    record_encode_deletion(deletion, record);
    return table_put(store->deletions, str_from(deletion->id), (uint16_t)slot,
                     str_make(record, sizeof(record)));
}

static store_result_t finish(store_t *store, store_result_t result)
{
    if (result == STORE_OK)
        return table_write_commit(store->deletions);
    table_write_abort(store->deletions);
    return result;
}

/* Returns STORE_OK if `count` more records fit. */
static store_result_t has_room(store_t *store, size_t count)
{
    table_stats_t stats;
    store_result_t result = table_read_begin(store->deletions);
    if (result != STORE_OK)
        return result;
    result = table_get_stats(store->deletions, &stats);
    table_read_end(store->deletions);
    if (result != STORE_OK)
        return result;
    return stats.records + count <= STORE_DELETIONS_MAX ? STORE_OK : STORE_FULL;
}

/* Chooses a slot for each record; one box may occur twice. */
static store_result_t choose_slots(store_t *store, const store_deletion_t *deletions, size_t count,
                                   uint16_t *slots)
{
    slots_t taken;
    for (size_t i = 0; i < count; i++) {
        if (!box_id_valid(str_from(deletions[i].id)))
            return store_refused(store, "not a box", str_from(deletions[i].id));
        store_result_t result = slots_of(store, deletions[i].id, &taken);
        if (result != STORE_OK)
            return result;
        for (size_t j = 0; j < i; j++)
            taken.count += strcmp(deletions[i].id, deletions[j].id) == 0;
        if (taken.count >= STORE_DELETIONS_PER_BOX)
            return STORE_FULL;
        slots[i] = (uint16_t)(taken.count + 1);
    }
    return STORE_OK;
}

store_result_t store_put_deletions(store_t *store, const store_deletion_t *deletions, size_t count)
{
    uint16_t slots[STORE_DELETIONS_AT_ONCE] = {0};
    assert(count <= STORE_DELETIONS_AT_ONCE);
    store_result_t result = has_room(store, count);
    if (result == STORE_OK)
        result = choose_slots(store, deletions, count, slots);
    if (result == STORE_OK)
        result = table_write_begin(store->deletions);
    if (result != STORE_OK)
        return result;
    for (size_t i = 0; i < count && result == STORE_OK; i++)
        result = put_slot(store, &deletions[i], slots[i]);
    return finish(store, result);
}

store_result_t store_close_deletion(store_t *store, const store_deletion_t *deletion, uint64_t closed_at_ms)
{
    slots_t slots;
    store_result_t result = slots_of(store, deletion->id, &slots);
    for (size_t i = 0; result == STORE_OK && i < slots.count; i++) {
        if (slots.at[i].call != deletion->call)
            continue;
        slots.at[i].closed_at_ms = closed_at_ms;
        if (slots.at[i].requested_at_ms == 0) /* of a damaged record: no earlier report may settle it */
            slots.at[i].requested_at_ms = closed_at_ms;
        result = table_write_begin(store->deletions);
        return result != STORE_OK ? result : finish(store, put_slot(store, &slots.at[i], slots.at[i].slot));
    }
    return result == STORE_OK ? STORE_NOT_FOUND : result;
}

/* In an open transaction: rewrites the records in `kept` from the first slot on. */
static store_result_t rewrite(store_t *store, const slots_t *all, const slots_t *kept)
{
    store_result_t result = STORE_OK;
    for (size_t i = 0; i < all->count && result == STORE_OK; i++)
        result = table_delete(store->deletions, str_from(all->at[i].id), all->at[i].slot);
    for (size_t i = 0; i < kept->count && result == STORE_OK; i++)
        result = put_slot(store, &kept->at[i], i + 1);
    return result;
}

store_result_t store_end_deletions(store_t *store, str_t id, bool (*ends)(const store_deletion_t *, void *),
                                   void *arg)
{
    slots_t all = {.count = 0}, kept = {.count = 0};
    store_result_t result = store_each_deletion(store, id, take_slot, &all);
    if (id.n == 0 || result != STORE_OK)
        return result == STORE_OK ? STORE_NOT_FOUND : result;
    for (size_t i = 0; i < all.count; i++)
        if (ends != NULL && !ends(&all.at[i], arg))
            kept.at[kept.count++] = all.at[i];
    if (kept.count == all.count)
        return STORE_NOT_FOUND;
    result = table_write_begin(store->deletions);
    if (result != STORE_OK)
        return result;
    uint64_t version = table_write_version(store->deletions);
    result = finish(store, rewrite(store, &all, &kept));
    if (result == STORE_OK)
        note_ended(store, id, version);
    return result;
}
