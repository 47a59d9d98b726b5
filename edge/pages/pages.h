/*
 * The page for an error of the edge's own: one file, nothing from elsewhere, in the colours of the reader's
 * system. Its markup is error.html.
 */
#ifndef BOXEDGE_PAGES_H
#define BOXEDGE_PAGES_H

#include "str.h"

#include "arena.h"

/* Paths on preview hosts that are the edge's own, and never reach a box. */
#define RESERVED_PATH "/.well-known/boxedge/"

/* The Content-Security-Policy of a page without a script: nothing but its own style. */
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
    str_t logs_of;     /* the box whose output a command shows; may be empty */
    str_t nonce;       /* of a script that opens the app once it answers; empty: no script */
} page_error_t;

/* The page for an error of the edge's own, in UTF-8, with what to do next. Made in `pool`, at most 12 KiB. */
str_t page_error(arena_t *pool, const page_error_t *about);

#endif
