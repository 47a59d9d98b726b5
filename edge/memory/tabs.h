/*
 * Forgotten tabs: pages that nobody looks at and that reconnect by themselves whenever they are cut
 * (docs/internals/wake.md, "Forgotten tabs"). For each client of a preview whose page has woken the box by
 * itself, a cell remembers the page's requests while it reconnects. The rules are functions of a cell and the
 * time.
 *
 * All workers share the cells, because any worker may get a client's connections. Everything in them is
 * atomic and nothing locks. If two workers change one cell at the same moment, a page wakes its box once too
 * often or once too rarely.
 */
#ifndef BOXEDGE_TABS_H
#define BOXEDGE_TABS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "str.h"

/* Clients of previews to remember; in a full set, the least recently seen gives way. */
#define TABS_SETS 1024
#define TABS_WAYS 4
/* After a page has woken its box: its requests within this many ms, from its first that reached the box,
 * belong to the reconnect. */
#define TABS_LEARN_MS 10000
/* Lifetime in ms of a wake that a page began; its next attempt after that is one too many. */
#define TABS_WAKE_MS 60000
/* A Bloom filter with two bits per request: with 300 requests, 6 of 100 others look known. */
#define TABS_PATTERN_WORDS 32

/* Raised with the form of the table or the meaning of a cell: programs of one form copy each other's. */
#define TABS_FORM 1

typedef enum tab_phase {
    TAB_NONE = 0, /* it may wake its box once */
    TAB_WAKES,    /* its request began the only wake that a page may begin; until `until_ms` */
    TAB_LEARNS,   /* reconnected; until `until_ms` */
    TAB_SPENT,    /* it has only reconnected since */
} tab_phase_t;

typedef struct tab {
    _Atomic uint64_t key; /* of client and preview; 0: free */
    _Atomic uint64_t seen_ms;
    _Atomic uint64_t until_ms;
    _Atomic uint32_t phase;                       /* tab_phase_t */
    _Atomic uint64_t pattern[TABS_PATTERN_WORDS]; /* the requests that it makes by itself */
} tab_t;

/* All-zero is valid and empty. */
typedef struct tabs {
    _Atomic uint32_t used; /* cells in use; while 0, lookups return immediately */
    tab_t cells[TABS_SETS][TABS_WAYS];
} tabs_t;

/* A request that a page of the preview seems to have made by itself. */
typedef struct tab_request {
    uint64_t key;         /* not 0 */
    uint64_t fingerprint; /* tab_fingerprint */
    bool unsafe; /* its method changes something: people make such requests, and polling transports */
} tab_request_t;

/*
 * The identity of a request: method and path, without query. A mark replaces segments that are generated anew
 * each time (with a digit, or of 16 characters or more).
 */
uint64_t tab_fingerprint(str_t method, str_t target);

/* Whether the request wakes the box, which sleeps. */
bool tabs_may_wake(tabs_t *tabs, const tab_request_t *request, uint64_t now_ms);
/* Records a request that goes to the running box. */
void tabs_note(tabs_t *tabs, const tab_request_t *request, uint64_t now_ms);
/* Forgets all: a person acts, by a navigation or by anything that no page does by itself. */
void tabs_person(tabs_t *tabs, uint64_t key);
/* An open tunnel carried a non-periodic message, as when a person types. */
void tabs_typed(tabs_t *tabs, uint64_t key, uint64_t now_ms);

#endif
