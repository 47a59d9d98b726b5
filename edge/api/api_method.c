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

bool api_method_is_in_query(const request_t *request, arena_t *pool)
{
    str_t target = request->target;
    char value[1];
    size_t len, value_len;
    if (!str_ieq(request->method, STR("POST")) || memchr(target.p, '?', target.n) == NULL)
        return false;
    char *rest = arena_alloc(pool, target.n);
    return query_take(target, STR("_method"), rest, &len, value, sizeof(value), &value_len);
}
