#include "api_search.h"

#include <assert.h>

/* ---- boxes of a call ---- */

static bool has_id(const deletion_call_t *call, str_t id)
{
    for (uint32_t i = 0; i < call->count; i++)
        if (str_eq(str_from(call->ids[i]), id))
            return true;
    return false;
}

bool api_search_add_id(deletion_call_t *call, str_t id)
{
    if (has_id(call, id))
        return true;
    if (call->count == STORE_DELETIONS_AT_ONCE)
        return false;
    memcpy(call->ids[call->count], id.p, id.n);
    call->ids[call->count++][id.n] = '\0';
    return true;
}

/* ---- boxes that the API shows ---- */

void api_search_add(api_search_t *search, str_t name)
{
    search->unreadable |= name.n == 0;
    for (size_t i = 0; i < search->name_count; i++)
        if (str_eq(search->names[i], name))
            return;
    assert(search->name_count < STORE_DELETIONS_AT_ONCE);
    search->names[search->name_count++] = name;
}

static str_t text_of(const json_t *box, const char *member)
{
    const json_t *text = json_object_get(box, member);
    return json_is_string(text) ? str_make(json_string_value(text), json_string_length(text)) : STR("");
}

/* Compares ids too: a list may have a box that a GET does not find. */
static bool is_meant(api_search_t *search, str_t id, str_t name)
{
    bool meant = false;
    for (size_t i = 0; i < search->name_count; i++) {
        bool matches = str_eq(search->names[i], id) || (name.n != 0 && str_eq(search->names[i], name));
        search->matched[i] |= matches;
        meant |= matches;
    }
    return meant;
}

bool api_search_take(api_search_t *search, const json_t *box)
{
    str_t id = text_of(box, "id"), name = text_of(box, "name");
    if (!box_id_valid(id))
        return false;
    search->shown |= name.n != 0;
    if (is_meant(search, id, name))
        search->meant_full |= !api_search_add_id(search->meant, id);
    else if (name.n == 0 || search->unreadable)
        if (!has_id(search->meant, id) && !has_id(search->maybe, id) && store_has_previews(search->store, id))
            search->maybe_full |= !api_search_add_id(search->maybe, id);
    return true;
}

/* Whether a member with this name marks a next page. */
static bool marks_next_page(const char *name)
{
    return strncasecmp(name, "next", 4) == 0 || strcasecmp(name, "has_more") == 0 ||
           strcasecmp(name, "hasMore") == 0;
}

/* Whether a member with this name counts all boxes, not those of a page. */
static bool counts_all(const char *name)
{
    return strcasecmp(name, "total") == 0 || strcasecmp(name, "total_count") == 0 ||
           strcasecmp(name, "totalCount") == 0;
}

/*
 * A server may cut a list silently. A list is complete only if a member beside it proves that: a total equal
 * to its length, or the lack of a next page. Any other member with a value may mark a partial list.
 */
static bool is_whole(const json_t *root, const json_t *list)
{
    const char *name;
    json_t *value;
    bool whole = false;
    json_object_foreach((json_t *)root, name, value)
    {
        bool nothing = json_is_null(value) || json_is_false(value) ||
                       (json_is_string(value) && json_string_length(value) == 0);
        bool all = counts_all(name) && json_is_integer(value) &&
                   json_integer_value(value) == (json_int_t)json_array_size(list);
        if (value != list && !nothing && !all)
            return false;
        whole |= all || (nothing && marks_next_page(name));
    }
    return whole;
}

/* The only array of the root; NULL: none, or several. */
static const json_t *list_in(const json_t *root)
{
    const json_t *list = NULL;
    const char *name;
    json_t *value;
    if (json_is_array(root))
        return root;
    json_object_foreach((json_t *)root, name, value)
    {
        if (!json_is_array(value))
            continue;
        if (list != NULL)
            return NULL;
        list = value;
    }
    return list;
}

bool api_search_take_list(api_search_t *search, str_t body)
{
    json_t *root = json_loadb(body.p != NULL ? body.p : "", body.n, JSON_REJECT_DUPLICATES, NULL);
    const json_t *list = list_in(root);
    bool whole = list != NULL && is_whole(root, list);
    size_t index;
    json_t *box;
    json_array_foreach(list, index, box) whole &= api_search_take(search, box);
    json_decref(root);
    return whole;
}

bool api_search_matched(const api_search_t *search)
{
    for (size_t i = 0; i < search->name_count; i++)
        if (!search->matched[i])
            return false;
    return true;
}

bool api_search_end(api_search_t *search)
{
    bool known = api_search_matched(search) || (search->shown && !search->unreadable);
    if (known)
        search->maybe->count = 0;
    return !search->meant_full && (known || !search->maybe_full);
}

/* ---- candidates ---- */

typedef struct candidates {
    const api_search_t *search;
    char (*ids)[BOX_ID_MAX + 1];
    size_t count, looked_at;
} candidates_t;

/* The store lists the previews of one box together. */
static bool take_preview(const store_preview_t *preview, void *arg)
{
    candidates_t *found = arg;
    bool known = (found->count != 0 && strcmp(found->ids[found->count - 1], preview->id) == 0) ||
                 has_id(found->search->meant, str_from(preview->id));
    bool too_many =
        found->looked_at++ == API_SEARCH_PREVIEWS || (!known && found->count == STORE_DELETIONS_AT_ONCE);
    if (too_many)
        found->count = STORE_DELETIONS_AT_ONCE + 1;
    else if (!known)
        memcpy(found->ids[found->count++], preview->id, sizeof(preview->id));
    return !too_many;
}

size_t api_search_candidates(const api_search_t *search, char ids[STORE_DELETIONS_AT_ONCE][BOX_ID_MAX + 1])
{
    candidates_t found = {.search = search, .ids = ids};
    store_result_t result = store_each_preview(search->store, take_preview, &found);
    return result == STORE_OK || result == STORE_NOT_FOUND ? found.count : STORE_DELETIONS_AT_ONCE + 1;
}
