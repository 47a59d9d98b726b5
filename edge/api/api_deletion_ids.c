/*
 * Writes the ids of boxes in place of their names into calls that delete boxes. Names change hands: another
 * box may get the name between the upstream's answer to the GET and the deletion. A client may delay the
 * deletion as long as it likes.
 */
#include <stdlib.h>

#include <jansson.h>

#include "api.h"
#include "api_deletion_internal.h"
#include "arena.h"

static void write_path(api_deletion_t *deletion)
{
    exchange_t *ex = deletion->ex;
    str_t path = api_box_path(ex, str_from(deletion->call.ids[0]));
    str_t query = str_from_offset(ex->request.target, deletion->path.n);
    ex->request.target = str_format(&ex->arena, "%.*s%.*s", STR_ARG(path), STR_ARG(query));
}

static void write_body(api_deletion_t *deletion)
{
    exchange_t *ex = deletion->ex;
    json_t *ids = json_array();
    for (uint32_t i = 0; i < deletion->call.count; i++)
        (void)json_array_append_new(ids, json_string(deletion->call.ids[i]));
    json_t *object = json_pack("{s:o}", "ids", ids);
    char *text = json_dumps(object, JSON_COMPACT);
    str_t written = str_from(text);
    buffer_clear(&ex->held, &ex->account);
    buffer_append(&ex->held, written, &ex->account);
    if (ex->request.content_length != LENGTH_UNKNOWN)
        ex->request.content_length = written.n;
    free(text);
    json_decref(object);
}

void api_deletion_name_by_ids(api_deletion_t *deletion)
{
    if (deletion->others == 0)
        return; /* the call names each box by its id, and is not touched */
    if (deletion->path.n != 0)
        write_path(deletion);
    else
        write_body(deletion);
}
