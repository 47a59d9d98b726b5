/*
 * The status page for operators: charts of the metrics and tables of the edge's state. Its markup is
 * status.html; its script reads the admin API's answers at the page's own origin, and writes every text of
 * them as text.
 */
#ifndef BOXEDGE_STATUS_PAGE_H
#define BOXEDGE_STATUS_PAGE_H

#include "arena.h"
#include "str.h"

/* The page's path on the admin socket, and that of its link. */
#define STATUS_PAGE_PATH "/status"

/* In `pool`, at most 64 KiB. `nonce` (of the script) is hex. */
str_t status_page(arena_t *pool, str_t nonce);
/* The Content-Security-Policy of the page: its own style, script and origin only, in no frame. */
str_t status_page_policy(arena_t *pool, str_t nonce);

#endif
