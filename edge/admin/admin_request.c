/* Helpers for requests of the admin API. */
#include <assert.h>

#include "admin_internal.h"

static bool is_printable(const char *text)
{
    for (; *text != '\0'; text++)
        if (*text < 0x20 || *text > 0x7e)
            return false;
    return true;
}

static void refuse_field(exchange_t *ex, const char *noun, const char *name, admin_fields_t fields)
{
    char known[256] = "";
    size_t used = 0;
    for (size_t i = 0; fields[i] != NULL; i++) {
        const char *before = i == 0 ? "" : fields[i + 1] != NULL ? ", " : " and ";
        int n = snprintf(known + used, sizeof known - used, "%s%s", before, fields[i]);
        used += (size_t)n;
        assert(used < sizeof known);
    }
    admin_error(ex, 400, "unknown_field", NULL, "%s has no field \"%.40s\": it has %s.", noun,
                is_printable(name) ? name : "?", known);
}

/* The first field that is not in the list, or NULL. */
static const char *unknown_field(json_t *object, admin_fields_t fields)
{
    const char *name;
    json_t *value;
    json_object_foreach(object, name, value)
    {
        bool found = false;
        for (size_t i = 0; fields[i] != NULL; i++)
            found |= strcmp(name, fields[i]) == 0;
        if (!found)
            return name;
    }
    return NULL;
}

json_t *admin_object(exchange_t *ex, str_t body, const char *noun, admin_fields_t fields)
{
    json_error_t error;
    json_t *object = json_loadb(body.n != 0 ? body.p : "", body.n, JSON_REJECT_DUPLICATES, &error);
    const char *unknown = json_is_object(object) ? unknown_field(object, fields) : NULL;
    if (object == NULL)
        admin_error(ex, 400, "bad_json", NULL, "The body is not valid JSON (line %d, column %d).", error.line,
                    error.column);
    else if (!json_is_object(object))
        admin_error(ex, 400, "bad_json", NULL, "The body must be a JSON object.");
    else if (unknown != NULL)
        refuse_field(ex, noun, unknown, fields);
    else
        return object;
    json_decref(object);
    return NULL;
}

bool admin_take_flag(exchange_t *ex, const json_t *object, const char *name, bool *out)
{
    const json_t *value = json_object_get(object, name);
    if (value != NULL && !json_is_boolean(value)) {
        admin_error(ex, 400, "bad_field", NULL, "\"%s\" must be true or false.", name);
        return false;
    }
    *out = json_is_true(value);
    return true;
}

bool admin_each_parameter(str_t target, bool (*take)(void *arg, str_t name, str_t value), void *arg)
{
    const char *mark = memchr(target.p, '?', target.n);
    str_t rest = mark != NULL ? str_from_offset(target, (size_t)(mark - target.p) + 1) : str_make("", 0);
    while (rest.n != 0) {
        const char *end = memchr(rest.p, '&', rest.n);
        str_t pair = str_make(rest.p, end != NULL ? (size_t)(end - rest.p) : rest.n);
        rest = str_from_offset(rest, end != NULL ? pair.n + 1 : pair.n);
        const char *equals = memchr(pair.p, '=', pair.n);
        if (equals == NULL)
            return false;
        size_t name_len = (size_t)(equals - pair.p);
        if (!take(arg, str_make(pair.p, name_len), str_from_offset(pair, name_len + 1)))
            return false;
    }
    return true;
}

bool admin_take_id(char out[BOX_ID_MAX + 1], str_t id)
{
    if (!box_id_valid(id))
        return false;
    memcpy(out, id.p, id.n);
    out[id.n] = '\0';
    return true;
}
