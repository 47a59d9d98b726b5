#include "template.h"

#include <assert.h>

#include "arena.h"

/* The output of a page; NULL `at` only counts its length. */
typedef struct writer {
    char *at;
    size_t n;
} writer_t;

static void put(writer_t *out, str_t s)
{
    if (out->at != NULL && s.n != 0)
        memcpy(out->at + out->n, s.p, s.n);
    out->n += s.n;
}

/* The escaped form of a character, or an empty slice if it needs none. */
static str_t escape_char(char c)
{
    switch (c) {
    case '&':
        return STR("&amp;");
    case '<':
        return STR("&lt;");
    case '>':
        return STR("&gt;");
    case '"':
        return STR("&quot;");
    case '\'':
        return STR("&#39;");
    default:
        return c >= 0x20 && c < 0x7f ? STR("") : STR("?");
    }
}

static void put_escaped(writer_t *out, str_t s, bool breakable)
{
    for (size_t i = 0; i < s.n; i++) {
        str_t escaped = escape_char(s.p[i]);
        put(out, escaped.n != 0 ? escaped : str_make(s.p + i, 1));
        if (breakable && s.p[i] == '.')
            put(out, STR("<wbr>"));
    }
}

static str_t value_of(const template_piece_t *piece, const void *values)
{
    return *(const str_t *)((const char *)values + piece->offset);
}

static void put_value(writer_t *out, const template_piece_t *piece, const void *values)
{
    str_t value = value_of(piece, values);
    if (value.p != NULL) {
        put_escaped(out, template_text(value, TEMPLATE_VALUE_MAX), piece->kind == TEMPLATE_BREAKABLE);
        return;
    }
    put(out, STR("{{"));
    put(out, piece->text);
    put(out, STR("}}"));
}

/* Whether the part that begins with this piece is hidden. */
static bool is_left_out(const template_piece_t *piece, const void *values)
{
    str_t value = value_of(piece, values);
    return value.p != NULL && value.n == 0;
}

static void put_page(writer_t *out, const template_piece_t *pieces, size_t count, const void *values)
{
    bool skipping = false;
    for (size_t i = 0; i < count; i++) {
        const template_piece_t *piece = &pieces[i];
        if (piece->kind == TEMPLATE_END)
            skipping = false;
        else if (skipping)
            continue;
        else if (piece->kind == TEMPLATE_MARKUP)
            put(out, piece->text);
        else if (piece->kind == TEMPLATE_IF)
            skipping = is_left_out(piece, values);
        else
            put_value(out, piece, values);
    }
}

str_t template_fill(arena_t *pool, const template_piece_t *pieces, size_t count, const void *values)
{
    writer_t measure = {0};
    put_page(&measure, pieces, count, values);
    writer_t out = {.at = arena_alloc(pool, measure.n)};
    put_page(&out, pieces, count, values);
    assert(out.n == measure.n);
    return str_make(out.at, out.n);
}

str_t template_flag(bool set)
{
    return set ? STR("set") : STR("");
}

str_t template_text(str_t text, size_t max)
{
    return text.p == NULL ? STR("") : str_make(text.p, text.n < max ? text.n : max);
}

str_t template_escape(arena_t *pool, str_t s)
{
    writer_t measure = {0};
    put_escaped(&measure, s, false);
    writer_t out = {.at = arena_alloc(pool, measure.n + 1)};
    put_escaped(&out, s, false);
    return str_make(out.at, out.n);
}
