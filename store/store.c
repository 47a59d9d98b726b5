#include "store.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "record.h"
#include "store_internal.h"
#include "store_made.h"

/* A table rather than a switch: each turn of a worker asks all parts. */
table_t *store_part(const store_t *store, store_part_t part)
{
    static const size_t at[STORE_PARTS] = {
        [STORE_PART_PREVIEWS] = offsetof(store_t, previews),
        [STORE_PART_RULES] = offsetof(store_t, rules),
        [STORE_PART_KEYS] = offsetof(store_t, keys),
        [STORE_PART_DELETIONS] = offsetof(store_t, deletions),
        [STORE_PART_ALIASES] = offsetof(store_t, aliases),
        [STORE_PART_BOXES] = offsetof(store_t, boxes),
        [STORE_PART_LINKS] = offsetof(store_t, links),
    };
    assert(part < STORE_PARTS);
    return *(table_t *const *)((const char *)store + at[part]);
}

bool store_whole(store_t *store)
{
    for (unsigned i = 0; i < STORE_PARTS; i++)
        if (!table_whole(store_part(store, (store_part_t)i)))
            return false;
    return true;
}

uint64_t store_damaged(const store_t *store)
{
    uint64_t damaged = 0;
    for (unsigned i = 0; i < STORE_PARTS; i++)
        damaged |= table_damaged(store_part(store, (store_part_t)i)) ? STORE_PART(i) : 0;
    return damaged;
}

void store_set_known_damage(store_t *store, const _Atomic uint64_t *known)
{
    store->known = known;
    for (unsigned i = 0; i < STORE_PARTS; i++)
        table_set_known_damage(store_part(store, (store_part_t)i), known, STORE_PART(i));
}

void store_close(store_t **store)
{
    if (*store == NULL)
        return;
    table_close(&(*store)->previews);
    table_close(&(*store)->boxes);
    table_close(&(*store)->rules);
    table_close(&(*store)->keys);
    table_close(&(*store)->deletions);
    table_close(&(*store)->aliases);
    table_close(&(*store)->links);
    free((*store)->ended);
    free((*store)->durable_dir);
    free((*store)->volatile_dir);
    free(*store);
    *store = NULL;
}

const char *store_error(const store_t *store)
{
    return store->error;
}

store_result_t store_refused(store_t *store, const char *why, str_t id)
{
    snprintf(store->error, sizeof(store->error), "%s: %.*s", why, id.n > BOX_ID_MAX ? BOX_ID_MAX : (int)id.n,
             id.p);
    store->bad_record = true;
    return STORE_FAILED;
}

bool store_bad_record(const store_t *store)
{
    return store->bad_record;
}

/* ---- readers ---- */

store_result_t store_read(store_t *store, table_t *table, str_t id, uint16_t port, str_t *record)
{
    store->bad_record = false;
    store_result_t result = table_read_begin(table);
    if (result != STORE_OK)
        return result;
    result = table_find(table, id, port, record);
    if (result == STORE_OK)
        return result;
    store->bad_record = result == STORE_FAILED && table_bad_record(table);
    table_read_end(table);
    return result;
}

store_result_t store_get_preview(store_t *store, str_t id, uint16_t port, store_preview_t *out)
{
    str_t record;
    store_result_t result = store_read(store, store->previews, id, port, &record);
    if (result != STORE_OK)
        return result;
    if (!record_decode_preview(record, id, port, out))
        result = store_refused(store, "this edge cannot read the record of a preview", id);
    table_read_end(store->previews);
    return result;
}

store_result_t store_get_box(store_t *store, str_t id, store_box_t *out)
{
    str_t record;
    store_result_t result = store_read(store, store->boxes, id, 0, &record);
    if (result != STORE_OK)
        return result;
    if (!record_decode_box(record, id, out))
        result = store_refused(store, "this edge cannot read the record of box", id);
    table_read_end(store->boxes);
    return result;
}

typedef struct each_preview {
    bool (*call)(const store_preview_t *, void *);
    void *arg;
    str_t only; /* previews of this box; empty: all */
} each_preview_t;

static bool on_preview(str_t id, uint16_t port, str_t record, void *arg)
{
    const each_preview_t *each = arg;
    if (each->only.n != 0 && !str_eq(id, each->only))
        return false;
    store_preview_t preview;
    return !record_decode_preview(record, id, port, &preview) || each->call(&preview, each->arg);
}

store_result_t store_each_preview(store_t *store, bool (*each)(const store_preview_t *, void *), void *arg)
{
    return store_each_preview_from(store, STR(""), 0, false, each, arg);
}

store_result_t store_each_preview_from(store_t *store, str_t id, uint16_t port, bool box_only,
                                       bool (*each)(const store_preview_t *, void *), void *arg)
{
    if (box_only && id.n == 0)
        return STORE_OK;
    each_preview_t call = {.call = each, .arg = arg};
    if (box_only)
        call.only = id;
    store_result_t result = table_read_begin(store->previews);
    if (result != STORE_OK)
        return result;
    result = table_each(store->previews, id, port, on_preview, &call);
    table_read_end(store->previews);
    return result;
}

static bool note_one(const store_preview_t *preview, void *found)
{
    (void)preview;
    *(bool *)found = true;
    return false;
}

bool store_has_previews(store_t *store, str_t id)
{
    bool found = false;
    store_result_t result = store_each_preview_from(store, id, 0, true, note_one, &found);
    return found || (result != STORE_OK && result != STORE_NOT_FOUND);
}

typedef struct each_box {
    bool (*call)(const store_box_t *, void *);
    void *arg;
} each_box_t;

static bool on_box(str_t id, uint16_t port, str_t record, void *arg)
{
    (void)port;
    const each_box_t *each = arg;
    store_box_t box;
    return !record_decode_box(record, id, &box) || each->call(&box, each->arg);
}

store_result_t store_each_box(store_t *store, bool (*each)(const store_box_t *, void *), void *arg)
{
    each_box_t call = {.call = each, .arg = arg};
    store_result_t result = table_read_begin(store->boxes);
    if (result != STORE_OK)
        return result;
    result = table_each(store->boxes, STR(""), 0, on_box, &call);
    table_read_end(store->boxes);
    return result;
}

/* table_get_stats in a separate transaction. */
static store_result_t stats_of(table_t *table, table_stats_t *out)
{
    store_result_t result = table_read_begin(table);
    if (result != STORE_OK)
        return result;
    result = table_get_stats(table, out);
    table_read_end(table);
    return result;
}

store_result_t store_get_stats(store_t *store, store_stats_t *out)
{
    table_stats_t previews, boxes;
    store_result_t result = stats_of(store->previews, &previews);
    if (result == STORE_OK)
        result = stats_of(store->boxes, &boxes);
    if (result != STORE_OK)
        return result;
    store_trouble_t durable = store_trouble(store, true), in_memory = store_trouble(store, false);
    uint64_t blocks = 0;
    bool blocks_known = store_count_blocks(store, &blocks) == STORE_OK;
    *out = (store_stats_t){.previews = previews.records,
                           .boxes = boxes.records,
                           .durable_bytes = previews.bytes,
                           .volatile_bytes = boxes.bytes,
                           .map_bytes = store->map_bytes,
                           .readers = previews.readers + boxes.readers,
                           .blocks = blocks,
                           .blocks_known = blocks_known,
                           .durable_failed = durable.failed,
                           .volatile_failed = in_memory.failed,
                           .durable_trouble = durable.why != NULL,
                           .volatile_trouble = in_memory.why != NULL};
    return STORE_OK;
}

/* ---- the writer ---- */

typedef enum work_kind { WORK_PREVIEWS, WORK_PUT_BOX, WORK_DELETE_BOX } work_kind_t;

/* The changes of one transaction. */
typedef struct work {
    work_kind_t kind;
    table_t *table;
    store_change_t *changes; /* of WORK_PREVIEWS */
    size_t count;
    str_t box_id;           /* of WORK_PUT_BOX and WORK_DELETE_BOX */
    const store_box_t *box; /* of WORK_PUT_BOX */
} work_t;

static str_t id_of(const char id[BOX_ID_MAX + 1])
{
    return str_make(id, strnlen(id, BOX_ID_MAX + 1));
}

/* STORE_CONFLICT if a public preview would replace one with credentials. Those of a damaged record are
 * unknown. */
static store_result_t check_private(store_t *store, const store_preview_t *preview)
{
    store_preview_t before;
    str_t record, id = id_of(preview->id);
    if (preview->bearer || preview->basic)
        return STORE_OK;
    store_result_t result = table_find_changed(store->previews, id, preview->port, &record);
    if (result == STORE_NOT_FOUND)
        return STORE_OK;
    if (result == STORE_FAILED && !table_bad_record(store->previews))
        return STORE_FAILED;
    if (result != STORE_OK || !record_decode_preview(record, id, preview->port, &before))
        return STORE_CONFLICT;
    bool expired = before.expires_at != 0 && before.expires_at <= preview->created_at;
    return !expired && (before.bearer || before.basic) ? STORE_CONFLICT : STORE_OK;
}

/* Makes one change of a preview within the open transaction. */
static store_result_t make_preview(store_t *store, store_change_t *change)
{
    store_preview_t *preview = &change->preview;
    str_t id = id_of(preview->id);
    store_result_t result = STORE_OK;
    if (!change->remove && change->stay_private)
        result = check_private(store, preview);
    if (result == STORE_OK && !change->remove && preview->alias[0] != '\0')
        result = store_check_alias(store, str_from(preview->alias), id);
    if (result == STORE_OK && !change->keep_version)
        result = table_next(store->previews, &preview->version);
    if (result != STORE_OK)
        return result;
    if (change->remove)
        return table_delete(store->previews, id, preview->port);
    char record[RECORD_PREVIEW_MAX];
    size_t n = record_encode_preview(preview, record);
    return table_put(store->previews, id, preview->port, str_make(record, n));
}

static bool preview_valid(const store_preview_t *preview)
{
    str_t id = id_of(preview->id);
    return box_id_valid(id) && preview->port != 0 && preview_label_fits(id, preview->port) &&
           preview->host_header <= HOST_HEADER_LAST && preview->protocol <= PREVIEW_H2C &&
           memchr(preview->label, '\0', sizeof(preview->label)) != NULL &&
           (preview->alias[0] == '\0' || (memchr(preview->alias, '\0', sizeof(preview->alias)) != NULL &&
                                          store_alias_valid(str_from(preview->alias)))) &&
           memchr(preview->allow_origins, '\0', sizeof(preview->allow_origins)) != NULL;
}

/* Returns STORE_OK if changes are to be committed, STORE_NOT_FOUND if not. */
static store_result_t make_previews(store_t *store, const work_t *work)
{
    store_result_t all = STORE_NOT_FOUND;
    for (size_t i = 0; i < work->count; i++) {
        store_change_t *change = &work->changes[i];
        if (!change->remove && !preview_valid(&change->preview)) {
            change->result = store_refused(store, "not a preview", id_of(change->preview.id));
            continue;
        }
        change->result = make_preview(store, change);
        if (change->result == STORE_OK)
            all = STORE_OK;
        else if (change->result != STORE_NOT_FOUND && change->result != STORE_CONFLICT &&
                 change->result != STORE_TAKEN)
            return change->result;
    }
    return all;
}

/* Does the work within the open transaction; results as of make_previews. */
static store_result_t make_work(store_t *store, const work_t *work)
{
    char record[RECORD_BOX_BYTES];
    switch (work->kind) {
    case WORK_PREVIEWS:
        return make_previews(store, work);
    case WORK_PUT_BOX:
        record_encode_box(work->box, record);
        return table_put(store->boxes, work->box_id, 0, str_make(record, sizeof(record)));
    case WORK_DELETE_BOX:
        return table_delete(store->boxes, work->box_id, 0);
    }
    abort();
}

static store_result_t commit_work(store_t *store, const work_t *work)
{
    store_result_t result = table_write_begin(work->table);
    if (result != STORE_OK)
        return result;
    result = make_work(store, work);
    if (result == STORE_OK)
        return table_write_commit(work->table);
    table_write_abort(work->table);
    return result;
}

static bool has_record(table_t *table, str_t id, uint16_t port)
{
    if (table_read_begin(table) != STORE_OK)
        return false;
    str_t record;
    bool has = table_find(table, id, port, &record) == STORE_OK;
    table_read_end(table);
    return has;
}

/* Returns whether the work only replaces and deletes. */
static bool adds_nothing(const work_t *work)
{
    if (work->kind == WORK_DELETE_BOX)
        return true;
    if (work->kind == WORK_PUT_BOX)
        return has_record(work->table, work->box_id, 0);
    for (size_t i = 0; i < work->count; i++) {
        const store_change_t *change = &work->changes[i];
        if (!change->remove && !has_record(work->table, id_of(change->preview.id), change->preview.port))
            return false;
    }
    return true;
}

/* Does the work in one transaction. Uses the reserve if the map is full and the work adds no
 * records. */
static store_result_t do_work(store_t *store, const work_t *work)
{
    store_result_t result = commit_work(store, work);
    if (result != STORE_FULL || !adds_nothing(work))
        return result;
    table_use_reserve(work->table, true);
    result = commit_work(store, work);
    table_use_reserve(work->table, false);
    return result;
}

store_result_t store_apply(store_t *store, store_change_t *changes, size_t count)
{
    assert(count <= STORE_APPLY_MAX);
    work_t work = {.kind = WORK_PREVIEWS, .table = store->previews, .changes = changes, .count = count};
    store_result_t result = do_work(store, &work);
    if (result == STORE_OK || result == STORE_NOT_FOUND)
        return STORE_OK;
    for (size_t i = 0; i < count; i++) {
        changes[i].result = result;
        changes[i].disk_error = table_disk_error(store->previews);
    }
    return result;
}

store_result_t store_put_preview(store_t *store, store_preview_t *preview)
{
    store_change_t change = {.preview = *preview};
    store_result_t result = store_apply(store, &change, 1);
    if (result != STORE_OK)
        return result;
    preview->version = change.preview.version;
    return change.result;
}

store_result_t store_delete_preview(store_t *store, str_t id, uint16_t port)
{
    store_change_t change = {.remove = true, .preview.port = port};
    if (id.n == 0 || id.n > BOX_ID_MAX)
        return STORE_NOT_FOUND;
    memcpy(change.preview.id, id.p, id.n);
    store_result_t result = store_apply(store, &change, 1);
    return result == STORE_OK ? change.result : result;
}

store_result_t store_put_box(store_t *store, const store_box_t *box)
{
    str_t id = id_of(box->id);
    if (!box_id_valid(id) || box->state == BOX_UNKNOWN || box->state > BOX_GONE)
        return store_refused(store, "not a box", id);
    return do_work(store, &(work_t){.kind = WORK_PUT_BOX, .table = store->boxes, .box_id = id, .box = box});
}

store_result_t store_delete_box(store_t *store, str_t id)
{
    if (!box_id_valid(id))
        return STORE_NOT_FOUND;
    return do_work(store, &(work_t){.kind = WORK_DELETE_BOX, .table = store->boxes, .box_id = id});
}

int store_reap_readers(store_t *store)
{
    int reaped = 0;
    for (unsigned i = 0; i < STORE_PARTS; i++)
        reaped += table_reap_readers(store_part(store, (store_part_t)i));
    return reaped;
}
