/*
 * Pages with placeholders. The pages are HTML files of this folder, which the build turns into pieces
 * (to_c.cmake, docs/pages.md). Every value is escaped: no caller can put markup into a page.
 */
#ifndef BOXEDGE_TEMPLATE_H
#define BOXEDGE_TEMPLATE_H

#include "str.h"

#include "arena.h"

/* Maximum bytes of a value; the rest is cut off. */
#define TEMPLATE_VALUE_MAX 4096

typedef enum template_kind {
    TEMPLATE_MARKUP,    /* text of the file */
    TEMPLATE_VALUE,     /* {{name}} */
    TEMPLATE_BREAKABLE, /* {{name|break}}: lines may break after dots */
    TEMPLATE_IF,        /* {{if name}}: shown up to the next END if the value is not empty */
    TEMPLATE_END,
} template_kind_t;

typedef struct template_piece {
    template_kind_t kind;
    str_t text;    /* the markup, or the value's name */
    size_t offset; /* offset of the value, a str_t, in the page's values */
} template_piece_t;

/* The page with its `values`, in `pool`. A value with a NULL pointer was forgotten: its placeholder stays. */
str_t template_fill(arena_t *pool, const template_piece_t *pieces, size_t count, const void *values);

/* A value for {{if name}}. */
str_t template_flag(bool set);
/* A value from an optional text, cut to `max` bytes. */
str_t template_text(str_t text, size_t max);

/* `s` with escapes for the special characters of HTML text and quoted attributes; control characters and
 * bytes that are not ASCII become '?'. */
str_t template_escape(arena_t *pool, str_t s);

#endif
