/*
 * Links, in a separate environment. A link has a record under ("<box>-<port>", place). One with a host label
 * has a second record, under "~" and the label, with the name of the first; one transaction writes both. No
 * box id has a "~", and all names sort before it.
 */
#include "store_links.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "order.h"
#include "record.h"
#include "store_internal.h"

/* Address space only. The longest labels and paths take about 110 MB, so a revocation always fits. */
#define LINKS_MAP_BYTES (256u << 20)
#define ALIAS_MARK      '~'
#define NAME_MAX_BYTES  (BOX_ID_MAX + 1 + 5)
/* Maximum removals in one commit. */
#define SWEEP_MAX 256

_Static_assert(NAME_MAX_BYTES <= ORDER_ID_MAX && BOX_ID_MAX + 1 <= ORDER_ID_MAX, "they are ids of a table");
_Static_assert(STORE_LINKS_PER_PREVIEW <= 256, "a place is the lowest byte of an id");

bool store_open_links(store_t *store, const char *durable_dir, bool writer)
{
    store->links = store_open_beside(store, durable_dir, STORE_PART_LINKS, LINKS_MAP_BYTES, writer);
    return store->links != NULL;
}

uint64_t store_link_id(uint64_t random, unsigned place)
{
    assert(place < STORE_LINKS_PER_PREVIEW);
    uint64_t high = random >> 8 != 0 ? random >> 8 : 1;
    return high << 8 | place;
}

bool store_link_alias_valid(str_t alias)
{
    return store_alias_valid(alias) && memchr(alias.p, '-', alias.n) == NULL;
}

static uint16_t place_of(uint64_t id)
{
    return (uint16_t)(id & 0xff);
}

/* The table's id for the links of a preview. */
static str_t name_of(str_t box, uint16_t port, char out[NAME_MAX_BYTES + 1])
{
    int n = snprintf(out, NAME_MAX_BYTES + 1, "%.*s-%u", STR_ARG(box), port);
    assert(n > 0 && n <= NAME_MAX_BYTES);
    return str_make(out, (size_t)n);
}

static str_t alias_name(str_t alias, char out[BOX_ID_MAX + 2])
{
    assert(alias.n <= BOX_ID_MAX);
    out[0] = ALIAS_MARK;
    memcpy(out + 1, alias.p, alias.n);
    return str_make(out, alias.n + 1);
}

/* ---- readers ---- */

store_result_t store_get_link(store_t *store, str_t box, uint16_t port, uint64_t id, store_link_t *out)
{
    char bytes[NAME_MAX_BYTES + 1];
    str_t record;
    if (!box_id_valid(box) || place_of(id) >= STORE_LINKS_PER_PREVIEW)
        return STORE_NOT_FOUND;
    str_t name = name_of(box, port, bytes);
    store_result_t result = store_read(store, store->links, name, place_of(id), &record);
    if (result != STORE_OK)
        return result;
    if (!record_decode_link(record, name, place_of(id), out))
        result = store_refused(store, "this edge cannot read the record of a link of", box);
    table_read_end(store->links);
    return result == STORE_OK && out->id != id ? STORE_NOT_FOUND : result;
}

store_result_t store_find_link(store_t *store, str_t alias, store_link_t *out)
{
    char bytes[BOX_ID_MAX + 2], box[BOX_ID_MAX + 1];
    uint16_t port;
    uint64_t id;
    str_t record;
    if (!store_link_alias_valid(alias))
        return STORE_NOT_FOUND;
    store_result_t result = store_read(store, store->links, alias_name(alias, bytes), 0, &record);
    if (result != STORE_OK)
        return result;
    if (!record_decode_link_alias(record, box, &port, &id))
        result = store_refused(store, "this edge cannot read the record of a link's host", alias);
    table_read_end(store->links);
    if (result == STORE_OK)
        result = store_get_link(store, str_from(box), port, id, out);
    return result == STORE_OK && !str_eq(str_from(out->alias), alias) ? STORE_NOT_FOUND : result;
}

typedef struct link_walk {
    bool (*each)(const store_link_t *, void *);
    void *arg;
    str_t box;
    uint16_t port;
    str_t prefix; /* of the names: "<box>-", or "<box>-<port>" */
} link_walk_t;

static bool on_link(str_t id, uint16_t place, str_t record, void *arg)
{
    const link_walk_t *walk = arg;
    store_link_t link;
    if (id.p[0] == ALIAS_MARK || !str_starts(id, walk->prefix) || (walk->port != 0 && id.n != walk->prefix.n))
        return false;
    if (!record_decode_link(record, id, place, &link) ||
        (walk->box.n != 0 && !str_eq(str_from(link.box), walk->box))) /* box "a" also meets box "a-b" */
        return true;
    return walk->each(&link, walk->arg);
}

store_result_t store_each_link(store_t *store, str_t box, uint16_t port,
                               bool (*each)(const store_link_t *, void *), void *arg)
{
    char bytes[NAME_MAX_BYTES + 1];
    link_walk_t walk = {.each = each, .arg = arg, .box = box, .port = port};
    assert(box.n <= BOX_ID_MAX && (box.n != 0 || port == 0));
    if (box.n != 0) {
        walk.prefix = name_of(box, port, bytes);
        walk.prefix.n -= port == 0; /* the digit */
    } else {
        walk.prefix = STR("");
    }
    store_result_t result = table_read_begin(store->links);
    if (result != STORE_OK)
        return result;
    result = table_each(store->links, walk.prefix, 0, on_link, &walk);
    table_read_end(store->links);
    return result;
}

/* ---- the writer ---- */

static store_result_t finish(store_t *store, store_result_t result)
{
    if (result == STORE_OK)
        return table_write_commit(store->links);
    table_write_abort(store->links);
    return result;
}

/* In an open transaction. */
static store_result_t put(store_t *store, const store_link_t *link)
{
    char bytes[NAME_MAX_BYTES + 1], alias[BOX_ID_MAX + 2], record[RECORD_LINK_MAX];
    str_t name = name_of(str_from(link->box), link->port, bytes);
    size_t n = record_encode_link(link, record);
    store_result_t result = table_put(store->links, name, place_of(link->id), str_make(record, n));
    if (result != STORE_OK || link->alias[0] == '\0')
        return result;
    n = record_encode_link_alias(link, record);
    return table_put(store->links, alias_name(str_from(link->alias), alias), 0, str_make(record, n));
}

/* In an open transaction. */
static store_result_t take_away(store_t *store, const store_link_t *link)
{
    char bytes[NAME_MAX_BYTES + 1], alias[BOX_ID_MAX + 2];
    str_t name = name_of(str_from(link->box), link->port, bytes);
    store_result_t result = table_delete(store->links, name, place_of(link->id));
    if ((result == STORE_OK || result == STORE_NOT_FOUND) && link->alias[0] != '\0') {
        store_result_t second = table_delete(store->links, alias_name(str_from(link->alias), alias), 0);
        result = second == STORE_NOT_FOUND ? result : second;
    }
    return result;
}

/* Writes the record of an existing link, also into a full map. */
static store_result_t replace(store_t *store, const store_link_t *link)
{
    store_result_t result = STORE_FULL;
    for (int reserve = 0; reserve < 2 && result == STORE_FULL; reserve++) {
        table_use_reserve(store->links, reserve != 0);
        result = table_write_begin(store->links);
        if (result == STORE_OK)
            result = finish(store, put(store, link));
    }
    table_use_reserve(store->links, false);
    return result;
}

static store_result_t erase(store_t *store, const store_link_t *links, size_t count)
{
    store_result_t result = STORE_FULL;
    for (int reserve = 0; reserve < 2 && result == STORE_FULL; reserve++) {
        table_use_reserve(store->links, reserve != 0);
        result = table_write_begin(store->links);
        if (result != STORE_OK)
            continue;
        for (size_t i = 0; i < count && (result == STORE_OK || result == STORE_NOT_FOUND); i++)
            result = take_away(store, &links[i]);
        result = finish(store, result == STORE_NOT_FOUND ? STORE_OK : result);
    }
    table_use_reserve(store->links, false);
    return result;
}

/* Whether a link has ended, also when that cannot change any more. STORE_FAILED: unknown. */
static store_result_t has_ended(store_t *store, const store_link_t *link, uint64_t now, bool *ended)
{
    store_preview_t preview;
    store_result_t result = store_get_preview(store, str_from(link->box), link->port, &preview);
    *ended =
        result == STORE_NOT_FOUND || (result == STORE_OK && !store_link_lives(link, preview.version, now));
    return result == STORE_NOT_FOUND ? STORE_OK : result;
}

/* Links in the order of their names, from one on. */
typedef struct batch {
    store_link_t *at;
    size_t count, max;
} batch_t;

static bool take_link(const store_link_t *link, void *arg)
{
    batch_t *batch = arg;
    batch->at[batch->count++] = *link;
    return batch->count < batch->max;
}

static bool take_any(str_t id, uint16_t place, str_t record, void *arg)
{
    store_link_t link;
    if (id.p[0] == ALIAS_MARK)
        return false;
    return !record_decode_link(record, id, place, &link) || take_link(&link, arg);
}

/* Removes the ended ones of up to SWEEP_MAX links from (`name`, `place`) on, which then become the last one
 * checked; `name` "": all were. */
static store_result_t sweep(store_t *store, batch_t *batch, char name[NAME_MAX_BYTES + 1], uint16_t *place,
                            uint64_t now)
{
    batch->count = 0;
    store_result_t result = table_read_begin(store->links);
    if (result != STORE_OK)
        return result;
    result = table_each(store->links, str_from(name), *place, take_any, batch);
    table_read_end(store->links);
    bool more = batch->count == batch->max;
    const store_link_t *last = &batch->at[batch->count - (batch->count != 0)];
    name[0] = '\0';
    if (more) {
        (void)name_of(str_from(last->box), last->port, name);
        *place = (uint16_t)(place_of(last->id) + 1);
    }
    size_t ended = 0;
    for (size_t i = 0; i < batch->count && result == STORE_OK; i++) {
        bool has;
        result = has_ended(store, &batch->at[i], now, &has);
        if (result == STORE_FAILED && store->bad_record) { /* of a damaged preview */
            result = STORE_OK;
            has = false;
        }
        if (has)
            batch->at[ended++] = batch->at[i];
    }
    return result == STORE_OK && ended != 0 ? erase(store, batch->at, ended) : result;
}

static store_result_t count_records(store_t *store, uint64_t *count)
{
    table_stats_t stats = {.records = 0};
    store_result_t result = table_read_begin(store->links);
    if (result != STORE_OK)
        return result;
    result = table_get_stats(store->links, &stats);
    table_read_end(store->links);
    *count = stats.records;
    return result;
}

/* A record of a host label counts as a link. */
static store_result_t make_room(store_t *store, uint64_t now)
{
    uint64_t count;
    char name[NAME_MAX_BYTES + 1] = "";
    uint16_t place = 0;
    store_result_t result = count_records(store, &count);
    if (result != STORE_OK || count + 2 <= STORE_LINKS_MAX)
        return result;
    batch_t batch = {.at = calloc(SWEEP_MAX, sizeof(store_link_t)), .max = SWEEP_MAX};
    assert(batch.at != NULL);
    do
        result = sweep(store, &batch, name, &place, now);
    while (result == STORE_OK && name[0] != '\0');
    free(batch.at);
    if (result == STORE_OK)
        result = count_records(store, &count);
    return result == STORE_OK && count + 2 > STORE_LINKS_MAX ? STORE_TOO_MANY : result;
}

/* Places of a preview's links. */
typedef struct places {
    const store_link_t *link; /* the new one */
    uint64_t now;
    bool used[STORE_LINKS_PER_PREVIEW];
    store_link_t ended; /* the last one found */
    bool has_ended;
} places_t;

static bool note_place(const store_link_t *link, void *arg)
{
    places_t *places = arg;
    places->used[place_of(link->id)] = true;
    if (!store_link_lives(link, places->link->version, places->now)) {
        places->ended = *link;
        places->has_ended = true;
    }
    return true;
}

/* Chooses a free place, or frees that of a link that has ended. */
static store_result_t choose_place(store_t *store, store_link_t *link, uint64_t now)
{
    places_t places = {.link = link, .now = now};
    store_result_t result = store_each_link(store, str_from(link->box), link->port, note_place, &places);
    if (result != STORE_OK)
        return result;
    for (unsigned i = 0; i < STORE_LINKS_PER_PREVIEW; i++) {
        if (places.used[i])
            continue;
        link->id = store_link_id(link->id, i);
        return STORE_OK;
    }
    if (!places.has_ended)
        return STORE_TOO_MANY;
    link->id = store_link_id(link->id, place_of(places.ended.id));
    return erase(store, &places.ended, 1);
}

static bool is_text(const char *text, size_t size)
{
    return memchr(text, '\0', size) != NULL;
}

static bool link_valid(const store_link_t *link)
{
    return is_text(link->box, sizeof(link->box)) && box_id_valid(str_from(link->box)) && link->port != 0 &&
           link->sessions != 0 && is_text(link->label, sizeof(link->label)) &&
           is_text(link->path, sizeof(link->path)) && link->path[0] == '/' &&
           is_text(link->alias, sizeof(link->alias)) &&
           (link->alias[0] == '\0' || store_link_alias_valid(str_from(link->alias)));
}

store_result_t store_put_link(store_t *store, store_link_t *link, uint64_t now)
{
    store_preview_t preview;
    store_link_t same;
    if (!link_valid(link))
        return store_refused(store, "not a link of", str_make(link->box, strnlen(link->box, BOX_ID_MAX)));
    store_result_t result = store_get_preview(store, str_from(link->box), link->port, &preview);
    if (result != STORE_OK)
        return result;
    if (preview.expires_at != 0 && preview.expires_at <= now)
        return STORE_NOT_FOUND;
    link->version = preview.version;
    result = make_room(store, now);
    if (result == STORE_OK && link->alias[0] != '\0') {
        result = store_find_link(store, str_from(link->alias), &same);
        result = result == STORE_OK ? STORE_CONFLICT : result == STORE_NOT_FOUND ? STORE_OK : result;
    }
    if (result == STORE_OK)
        result = choose_place(store, link, now);
    if (result == STORE_OK)
        result = table_write_begin(store->links);
    return result == STORE_OK ? finish(store, put(store, link)) : result;
}

store_result_t store_open_link(store_t *store, str_t box, uint16_t port, uint64_t id, uint64_t now,
                               store_link_t *out)
{
    bool ended;
    store_result_t result = store_get_link(store, box, port, id, out);
    if (result == STORE_OK)
        result = has_ended(store, out, now, &ended);
    if (result != STORE_OK)
        return result;
    if (ended)
        return STORE_NOT_FOUND;
    if (out->once && out->opened != 0)
        return STORE_CONFLICT;
    out->opened++;
    if (out->used_at < now)
        out->used_at = now;
    return replace(store, out);
}

store_result_t store_note_link(store_t *store, str_t box, uint16_t port, uint64_t id, uint64_t used_at)
{
    store_link_t link;
    store_result_t result = store_get_link(store, box, port, id, &link);
    if (result != STORE_OK || link.used_at >= used_at)
        return result;
    link.used_at = used_at;
    return replace(store, &link);
}

typedef struct search {
    uint64_t id;
    store_link_t *out;
    bool found;
} search_t;

static bool is_sought(const store_link_t *link, void *arg)
{
    search_t *search = arg;
    search->found = link->id == search->id;
    if (search->found)
        *search->out = *link;
    return !search->found;
}

store_result_t store_delete_link(store_t *store, uint64_t id, store_link_t *out)
{
    search_t search = {.id = id, .out = out};
    store_result_t result = store_each_link(store, STR(""), 0, is_sought, &search);
    if (result != STORE_OK)
        return result;
    return search.found ? erase(store, out, 1) : STORE_NOT_FOUND;
}
