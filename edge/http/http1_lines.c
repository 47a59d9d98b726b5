#include "http1_lines.h"

#include <assert.h>

#include "arena.h"

static http1_lines_result_t cut(str_t text, size_t last_len, uint32_t max_fields, arena_t *pool,
                                http1_lines_t *lines, size_t *len, bool bare)
{
    assert(max_fields > 0 && last_len <= text.n);
    /* The search for the end looks for two line ends in a row; a section without lines has only one. */
    if (text.n != 0 && (text.p[0] == '\r' || text.p[0] == '\n'))
        last_len = 0;
    /* One more than allowed, to distinguish too many lines from malformed ones. */
    size_t capacity = (size_t)max_fields + 1;
    lines->at = lines->few;
    lines->count = capacity < HTTP1_LINES_FEW ? capacity : HTTP1_LINES_FEW;
    int parsed = phr_parse_headers(text.p, text.n, lines->at, &lines->count, last_len);
    if (parsed == -1 && lines->count == HTTP1_LINES_FEW && capacity > HTTP1_LINES_FEW) {
        lines->at = arena_alloc(pool, capacity * sizeof(lines->at[0]));
        lines->count = capacity;
        parsed = phr_parse_headers(text.p, text.n, lines->at, &lines->count, 0);
    }
    if (parsed == -2)
        return HTTP1_LINES_INCOMPLETE;
    if (lines->count > max_fields)
        return HTTP1_LINES_TOO_MANY;
    bool after_cr = parsed >= 2 && text.p[parsed - 2] == '\r';
    if (parsed < 1 || after_cr == bare)
        return HTTP1_LINES_BAD;
    *len = (size_t)parsed;
    return HTTP1_LINES_OK;
}

http1_lines_result_t http1_lines_cut(str_t text, size_t last_len, uint32_t max_fields, arena_t *pool,
                                     http1_lines_t *lines, size_t *len)
{
    return cut(text, last_len, max_fields, pool, lines, len, false);
}

http1_lines_result_t http1_lines_cut_bare(str_t text, size_t last_len, uint32_t max_fields, arena_t *pool,
                                          http1_lines_t *lines, size_t *len)
{
    return cut(text, last_len, max_fields, pool, lines, len, true);
}

/* `end`: the byte after the value. */
static bool take(const struct phr_header *line, char end, field_t *field)
{
    if (line->name == NULL || line->value[line->value_len] != end)
        return false;
    field->name = str_make(line->name, line->name_len);
    field->value = str_trim(str_make(line->value, line->value_len));
    /* picohttpparser ends a name at the first byte that is no tchar, and a value at the first control that is
     * no HTAB. These must be the colon and the line end; a second scan would cost as much as the first.
     * tests/unit/http/test_http1_lines.c checks this for every byte at every place. */
    field->id = field_lookup(field->name);
    return true;
}

bool http1_lines_field(const struct phr_header *line, field_t *field)
{
    return take(line, '\r', field);
}

bool http1_lines_field_bare(const struct phr_header *line, field_t *field)
{
    return take(line, '\n', field);
}
