/*
 * Calls that delete boxes by names that the API does not find. The edge searches the list of the caller's
 * boxes and, unless that list is complete, the boxes with previews one by one.
 */
#include "api.h"
#include "api_deletion_internal.h"
#include "arena.h"
#include "worker.h"

/* The boxes that would go are unknown: the caller gets the upstream's answer that it finds no box. */
static void refuse_unclear(api_deletion_t *deletion)
{
    api_deletion_refuse(deletion, deletion->no_box, deletion->content_type, deletion->body);
}

static void end_search(api_deletion_t *deletion)
{
    if (api_search_end(&deletion->search))
        api_deletion_note(deletion);
    else
        refuse_unclear(deletion);
}

static bool on_candidate(exchange_t *ex, size_t index, int status, const fields_t *fields, str_t body)
{
    api_deletion_t *deletion = ex->api->deletion;
    json_t *box = status == 200 ? json_loadb(body.p != NULL ? body.p : "", body.n, 0, NULL) : NULL;
    bool good = status == 200 ? api_search_take(&deletion->search, box)
                              : api_deletion_is_no_box(status) || (status >= 300 && status < 400);
    (void)index;
    json_decref(box);
    if (!good)
        api_deletion_refuse(deletion, status, fields_value(fields, FIELD_CONTENT_TYPE), body);
    return good;
}

static void on_candidates_shown(exchange_t *ex)
{
    end_search(ex->api->deletion);
}

static void look_at_each(api_deletion_t *deletion)
{
    exchange_t *ex = deletion->ex;
    char(*ids)[BOX_ID_MAX + 1] = arena_alloc(&ex->arena, STORE_DELETIONS_AT_ONCE * sizeof(*ids));
    str_t *paths = arena_alloc(&ex->arena, STORE_DELETIONS_AT_ONCE * sizeof(*paths));
    size_t count = api_search_candidates(&deletion->search, ids);
    if (count > STORE_DELETIONS_AT_ONCE) {
        refuse_unclear(deletion);
        return;
    }
    for (size_t i = 0; i < count; i++)
        paths[i] = api_box_path(ex, str_from(ids[i]));
    if (count == 0)
        end_search(deletion);
    else
        api_query_each(&deletion->questions, ex, paths, count, on_candidate, on_candidates_shown);
}

static bool has_word(str_t name, str_t word)
{
    for (size_t i = 0; i + word.n <= name.n; i++)
        if (str_ieq(str_make(name.p + i, word.n), word))
            return true;
    return false;
}

/* Fields with which an API announces further pages (RFC 8288, RFC 9110 section 14.4, and common names). */
static bool names_pages(const fields_t *fields)
{
    static const str_t words[] = {{"next", 4}, {"page", 4}, {"total", 5}, {"cursor", 6}, {"count", 5}};
    for (uint32_t i = 0; i < fields->count; i++) {
        str_t name = fields->at[i].name;
        if (str_ieq(name, STR("link")) || str_ieq(name, STR("content-range")))
            return true;
        for (size_t word = 0; word < sizeof(words) / sizeof(words[0]); word++)
            if (has_word(name, words[word]))
                return true;
    }
    return false;
}

static bool on_list(exchange_t *ex, size_t index, int status, const fields_t *fields, str_t body)
{
    api_deletion_t *deletion = ex->api->deletion;
    (void)index;
    bool whole = status == 200 && api_search_take_list(&deletion->search, body);
    deletion->listed = whole && !names_pages(fields);
    return true;
}

/* An incomplete list does not end the search: boxes on further pages may have the same names. */
static void on_listed(exchange_t *ex)
{
    api_deletion_t *deletion = ex->api->deletion;
    if (deletion->listed)
        end_search(deletion);
    else
        look_at_each(deletion);
}

static bool is_found(const api_deletion_t *deletion, str_t name)
{
    for (size_t i = 0; i < deletion->count; i++)
        if (deletion->targets[i].found && str_eq(deletion->targets[i].name, name))
            return true;
    return false;
}

void api_deletion_search(exchange_t *ex)
{
    static const str_t list = {"/v2/box", 7};
    api_deletion_t *deletion = ex->api->deletion;
    api_search_t *search = &deletion->search;
    *search = (api_search_t){
        .store = worker_of(ex->context)->store, .meant = &deletion->call, .maybe = &deletion->maybe};
    for (size_t i = 0; i < deletion->count; i++)
        if (!is_found(deletion, deletion->targets[i].name))
            api_search_add(search, deletion->targets[i].name);
    if (search->name_count == 0)
        api_deletion_note(deletion);
    else
        api_query_each(&deletion->questions, ex, &list, 1, on_list, on_listed);
}

static bool is_among(const deletion_call_t *call, str_t id)
{
    for (uint32_t i = 0; i < call->count; i++)
        if (str_eq(str_from(call->ids[i]), id))
            return true;
    return false;
}

static bool is_unseen(const api_deletion_t *deletion, str_t name)
{
    return box_id_valid(name) && !is_among(&deletion->call, name) && !is_among(&deletion->maybe, name) &&
           store_has_previews(worker_of(deletion->ex->context)->store, name);
}

bool api_deletion_find_unseen(api_deletion_t *deletion)
{
    worker_t *worker = worker_of(deletion->ex->context);
    const api_search_t *search = &deletion->search;
    store_box_t box;
    for (size_t i = 0; i < search->name_count; i++) {
        if (!is_unseen(deletion, search->names[i]))
            continue;
        /* One doubt ends before the next begins: calls in a row must not keep a box out of service. */
        if (store_get_box(worker->store, search->names[i], &box) == STORE_OK && box.doubted)
            return false;
        if (deletion->unseen == NULL) {
            deletion->unseen = arena_alloc(&deletion->ex->arena, sizeof(*deletion->unseen));
            *deletion->unseen = (deletion_call_t){0};
        }
        if (!api_search_add_id(deletion->unseen, search->names[i]) ||
            !doubts_reserve(shm_doubts(worker->context.shm), worker->context.index, &deletion->claim,
                            search->names[i]))
            return false;
    }
    return true;
}
