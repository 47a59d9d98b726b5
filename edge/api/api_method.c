#include "api_method.h"

#include "arena.h"
#include "credentials.h"

static bool is_override(str_t name)
{
    static const str_t names[] = {
        {"x-http-method-override", 22}, {"x-http-method", 13}, {"x-method-override", 17}};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (str_ieq_alias(name, names[i]))
            return true;
    return false;
}

/* Frameworks take one element of a list. */
static bool names_delete(str_t value)
{
    while (value.n > 0) {
        const char *comma = memchr(value.p, ',', value.n);
        size_t n = comma != NULL ? (size_t)(comma - value.p) : value.n;
        if (str_ieq(str_trim(str_make(value.p, n)), STR("DELETE")))
            return true;
        value = str_from_offset(value, comma != NULL ? n + 1 : n);
    }
    return false;
}

static bool is_delete(const request_t *request)
{
    return str_ieq(request->method, STR("DELETE"));
}

bool api_method_overrides(const request_t *request, const field_t *field)
{
    return !is_delete(request) && field->id == FIELD_OTHER && is_override(field->name) &&
           names_delete(field->value);
}

bool api_method_deletes(const request_t *request)
{
    if (is_delete(request))
        return true;
    for (uint32_t i = 0; i < request->fields.count; i++)
        if (api_method_overrides(request, &request->fields.at[i]))
            return true;
    return false;
}

/* ---- queries and forms ---- */

static bool contains(str_t text, str_t part)
{
    for (size_t i = 0; i + part.n <= text.n; i++)
        if (str_ieq(str_make(text.p + i, part.n), part))
            return true;
    return false;
}

/* Whether a server may read a form in a body with this type, however it cuts parameters off. */
static bool may_be_form(str_t type)
{
    return contains(type, STR("urlencoded")) || contains(type, STR("multipart"));
}

/* Without a type the body may be a form, too. */
static bool takes_type_away(const field_t *field)
{
    return field->id == FIELD_CONNECTION && contains(field->value, STR("content-type"));
}

api_form_t api_method_form(const request_t *request)
{
    str_t type = fields_value(&request->fields, FIELD_CONTENT_TYPE);
    bool form = false;
    for (uint32_t i = 0; i < request->fields.count; i++) {
        const field_t *field = &request->fields.at[i];
        if (takes_type_away(field))
            return API_FORM_OPAQUE;
        form |= field->id == FIELD_CONTENT_TYPE && may_be_form(field->value);
    }
    if (!form)
        return API_FORM_NONE;
    bool plain = fields_count(&request->fields, FIELD_CONTENT_TYPE) == 1 &&
                 str_ieq(type, STR("application/x-www-form-urlencoded"));
    return plain ? API_FORM_PLAIN : API_FORM_OPAQUE;
}

/* The value of the encoded byte at `i`, or -1. */
static int encoded_byte(str_t text, size_t i)
{
    if (text.p[i] != '%' || text.n - i < 3)
        return -1;
    int high = str_hex_value(text.p[i + 1]), low = str_hex_value(text.p[i + 2]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

static bool may_name_method(str_t body, arena_t *pool)
{
    char *out = arena_alloc(pool, body.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < body.n; i++) {
        int byte = encoded_byte(body, i);
        out[n++] = byte >= 0 ? (char)byte : body.p[i];
        i += byte >= 0 ? 2 : 0;
    }
    return contains(str_make(out, n), STR("method"));
}

bool api_method_is_in_form(str_t body, arena_t *pool)
{
    return may_name_method(body, pool);
}

bool api_method_is_in_query(const request_t *request, arena_t *pool)
{
    str_t target = request->target;
    const char *mark = memchr(target.p, '?', target.n);
    return mark != NULL && may_name_method(str_from_offset(target, (size_t)(mark - target.p)), pool);
}

void api_method_set_type(request_t *request, arena_t *pool)
{
    bool found = false;
    for (uint32_t i = 0; i < request->fields.count; i++) {
        field_t *field = &request->fields.at[i];
        if (field->id != FIELD_CONTENT_TYPE)
            continue;
        found = true;
        if (field->value.n == 0)
            field->value = STR("application/json");
    }
    if (!found)
        fields_add(pool, &request->fields, FIELD_CONTENT_TYPE, STR("content-type"), STR("application/json"));
}
