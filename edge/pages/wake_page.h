/*
 * The page for people while a box wakes: its progress, and then the app in its place, or the error and a way
 * to try again (docs/internals/wake.md, "Steps of a wake"). Its markup is wake.html; its script listens to
 * the wake's events (wake_events.h). Without a script the page reloads itself.
 */
#ifndef BOXEDGE_WAKE_PAGE_H
#define BOXEDGE_WAKE_PAGE_H

#include "arena.h"
#include "pages.h"
#include "str.h"
#include "wake_message.h"

/* The path of the wake's events; wake.js has it too. */
#define WAKE_EVENTS_PATH RESERVED_PATH "wake"

typedef struct wake_page {
    const char *box;
    uint16_t port;
    const char *request_id;
    bool has_log;         /* `boxedge box logs` shows the box's output */
    str_t nonce;          /* of the script, in hex; also in the answer's Content-Security-Policy */
    wake_stage_t stage;   /* the progress; ignored after a failure */
    uint64_t elapsed_ms;  /* since the wake began */
    const char *failure;  /* the error, a sentence, escaped here; NULL: the wake continues */
    bool asleep;          /* of a failure: no error, but only a person may wake the box */
    unsigned retry_after; /* of a failure, in seconds: earlier attempts are useless */
} wake_page_t;

/* In `pool`, at most 16 KiB. */
str_t wake_page(arena_t *pool, const wake_page_t *page);
/* The Content-Security-Policy of the page. */
str_t wake_page_policy(arena_t *pool, str_t nonce);
/* "resuming", "starting", "listening": the stage's name in pages and events. */
const char *wake_stage_name(wake_stage_t stage);

#endif
