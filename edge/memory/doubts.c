/* See doubts.h. A state is a kind and, in the bits above it, the owner. */
#include "doubts.h"

#include <assert.h>
#include <string.h>

#define KIND_BITS 8u
#define WORDS     (sizeof(((doubt_t *)0)->id) / sizeof(uint64_t))

enum kind { FREE = 0, RESERVED, STATED, ORPHANED };

static uint32_t state_of(enum kind kind, unsigned worker)
{
    return (uint32_t)kind | (worker << KIND_BITS);
}

static enum kind kind_of(uint32_t state)
{
    return (enum kind)(state & ((1u << KIND_BITS) - 1));
}

static bool counts(uint32_t state)
{
    return kind_of(state) == STATED || kind_of(state) == ORPHANED;
}

static void to_words(str_t id, uint64_t words[WORDS])
{
    assert(id.n <= DOUBT_ID_MAX);
    memset(words, 0, WORDS * sizeof(*words));
    memcpy(words, id.p, id.n);
}

bool doubts_reserve(doubts_t *doubts, unsigned worker, doubt_claim_t *claim, str_t id)
{
    uint64_t words[WORDS];
    to_words(id, words);
    if (claim->count == DOUBT_CLAIM_MAX)
        return false;
    for (uint16_t i = 0; i < DOUBTS_MAX; i++) {
        doubt_t *cell = &doubts->cells[i];
        uint32_t expected = FREE;
        if (atomic_load_explicit(&cell->state, memory_order_relaxed) != FREE ||
            !atomic_compare_exchange_strong(&cell->state, &expected, state_of(RESERVED, worker)))
            continue;
        for (size_t word = 0; word < WORDS; word++)
            atomic_store_explicit(&cell->id[word], words[word], memory_order_relaxed);
        claim->cells[claim->count++] = i;
        return true;
    }
    return false;
}

void doubts_state(doubts_t *doubts, unsigned worker, const doubt_claim_t *claim)
{
    /* Count first: a death in between leaves the count too high, which costs only some searches. */
    atomic_fetch_add(&doubts->stated, claim->count);
    for (uint32_t i = 0; i < claim->count; i++)
        atomic_store(&doubts->cells[claim->cells[i]].state, state_of(STATED, worker));
}

void doubts_release(doubts_t *doubts, doubt_claim_t *claim)
{
    for (uint32_t i = 0; i < claim->count; i++)
        if (counts(atomic_exchange(&doubts->cells[claim->cells[i]].state, FREE)))
            atomic_fetch_sub(&doubts->stated, 1);
    claim->count = 0;
}

void doubts_orphan(doubts_t *doubts, doubt_claim_t *claim)
{
    for (uint32_t i = 0; i < claim->count; i++)
        atomic_store(&doubts->cells[claim->cells[i]].state, ORPHANED);
    claim->count = 0;
}

/* A cell that now belongs to another box no longer marks this one as doubted. */
static bool is_of(const doubt_t *cell, const uint64_t words[WORDS])
{
    for (size_t word = 0; word < WORDS; word++)
        if (atomic_load_explicit(&cell->id[word], memory_order_relaxed) != words[word])
            return false;
    return true;
}

bool doubts_find(doubts_t *doubts, unsigned worker, str_t id, doubt_claim_t *claim)
{
    uint64_t words[WORDS];
    bool found = false;
    if (atomic_load(&doubts->stated) == 0)
        return false;
    to_words(id, words);
    for (uint16_t i = 0; i < DOUBTS_MAX && claim->count < DOUBT_CLAIM_MAX; i++) {
        doubt_t *cell = &doubts->cells[i];
        uint32_t state = atomic_load_explicit(&cell->state, memory_order_acquire);
        if (!counts(state) || !is_of(cell, words))
            continue;
        found = true;
        if (kind_of(state) == ORPHANED &&
            atomic_compare_exchange_strong(&cell->state, &state, state_of(STATED, worker)))
            claim->cells[claim->count++] = i;
    }
    return found;
}

void doubts_wipe(doubts_t *doubts, unsigned worker)
{
    for (size_t i = 0; i < DOUBTS_MAX; i++) {
        _Atomic uint32_t *state = &doubts->cells[i].state;
        uint32_t seen = atomic_load_explicit(state, memory_order_relaxed);
        if (seen == state_of(RESERVED, worker))
            atomic_store(state, FREE);
        else if (seen == state_of(STATED, worker))
            atomic_store(state, ORPHANED);
    }
}
