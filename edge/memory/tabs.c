#include "tabs.h"

#include <string.h>

#include "fnv.h"

#define RELAXED memory_order_relaxed
/* A segment of a path that is so long is made up by a program. */
#define SEGMENT_MADE_UP 16

/* ---- what is asked for ---- */

static bool is_made_up(str_t segment)
{
    for (size_t i = 0; i < segment.n; i++)
        if (segment.p[i] >= '0' && segment.p[i] <= '9')
            return true;
    return segment.n >= SEGMENT_MADE_UP;
}

uint64_t tab_fingerprint(str_t method, str_t target)
{
    const char *query = memchr(target.p, '?', target.n);
    str_t path = query != NULL ? str_make(target.p, (size_t)(query - target.p)) : target;
    uint64_t hash = fnv_text(FNV_START, method);
    while (path.n > 0) {
        path = str_from_offset(path, 1); /* a slash */
        const char *slash = path.n > 0 ? memchr(path.p, '/', path.n) : NULL;
        str_t segment = str_make(path.p, slash != NULL ? (size_t)(slash - path.p) : path.n);
        hash = fnv_text(hash, STR("/"));
        hash = fnv_text(hash, is_made_up(segment) ? STR("#") : segment);
        path = str_from_offset(path, segment.n);
    }
    return hash ^ hash >> 29;
}

/* ---- the pattern ---- */

#define BITS (64 * TABS_PATTERN_WORDS)

static bool knows(const tab_t *tab, uint64_t fingerprint)
{
    uint64_t a = fingerprint % BITS, b = (fingerprint >> 32) % BITS;
    return (atomic_load_explicit(&tab->pattern[a / 64], RELAXED) >> (a % 64) & 1) != 0 &&
           (atomic_load_explicit(&tab->pattern[b / 64], RELAXED) >> (b % 64) & 1) != 0;
}

static void learn(tab_t *tab, uint64_t fingerprint)
{
    uint64_t a = fingerprint % BITS, b = (fingerprint >> 32) % BITS;
    atomic_fetch_or_explicit(&tab->pattern[a / 64], UINT64_C(1) << (a % 64), RELAXED);
    atomic_fetch_or_explicit(&tab->pattern[b / 64], UINT64_C(1) << (b % 64), RELAXED);
}

/* ---- cells ---- */

static tab_t *find(tabs_t *tabs, uint64_t key)
{
    tab_t *set = tabs->cells[key % TABS_SETS];
    if (atomic_load_explicit(&tabs->used, RELAXED) == 0)
        return NULL;
    for (size_t i = 0; i < TABS_WAYS; i++)
        if (atomic_load_explicit(&set[i].key, RELAXED) == key)
            return &set[i];
    return NULL;
}

static tab_t *take(tabs_t *tabs, uint64_t key)
{
    tab_t *set = tabs->cells[key % TABS_SETS], *tab = &set[0];
    for (size_t i = 0; i < TABS_WAYS; i++) {
        if (atomic_load_explicit(&set[i].key, RELAXED) == 0) {
            tab = &set[i];
            break;
        }
        if (atomic_load_explicit(&set[i].seen_ms, RELAXED) < atomic_load_explicit(&tab->seen_ms, RELAXED))
            tab = &set[i];
    }
    for (size_t i = 0; i < TABS_PATTERN_WORDS; i++)
        atomic_store_explicit(&tab->pattern[i], 0, RELAXED);
    if (atomic_exchange_explicit(&tab->key, key, RELAXED) == 0)
        atomic_fetch_add_explicit(&tabs->used, 1, RELAXED);
    return tab;
}

static void drop(tabs_t *tabs, tab_t *tab)
{
    if (atomic_exchange_explicit(&tab->key, 0, RELAXED) != 0)
        atomic_fetch_sub_explicit(&tabs->used, 1, RELAXED);
}

static void set_phase(tab_t *tab, tab_phase_t phase, uint64_t until_ms)
{
    atomic_store_explicit(&tab->until_ms, until_ms, RELAXED);
    atomic_store_explicit(&tab->phase, phase, RELAXED);
}

static tab_phase_t phase_of(const tab_t *tab, uint64_t now_ms)
{
    tab_phase_t phase = atomic_load_explicit(&tab->phase, RELAXED);
    bool over = now_ms >= atomic_load_explicit(&tab->until_ms, RELAXED);
    return over && (phase == TAB_WAKES || phase == TAB_LEARNS) ? TAB_SPENT : phase;
}

/* ---- the rules ---- */

/* Its one wake begins, and what it asks for belongs to connecting again. */
static bool wake_once(tab_t *tab, const tab_request_t *request, uint64_t now_ms)
{
    learn(tab, request->fingerprint);
    set_phase(tab, TAB_WAKES, now_ms + TABS_WAKE_MS);
    return true;
}

/* A request that was not seen before. What changes something is a person's, unless it comes again and again:
 * the third time it is known. */
static bool wake_for(tab_t *tab, const tab_request_t *request, uint64_t now_ms)
{
    if (!request->unsafe)
        return wake_once(tab, request, now_ms);
    learn(tab, knows(tab, ~request->fingerprint) ? request->fingerprint : ~request->fingerprint);
    set_phase(tab, TAB_NONE, 0);
    return true;
}

bool tabs_may_wake(tabs_t *tabs, const tab_request_t *request, uint64_t now_ms)
{
    tab_t *tab = find(tabs, request->key);
    if (tab == NULL) {
        tab = take(tabs, request->key);
        set_phase(tab, TAB_NONE, 0);
    }
    atomic_store_explicit(&tab->seen_ms, now_ms, RELAXED);
    tab_phase_t phase = phase_of(tab, now_ms);
    if (phase == TAB_WAKES) {
        learn(tab, request->fingerprint);
        return true;
    }
    if (!knows(tab, request->fingerprint))
        return wake_for(tab, request, now_ms);
    if (phase == TAB_NONE)
        return wake_once(tab, request, now_ms);
    set_phase(tab, TAB_SPENT, 0); /* also where the box slept again while it learnt */
    return false;
}

/* More than connecting again: the page may wake its box once more. What it asks for by the clock is known
 * from now on; what changes something stays a person's. */
static void credit(tab_t *tab, const tab_request_t *request)
{
    if (!request->unsafe)
        learn(tab, request->fingerprint);
    set_phase(tab, TAB_NONE, 0);
}

void tabs_note(tabs_t *tabs, const tab_request_t *request, uint64_t now_ms)
{
    tab_t *tab = find(tabs, request->key);
    if (tab == NULL)
        return;
    atomic_store_explicit(&tab->seen_ms, now_ms, RELAXED);
    switch (phase_of(tab, now_ms)) {
    case TAB_WAKES:
        set_phase(tab, TAB_LEARNS, now_ms + TABS_LEARN_MS);
        learn(tab, request->fingerprint);
        break;
    case TAB_LEARNS:
        learn(tab, request->fingerprint);
        break;
    case TAB_SPENT:
        if (!knows(tab, request->fingerprint))
            credit(tab, request);
        break;
    case TAB_NONE:
        break;
    }
}

void tabs_person(tabs_t *tabs, uint64_t key)
{
    tab_t *tab = find(tabs, key);
    if (tab != NULL)
        drop(tabs, tab);
}

void tabs_typed(tabs_t *tabs, uint64_t key, uint64_t now_ms)
{
    tab_t *tab = find(tabs, key);
    if (tab != NULL && phase_of(tab, now_ms) == TAB_SPENT)
        set_phase(tab, TAB_NONE, 0);
}
