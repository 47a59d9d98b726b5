#include "form.h"

/* Decodes one name or value. Returns false if it is malformed or too long. */
static bool decode(str_t text, char *out, size_t cap, size_t *len)
{
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i] == '+' ? ' ' : text.p[i];
        if (c == '%') {
            int high = i + 2 < text.n ? str_hex_value(text.p[i + 1]) : -1;
            int low = high >= 0 ? str_hex_value(text.p[i + 2]) : -1;
            if (low < 0)
                return false;
            c = (char)(high << 4 | low);
            i += 2;
        }
        if (n == cap)
            return false;
        out[n++] = c;
    }
    *len = n;
    return true;
}

/* Takes the next piece up to `separator` off `*rest`. */
static str_t take(str_t *rest, char separator)
{
    const char *end = rest->n != 0 ? memchr(rest->p, separator, rest->n) : NULL;
    str_t piece = str_make(rest->p, end != NULL ? (size_t)(end - rest->p) : rest->n);
    *rest = str_from_offset(*rest, end != NULL ? piece.n + 1 : piece.n);
    return piece;
}

bool form_value(str_t body, str_t name, char *out, size_t cap, size_t *len)
{
    while (body.n != 0) {
        str_t value = take(&body, '&');
        str_t key = take(&value, '=');
        if (str_eq(key, name))
            return decode(value, out, cap, len);
    }
    return false;
}
