/*
 * The page of a link that opens once (link.html): its button opens the link, so that programs which fetch
 * every address, such as scanners of mail, do not.
 */
#ifndef BOXEDGE_LINK_PAGE_H
#define BOXEDGE_LINK_PAGE_H

#include "arena.h"
#include "str.h"

typedef struct link_page {
    const char *box; /* empty: hidden */
    uint16_t port;
    const char *label;  /* may be empty */
    const char *action; /* the address of the form */
    str_t key;          /* of the link */
} link_page_t;

/* Its Content-Security-Policy: no frame may lead a visitor's click to the button. */
#define LINK_PAGE_CSP                                                                                        \
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'self'; "    \
    "frame-ancestors 'none'"

str_t link_page(arena_t *pool, const link_page_t *page);

#endif
