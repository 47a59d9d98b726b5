#include "cdn_loop.h"

#include "arena.h"
#include "grammar.h"
#include "text.h"

static const str_t prefix = {"boxedge-", 8}, parameter = {"host=", 5};

/* The authority's host without its port; empty if a parameter cannot hold it (an IPv6 address). */
static str_t host_of(str_t authority)
{
    const char *colon = authority.n != 0 ? memrchr(authority.p, ':', authority.n) : NULL;
    str_t host = str_make(authority.p, colon != NULL ? (size_t)(colon - authority.p) : authority.n);
    return grammar_is_token(host) ? host : STR("");
}

str_t cdn_loop_mark(arena_t *pool, str_t node, str_t authority)
{
    str_t host = host_of(authority);
    text_t mark = text_new(pool, prefix.n + node.n + 1 + parameter.n + host.n);
    text_put(&mark, prefix);
    text_put(&mark, node);
    if (host.n != 0) {
        text_put(&mark, STR(";"));
        text_put(&mark, parameter);
        text_put(&mark, host);
    }
    return text_str(&mark);
}

/* Takes the text before the next ';' off the front. */
static str_t take_part(str_t *rest)
{
    const char *semicolon = rest->n != 0 ? memchr(rest->p, ';', rest->n) : NULL;
    size_t n = semicolon != NULL ? (size_t)(semicolon - rest->p) : rest->n;
    str_t part = str_trim(str_make(rest->p, n));
    *rest = str_from_offset(*rest, semicolon != NULL ? n + 1 : n);
    return part;
}

static bool is_of_node(str_t id, str_t node)
{
    return id.n == prefix.n + node.n && str_ieq(str_make(id.p, prefix.n), prefix) &&
           str_ieq(str_from_offset(id, prefix.n), node);
}

/* Whether the parameters in `rest` name the host. */
static bool names_host(str_t rest, str_t host)
{
    while (rest.n != 0) {
        str_t part = take_part(&rest);
        if (part.n == parameter.n + host.n && str_ieq(str_make(part.p, parameter.n), parameter) &&
            str_ieq(str_from_offset(part, parameter.n), host))
            return true;
    }
    return false;
}

bool cdn_loop_found(const fields_t *fields, str_t node, str_t authority)
{
    unsigned passes = 0;
    for (uint32_t i = 0; i < fields->count; i++) {
        if (fields->at[i].id != FIELD_CDN_LOOP)
            continue;
        str_t host = host_of(authority), rest = fields->at[i].value, element;
        while (str_next_element(&rest, &element)) {
            if (!is_of_node(take_part(&element), node))
                continue;
            if (++passes == CDN_LOOP_PASSES || (host.n != 0 && names_host(element, host)))
                return true;
        }
    }
    return false;
}
