#include "cookie.h"

#include <assert.h>

/* Takes the piece up to the next ';', and that ';', off *rest. *more: a ';' ended the piece, so
 * another piece, which may be empty, follows. */
static str_t take_piece(str_t *rest, bool *more)
{
    const char *end = rest->n != 0 ? memchr(rest->p, ';', rest->n) : NULL;
    str_t piece = *rest;
    *more = end != NULL;
    if (end == NULL) {
        rest->n = 0;
        return piece;
    }
    piece.n = (size_t)(end - rest->p);
    *rest = str_from_offset(*rest, piece.n + 1);
    return piece;
}

/* Cuts "name=value" at the first '='. Returns false without a '='; *name is then the whole piece. */
static bool split_pair(str_t piece, str_t *name, str_t *value)
{
    const char *equals = piece.n != 0 ? memchr(piece.p, '=', piece.n) : NULL;
    size_t len = equals != NULL ? (size_t)(equals - piece.p) : piece.n;
    *name = str_trim(str_make(piece.p, len));
    *value = equals != NULL ? str_trim(str_from_offset(piece, len + 1)) : (str_t){NULL, 0};
    return equals != NULL;
}

bool cookie_next(str_t *rest, str_t name, str_t *value)
{
    assert(name.n != 0);
    while (rest->n != 0) {
        bool more;
        str_t found;
        if (split_pair(take_piece(rest, &more), &found, value) && str_eq(found, name))
            return true;
    }
    return false;
}

/* Output that is never longer than the input read so far, so it may overwrite that input. */
typedef struct pieces {
    char *out;
    size_t len;
    bool any; /* a piece has been written */
} pieces_t;

static void pieces_add(pieces_t *to, str_t piece)
{
    if (to->any)
        to->out[to->len++] = ';';
    if (piece.n != 0)
        memmove(to->out + to->len, piece.p, piece.n);
    to->len += piece.n;
    to->any = true;
}

size_t cookie_remove(str_t header, str_t name, char *out, size_t cap)
{
    assert(name.n != 0 && cap >= header.n);
    pieces_t kept = {.out = out};
    bool more = header.n != 0, removed_first = false;
    for (bool first = true; more; first = false) {
        str_t found, value, piece = take_piece(&header, &more);
        if (split_pair(piece, &found, &value) && str_eq(found, name)) {
            removed_first |= first;
            continue;
        }
        /* A space after a removed separator must not become part of the first cookie. */
        while (removed_first && !kept.any && piece.n != 0 && (piece.p[0] == ' ' || piece.p[0] == '\t'))
            piece = str_from_offset(piece, 1);
        pieces_add(&kept, piece);
    }
    return kept.len;
}

/* ---- Set-Cookie ---- */

static bool is_host_character(char c)
{
    c = str_lower(c);
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
}

static str_t without_outer_dots(str_t host)
{
    while (host.n != 0 && host.p[0] == '.')
        host = str_from_offset(host, 1);
    while (host.n != 0 && host.p[host.n - 1] == '.')
        host.n--;
    return host;
}

/* Returns whether a cookie with this Domain attribute reaches, or may reach, other hosts than
 * `host`. */
static bool is_wider(str_t domain, str_t host)
{
    for (size_t i = 0; i < domain.n; i++)
        if (!is_host_character(domain.p[i]))
            return true;
    domain = without_outer_dots(domain);
    host = without_outer_dots(host);
    if (str_ieq(domain, STR("localhost")))
        return true; /* from an app that believes to run on it; browsers would drop the cookie */
    if (domain.n == 0 || domain.n >= host.n)
        return false;
    size_t before = host.n - domain.n;
    return host.p[before - 1] == '.' && str_ieq(str_from_offset(host, before), domain);
}

static bool attribute_is_wider(str_t attribute, str_t host)
{
    str_t name, value;
    return split_pair(attribute, &name, &value) && str_ieq(name, STR("domain")) && is_wider(value, host);
}

static bool any_is_wider(str_t value, str_t host)
{
    bool more;
    (void)take_piece(&value, &more);
    while (more)
        if (attribute_is_wider(take_piece(&value, &more), host))
            return true;
    return false;
}

bool set_cookie_confine(str_t value, str_t host, char *out, size_t cap, size_t *len)
{
    assert(cap >= value.n);
    if (!any_is_wider(value, host))
        return false;
    pieces_t kept = {.out = out};
    bool more = true;
    for (bool pair = true; more; pair = false) {
        str_t piece = take_piece(&value, &more);
        if (pair || !attribute_is_wider(piece, host))
            pieces_add(&kept, piece);
    }
    *len = kept.len;
    return true;
}
