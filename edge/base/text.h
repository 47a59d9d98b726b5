/*
 * Text under construction in memory whose size the caller computes first.
 */
#ifndef BOXEDGE_TEXT_H
#define BOXEDGE_TEXT_H

#include <assert.h>

#include "str.h"

#include "arena.h"

typedef struct text {
    char *at;
    size_t n;
    size_t capacity;
} text_t;

/* An empty text with room for `capacity` bytes, in `arena`. */
static inline text_t text_new(arena_t *arena, size_t capacity)
{
    return (text_t){arena_alloc(arena, capacity), 0, capacity};
}

/* The text must fit; the caller computes the capacity (asserted). */
static inline void text_put(text_t *text, str_t s)
{
    assert(s.n <= text->capacity - text->n);
    if (s.n != 0)
        memcpy(text->at + text->n, s.p, s.n);
    text->n += s.n;
}

/* A field line of HTTP/1. */
static inline void text_put_field(text_t *text, str_t name, str_t value)
{
    text_put(text, name);
    text_put(text, STR(": "));
    text_put(text, value);
    text_put(text, STR("\r\n"));
}

static inline str_t text_str(const text_t *text)
{
    return str_make(text->at, text->n);
}

#endif
