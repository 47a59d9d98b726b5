/*
 * The forwarded request of a call that deletes boxes. It has the parts of the GETs by which the upstream has
 * shown the boxes, and their ids. By a query, a body or a cookie the upstream could delete other boxes. Names
 * change hands between the answer to the GET and the deletion.
 */
#include <stdlib.h>

#include <jansson.h>

#include "api.h"
#include "api_deletion_internal.h"
#include "api_method.h"
#include "arena.h"

/* A precondition (RFC 9110 section 13.1) only prevents a deletion: without it, more would go. */
static bool is_condition(str_t name)
{
    static const str_t prefix = {"if-", 3};
    return name.n > prefix.n && str_ieq(str_make(name.p, prefix.n), prefix);
}

static void write_fields(exchange_t *ex)
{
    fields_t fields = api_query_fields(ex);
    for (uint32_t i = 0; i < ex->request.fields.count; i++) {
        const field_t *field = &ex->request.fields.at[i];
        if (field->id == FIELD_OTHER &&
            (is_condition(field->name) || api_method_overrides(&ex->request, field)))
            fields_add(&ex->arena, &fields, field->id, field->name, field->value);
    }
    ex->request.fields = fields;
    ex->request.trailers.count = 0;
}

static void write_one(api_deletion_t *deletion)
{
    exchange_t *ex = deletion->ex;
    ex->request.target = api_box_path(ex, deletion->ids[0]);
    ex->request.has_body = false;
    ex->request.content_length = LENGTH_UNKNOWN;
    buffer_clear(&ex->held, &ex->account);
}

static void write_many(api_deletion_t *deletion)
{
    exchange_t *ex = deletion->ex;
    json_t *ids = json_array();
    for (size_t i = 0; i < deletion->box_count; i++)
        (void)json_array_append_new(ids, json_stringn(deletion->ids[i].p, deletion->ids[i].n));
    json_t *object = json_pack("{s:o}", "ids", ids);
    char *text = json_dumps(object, JSON_COMPACT);
    str_t written = str_from(text);
    buffer_clear(&ex->held, &ex->account);
    buffer_append(&ex->held, written, &ex->account);
    ex->request.target = STR("/v2/box");
    ex->request.content_length = written.n;
    fields_add(&ex->arena, &ex->request.fields, FIELD_CONTENT_TYPE, STR("content-type"),
               STR("application/json"));
    free(text);
    json_decref(object);
}

void api_deletion_write_request(api_deletion_t *deletion)
{
    write_fields(deletion->ex);
    if (deletion->path.n != 0)
        write_one(deletion);
    else
        write_many(deletion);
}
