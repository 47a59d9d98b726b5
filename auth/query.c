/*
 * query_take: see credentials.h. A query is cut at '&' and each piece at its first '=', as the URL
 * standard and nearly all apps do. Names are compared in decoded form, as an app reads them. The
 * remaining bytes are not changed.
 */
#include <assert.h>

#include "credentials.h"

/* Returns the next decoded byte of `*text` ('+' is a space; a '%' without two hex digits is
 * literal); -1 at the end. */
static int next_byte(str_t *text)
{
    if (text->n == 0)
        return -1;
    char c = text->p[0];
    size_t used = 1;
    int high = text->n >= 3 ? str_hex_value(text->p[1]) : -1;
    int low = text->n >= 3 ? str_hex_value(text->p[2]) : -1;
    if (c == '%' && high >= 0 && low >= 0) {
        c = (char)(high << 4 | low);
        used = 3;
    } else if (c == '+') {
        c = ' ';
    }
    *text = str_from_offset(*text, used);
    return (unsigned char)c;
}

static bool is_named(str_t key, str_t name)
{
    for (size_t i = 0; i < name.n; i++)
        if (next_byte(&key) != (unsigned char)name.p[i])
            return false;
    return key.n == 0;
}

static size_t decode_value(str_t text, char *out, size_t cap)
{
    size_t n = 0;
    for (int c; n <= cap && (c = next_byte(&text)) >= 0; n++)
        if (n < cap)
            out[n] = (char)c;
    return n;
}

bool query_take(str_t target, str_t name, char *out, size_t *out_len, char *value, size_t cap,
                size_t *value_len)
{
    const char *mark = target.n != 0 ? memchr(target.p, '?', target.n) : NULL;
    bool found = false;
    *out_len = target.n;
    if (target.n != 0)
        memcpy(out, target.p, target.n);
    if (mark == NULL)
        return false;
    size_t n = (size_t)(mark - target.p);
    char separator = '?';
    str_t rest = str_from_offset(target, n + 1);
    for (bool more = true; more;) {
        const char *end = rest.n != 0 ? memchr(rest.p, '&', rest.n) : NULL;
        str_t pair = str_make(rest.p, end != NULL ? (size_t)(end - rest.p) : rest.n);
        more = end != NULL;
        rest = str_from_offset(rest, more ? pair.n + 1 : pair.n);
        const char *equals = pair.n != 0 ? memchr(pair.p, '=', pair.n) : NULL;
        str_t key = str_make(pair.p, equals != NULL ? (size_t)(equals - pair.p) : pair.n);
        if (is_named(key, name)) {
            if (!found)
                *value_len =
                    decode_value(str_from_offset(pair, equals != NULL ? key.n + 1 : pair.n), value, cap);
            found = true;
            continue;
        }
        out[n++] = separator;
        if (pair.n != 0)
            memcpy(out + n, pair.p, pair.n);
        n += pair.n;
        separator = '&';
    }
    assert(n <= target.n);
    if (!found)
        return false; /* all pieces were copied unchanged */
    if (n == (size_t)(mark - target.p) + 1)
        n--; /* one empty piece remains, so nothing follows the '?' */
    *out_len = n;
    return true;
}
