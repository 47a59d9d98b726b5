/*
 * The page that a person sees while a box wakes: how far it is, and in the end the app in its place, or what
 * went wrong and a way to try again (docs/design.md, "Waking"). Its markup is wake.html; its script listens
 * to the wake's events (wake_events.h). Without script it loads itself again.
 */
#ifndef BOXEDGE_WAKE_PAGE_H
#define BOXEDGE_WAKE_PAGE_H

#include "arena.h"
#include "pages.h"
#include "str.h"
#include "wake_message.h"

/* Where the page hears how the wake goes on; wake.js names it too. */
#define WAKE_EVENTS_PATH RESERVED_PATH "wake"

typedef struct wake_page {
    const char *box;
    uint16_t port;
    const char *request_id;
    bool has_log;         /* `boxedge box logs` shows what the box wrote */
    str_t nonce;          /* of the script, in hex; also in the answer's Content-Security-Policy */
    wake_stage_t stage;   /* how far it is; of no matter where it failed */
    uint64_t elapsed_ms;  /* since the wake began */
    const char *failure;  /* what went wrong, a sentence, escaped here; NULL: it goes on */
    bool asleep;          /* of a failure: nothing is wrong, but only a person's hand wakes the box */
    unsigned retry_after; /* of a failure, in seconds: trying earlier is of no use */
} wake_page_t;

/* In `pool`, at most 16 KiB. */
str_t wake_page(arena_t *pool, const wake_page_t *page);
/* The Content-Security-Policy under which it works. */
str_t wake_page_policy(arena_t *pool, str_t nonce);
/* "resuming", "starting", "listening": the stage's name in pages and events. */
const char *wake_stage_name(wake_stage_t stage);

#endif
