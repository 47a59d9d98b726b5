/*
 * Forgotten tabs: pages that nobody looks at and that connect again by themselves whenever they are cut
 * (docs/design.md, "Waking"). For each client of a preview whose page has woken the box by itself, a cell
 * remembers what the page asks for when it connects again; the rules are functions of a cell and the time.
 *
 * Cells are shared by all workers, since a client's connections go to any of them. Everything in them is
 * atomic and nothing locks: where two workers change one cell at the same moment, a page wakes its box once
 * more, or once less.
 */
#ifndef BOXEDGE_TABS_H
#define BOXEDGE_TABS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "str.h"

/* Clients of previews that are remembered; the one that was seen longest ago in its set gives way. */
#define TABS_SETS 1024
#define TABS_WAYS 4
/* After a page has woken its box: what it asks for in so many ms from its first request that reached the box
 * belongs to connecting again. */
#define TABS_LEARN_MS 10000
/* A wake that a page began belongs to it for so long; later its next attempt is one too many. */
#define TABS_WAKE_MS 60000
/* A Bloom filter with two bits for each request: 300 of them leave 6 in 100 others that look known. */
#define TABS_PATTERN_WORDS 32

typedef enum tab_phase {
    TAB_NONE = 0, /* it may wake its box once */
    TAB_WAKES,    /* its request began the one wake that a page may begin; until `until_ms` */
    TAB_LEARNS,   /* connected again; until `until_ms` */
    TAB_SPENT,    /* it has done no more than that since */
} tab_phase_t;

typedef struct tab {
    _Atomic uint64_t key; /* of client and preview; 0: free */
    _Atomic uint64_t seen_ms;
    _Atomic uint64_t until_ms;
    _Atomic uint32_t phase;                       /* tab_phase_t */
    _Atomic uint64_t pattern[TABS_PATTERN_WORDS]; /* what it asks for by itself */
} tab_t;

/* Zero-filled is valid and empty. */
typedef struct tabs {
    _Atomic uint32_t used; /* cells in use: none costs nobody anything */
    tab_t cells[TABS_SETS][TABS_WAYS];
} tabs_t;

/* A request that a page of the preview made by itself, as far as it shows. */
typedef struct tab_request {
    uint64_t key;         /* not 0 */
    uint64_t fingerprint; /* tab_fingerprint */
    bool unsafe;          /* its method changes something: people do that, and polling transports */
} tab_request_t;

/*
 * What the request asks for: method and path, without query, and with a mark in place of segments that are
 * made up anew each time (with a digit in them, or of 16 characters and more).
 */
uint64_t tab_fingerprint(str_t method, str_t target);

/* The box sleeps: whether the request wakes it. */
bool tabs_may_wake(tabs_t *tabs, const tab_request_t *request, uint64_t now_ms);
/* The request goes to the box, which runs. */
void tabs_note(tabs_t *tabs, const tab_request_t *request, uint64_t now_ms);
/* A person acts, by a navigation or otherwise as no page does by itself: all is forgotten. */
void tabs_person(tabs_t *tabs, uint64_t key);
/* A message on an open tunnel that came by no period, as when a person types. */
void tabs_typed(tabs_t *tabs, uint64_t key, uint64_t now_ms);

#endif
