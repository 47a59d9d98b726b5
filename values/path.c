#include "path.h"

#include <assert.h>

str_t path_take_segment(str_t *path)
{
    assert(path->n != 0 && path->p[0] == '/');
    str_t rest = str_from_offset(*path, 1);
    const char *slash = rest.n != 0 ? memchr(rest.p, '/', rest.n) : NULL;
    str_t segment = slash != NULL ? str_make(rest.p, (size_t)(slash - rest.p)) : rest;
    *path = str_from_offset(rest, segment.n);
    return segment;
}

static size_t decode(str_t path, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < path.n; i++) {
        char c = path.p[i];
        if (c == '%' && i + 2 < path.n && str_hex_value(path.p[i + 1]) >= 0 &&
            str_hex_value(path.p[i + 2]) >= 0) {
            c = (char)(str_hex_value(path.p[i + 1]) * 16 + str_hex_value(path.p[i + 2]));
            i += 2;
        }
        out[n++] = c == '\\' ? '/' : c;
    }
    return n;
}

str_t path_read(str_t path, char *out)
{
    str_t rest = str_make(out, decode(path, out));
    size_t n = 0;
    while (rest.n != 0) {
        str_t segment = path_take_segment(&rest);
        const char *parameters = segment.n != 0 ? memchr(segment.p, ';', segment.n) : NULL;
        if (parameters != NULL)
            segment.n = (size_t)(parameters - segment.p);
        if (segment.n == 0 || str_eq(segment, STR(".")))
            continue;
        if (str_eq(segment, STR(".."))) {
            while (n != 0 && out[--n] != '/')
                ;
            continue;
        }
        /* The output never overtakes the input. */
        out[n] = '/';
        memmove(out + n + 1, segment.p, segment.n);
        n += 1 + segment.n;
    }
    if (n == 0)
        out[n++] = '/';
    return str_make(out, n);
}

/* For a server that decodes the path before it looks for its end: a C string's end, or a query. */
static str_t cut_at_its_end(str_t path)
{
    for (size_t i = 0; i < path.n; i++) {
        if (path.p[i] != '\0' && path.p[i] != '?' && path.p[i] != '#')
            continue;
        return str_make(path.p, i > 1 && path.p[i - 1] == '/' ? i - 1 : i);
    }
    return path;
}

void path_each_reading(str_t path, char *out, bool (*each)(str_t reading, void *arg), void *arg)
{
    str_t read = path;
    for (unsigned i = 0; i < PATH_DECODES_MAX; i++) {
        read = path_read(read, out); /* in place from the second time on */
        str_t cut = cut_at_its_end(read);
        if (!each(read, arg) || (cut.n != read.n && !each(cut, arg)) || memchr(read.p, '%', read.n) == NULL)
            return;
    }
}
