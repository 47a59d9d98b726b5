/*
 * The upstream's answer to a GET, for the caller of a call that deletes boxes. A list has many boxes, so the
 * answer names the one that it is about.
 */
#include <assert.h>
#include <stdlib.h>

#include <jansson.h>

#include "api.h"
#include "api_deletion_internal.h"
#include "arena.h"

/* Maximum bytes of a box's name in an answer. */
#define SHOWN_NAME_BYTES 96

/* The name as in the path: encoded, so that it has only visible ASCII characters. */
static str_t shown_name(exchange_t *ex, str_t path)
{
    str_t name = str_from_offset(path, STR("/v2/box/").n);
    if (name.n <= SHOWN_NAME_BYTES)
        return name;
    return str_format(&ex->arena, "%.*s...", SHOWN_NAME_BYTES, name.p);
}

/* Other statuses are about the key, the rate or the upstream. */
static bool is_about_box(int status)
{
    return status >= 400 && status < 500 && status != 401 && status != 429;
}

/* The JSON of the answer, with the name in the sentence that the SDKs show. */
static str_t with_name(exchange_t *ex, str_t name, str_t body)
{
    json_t *object = json_loadb(body.p != NULL ? body.p : "", body.n, 0, NULL);
    const char *sentence = json_string_value(json_object_get(object, "error"));
    json_t *error =
        json_sprintf("Box %.*s: %s", STR_ARG(name), sentence != NULL ? sentence : "the API refused it.");
    if (!json_is_object(object)) {
        json_decref(object);
        object = json_object();
    }
    json_object_set_new(object, "error", error);
    char *text = json_dumps(object, JSON_COMPACT);
    assert(text != NULL);
    str_t named = str_dup(&ex->arena, str_from(text));
    free(text);
    json_decref(object);
    return named;
}

static void refuse_named(exchange_t *ex, str_t name, int status, const fields_t *fields, str_t body)
{
    fields_t json = {0};
    fields_add(&ex->arena, &json, FIELD_CONTENT_TYPE, STR("content-type"), STR("application/json"));
    for (uint32_t i = 0; i < fields->count; i++)
        fields_add(&ex->arena, &json, fields->at[i].id, fields->at[i].name, fields->at[i].value);
    api_pass_on(ex, status, &json, with_name(ex, name, body));
}

static void refuse_unusable(exchange_t *ex, str_t name)
{
    str_t sentence =
        str_format(&ex->arena, "The API's answer about box %.*s cannot be used.%c", STR_ARG(name), 0);
    exchange_reply_error(ex, 502, "bad_response", sentence.p, 0);
}

void api_deletion_refuse(api_deletion_t *deletion, str_t path, int status, const fields_t *fields, str_t body)
{
    exchange_t *ex = deletion->ex;
    deletion->stage = OVER;
    if (deletion->path.n != 0 || (status >= 300 && !is_about_box(status)))
        api_pass_on(ex, status >= 300 ? status : 0, fields, body);
    else if (status < 300)
        refuse_unusable(ex, shown_name(ex, path));
    else
        refuse_named(ex, shown_name(ex, path), status, fields, body);
}
