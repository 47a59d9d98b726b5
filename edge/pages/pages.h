/*
 * Pages that the edge itself shows to people: one file each, without scripts and without anything from
 * elsewhere, in the colours of the reader's system. All text from outside is escaped.
 */
#ifndef BOXEDGE_PAGES_H
#define BOXEDGE_PAGES_H

#include <h2o.h>

#include "str.h"

/* The Content-Security-Policy under which these pages work: nothing but their own style. */
#define PAGES_CSP                                                                                            \
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"

typedef struct page_error {
    int status;
    const char *code;     /* of docs/http.md; may be NULL */
    const char *sentence; /* what happened */
    const char *detail;   /* why, where that is known; else NULL */
    str_t request_id;
    str_t host;        /* that was asked for; hostile, shown up to 255 bytes; may be empty */
    const char *title; /* NULL: by the status, as `next` then */
    str_t next;        /* what to do */
    str_t more;        /* HTML behind it; may be empty */
} page_error_t;

/* The page for an error of the edge's own, in UTF-8, with what to do next. Made in `pool`, at most 8 KiB and
 * `more`. */
str_t page_error(h2o_mem_pool_t *pool, const page_error_t *about);

/* A whole document in the style of these pages; `title` and `body` are HTML (what is not ours in them is
 * escaped already). */
str_t page_document(h2o_mem_pool_t *pool, str_t title, str_t body);

/* The same with `head` (HTML) in the document's head: a style of its own, a refresh. */
str_t page_document_with(h2o_mem_pool_t *pool, str_t title, str_t head, str_t body);

/* `s` with the characters escaped that mean something in HTML text and quoted attributes; control characters
 * and bytes that are not ASCII become '?'. */
str_t page_escape(h2o_mem_pool_t *pool, str_t s);

#endif
