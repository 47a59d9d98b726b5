/*
 * The page for an error of the edge's own: one file without external resources, in the colours of the
 * reader's system. Its markup is error.html.
 */
#ifndef BOXEDGE_PAGES_H
#define BOXEDGE_PAGES_H

#include "str.h"

#include "arena.h"

/* The prefix of the edge's own paths on preview hosts, which never reach a box. */
#define RESERVED_PATH "/.well-known/boxedge/"

/* The Content-Security-Policy of a page without a script: only its own style. */
#define PAGES_CSP                                                                                            \
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"

/* That of a page whose only script has `nonce` (hex); `rest` is what else it may and may not, "" or
 * "; directive value". In `pool`. */
str_t pages_script_csp(arena_t *pool, str_t nonce, str_t rest);

typedef struct page_error {
    int status;
    const char *code;     /* of docs/http.md; may be NULL */
    const char *sentence; /* the error */
    const char *detail;   /* its reason, if known; else NULL */
    str_t request_id;
    str_t host;        /* the requested host; hostile, cut to 255 bytes; may be empty */
    const char *title; /* NULL: title and `next` follow from the status */
    str_t next;        /* the remedy */
    str_t logs_of;     /* the box of the command that shows its output; may be empty */
    str_t nonce;       /* of a script that opens the app once it answers; empty: no script */
} page_error_t;

/* The page in UTF-8, with a remedy. Made in `pool`, at most 12 KiB. */
str_t page_error(arena_t *pool, const page_error_t *about);

#endif
