/*
 * The page for people when an app gives no answer that can be passed on: the reason, and a remedy for a box
 * of that kind. If a dev server may be restarting, a script opens the app as soon as it answers.
 */
#ifndef BOXEDGE_FAILURE_PAGE_H
#define BOXEDGE_FAILURE_PAGE_H

#include "arena.h"
#include "pages.h"
#include "store.h"

typedef struct failure_page {
    page_error_t error;
    const char *code; /* of docs/http.md */
    const char *box;
    uint16_t port;
    box_provider_t provider;
    bool on_loopback; /* the box is this machine: its apps need not listen on other addresses */
    str_t nonce;      /* of the script, in hex; also in the answer's Content-Security-Policy */
} failure_page_t;

/* Whether this code has a page. */
bool failure_page_knows(const char *code);
/* In `pool`, at most 12 KiB. */
str_t failure_page(arena_t *pool, const failure_page_t *page);

#endif
