/* Targets of any bytes: after the parameter was removed, no decoder finds it in the target, and the rest is
 * unchanged, byte for byte and in order. A separate reader of queries judges. */
#include <assert.h>

#include "credentials.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NAME STR("tok n")
#define CAP  16

/* Decodes as apps do. Returns the length; `out` has room for text.n bytes. */
static size_t decode(str_t text, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++) {
        out[n] = text.p[i] == '+' ? ' ' : text.p[i];
        if (text.p[i] == '%' && i + 2 < text.n && str_hex_value(text.p[i + 1]) >= 0 &&
            str_hex_value(text.p[i + 2]) >= 0) {
            out[n] = (char)(str_hex_value(text.p[i + 1]) * 16 + str_hex_value(text.p[i + 2]));
            i += 2;
        }
        n++;
    }
    return n;
}

static str_t cut(str_t *rest, char separator)
{
    size_t n = 0;
    while (n < rest->n && rest->p[n] != separator)
        n++;
    str_t piece = str_make(rest->p, n);
    *rest = str_from_offset(*rest, n < rest->n ? n + 1 : n);
    return piece;
}

/* Writes the query's pieces that have another name, one '&' before each; counts the others, and keeps the
 * first one's decoded value. */
static size_t others_of(str_t query, char *out, size_t *ours, char *value, size_t *value_len)
{
    size_t n = 0;
    char *decoded = malloc(query.n + 1);
    assert(decoded != NULL);
    *ours = 0;
    for (bool more = true; more;) {
        const char *start = query.p;
        size_t before = query.n;
        str_t piece = cut(&query, '&'), text = str_make(start, piece.n);
        more = before != piece.n; /* an '&' came before, so that another one follows */
        str_t name = cut(&text, '=');
        if (!str_eq(str_make(decoded, decode(name, decoded)), NAME)) {
            out[n++] = '&';
            memcpy(out + n, start, piece.n);
            n += piece.n;
        } else if ((*ours)++ == 0) {
            *value_len = decode(text, value);
        }
    }
    free(decoded);
    return n;
}

static void check(str_t target, char *out, char *expected, char *value)
{
    char got[CAP];
    size_t out_len, got_len, ours = 0, value_len = 0;
    bool found = query_take(target, NAME, out, &out_len, got, CAP, &got_len);
    str_t query = target, path = cut(&query, '?');
    bool has_query = path.n != target.n;
    size_t n = has_query ? others_of(query, expected, &ours, value, &value_len) : 0;
    assert(found == (ours != 0));
    if (!found) {
        assert(str_eq(str_make(out, out_len), target));
        return;
    }
    assert(got_len == (value_len <= CAP ? value_len : CAP + 1));
    assert(memcmp(got, value, got_len <= CAP ? got_len : CAP) == 0);
    assert(out_len >= path.n && str_eq(str_make(out, path.n), path));
    if (n <= 1) { /* nothing, or one empty piece */
        assert(out_len == path.n);
        return;
    }
    assert(out[path.n] == '?' && out_len - path.n == n && memcmp(out + path.n + 1, expected + 1, n - 1) == 0);
    size_t again;
    char *scratch = malloc(out_len);
    assert(scratch != NULL);
    assert(!query_take(str_make(out, out_len), NAME, scratch, &again, got, CAP, &got_len));
    free(scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *out = malloc(size != 0 ? size : 1), *expected = malloc(size + 1), *value = malloc(size + 1);
    assert(out != NULL && expected != NULL && value != NULL);
    check(str_make((const char *)data, size), out, expected, value);
    free(out);
    free(expected);
    free(value);
    return 0;
}
