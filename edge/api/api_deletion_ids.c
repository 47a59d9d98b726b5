/*
 * Replaces the names of boxes by their ids in calls that delete boxes. Names change hands: another box may
 * get the name between the upstream's answer to the GET and the deletion. A client may delay the deletion as
 * long as it likes.
 */
#include <stdlib.h>

#include "api.h"
#include "api_deletion_internal.h"
#include "arena.h"

static const char *id_of(const api_deletion_t *deletion, str_t name)
{
    for (size_t i = 0; i < deletion->count; i++)
        if (deletion->targets[i].found && str_eq(deletion->targets[i].name, name))
            return deletion->targets[i].id;
    return NULL;
}

/* Leaves a path that the upstream and a lenient server read differently, since it may mean two boxes. */
static void rewrite_path(api_deletion_t *deletion)
{
    exchange_t *ex = deletion->ex;
    const target_t *target = &deletion->targets[0];
    str_t id = str_from(target->id);
    if (!target->found || deletion->call.count != 1 || str_eq(target->name, id))
        return;
    str_t path = api_box_path(ex, id), query = str_from_offset(ex->request.target, deletion->path.n);
    ex->request.target = str_format(&ex->arena, "%.*s%.*s", STR_ARG(path), STR_ARG(query));
}

/* Puts ids in place of names in `ids`. True: there was a name. */
static bool replace_names(const api_deletion_t *deletion, json_t *ids)
{
    bool any = false;
    for (size_t i = 0; i < json_array_size(ids); i++) {
        const json_t *one = json_array_get(ids, i);
        str_t name = str_make(json_string_value(one), json_string_length(one));
        const char *id = id_of(deletion, name);
        if (id == NULL || str_eq(str_from(id), name))
            continue;
        any = json_array_set_new(ids, i, json_string(id)) == 0 || any;
    }
    return any;
}

static void rewrite_body(api_deletion_t *deletion)
{
    exchange_t *ex = deletion->ex;
    str_t body = buffer_str(&ex->held);
    json_t *object = json_loadb(body.p, body.n, JSON_REJECT_DUPLICATES, NULL);
    if (replace_names(deletion, json_object_get(object, "ids"))) {
        char *text = json_dumps(object, JSON_COMPACT);
        str_t written = str_from(text);
        buffer_clear(&ex->held, &ex->account);
        buffer_append(&ex->held, written, &ex->account);
        if (ex->request.content_length != LENGTH_UNKNOWN)
            ex->request.content_length = written.n;
        free(text);
    }
    json_decref(object);
}

void api_deletion_name_by_ids(api_deletion_t *deletion)
{
    if (deletion->path.n != 0)
        rewrite_path(deletion);
    else
        rewrite_body(deletion);
}
