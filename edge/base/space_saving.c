/*
 * Buckets in ascending order of their counts, each with the list of its entries. An addition moves an entry
 * to the bucket with the next count, which is the neighbour or a new one. The first bucket has the entry that
 * the next new name takes.
 */
#include "space_saving.h"

#include <assert.h>
#include <stdlib.h>

#include "fold_hash.h"

#define NONE UINT16_MAX

typedef struct entry {
    uint64_t error;
    uint16_t chain;      /* next entry of its hash */
    uint16_t bucket;     /* of its count */
    uint16_t prev, next; /* in the bucket; a ring */
    uint8_t name_len;
    char name[SPACE_SAVING_NAME_MAX];
} entry_t;

typedef struct bucket {
    uint64_t count;
    uint16_t first;      /* of its entries; NONE: the bucket is free */
    uint16_t prev, next; /* lower and higher counts; of a free one, `next` is the next free one */
} bucket_t;

struct space_saving {
    uint64_t seed[2];
    unsigned size, used;
    uint16_t lowest; /* bucket; NONE: no entries */
    uint16_t free_bucket;
    unsigned mask; /* of `heads` */
    entry_t *entries;
    bucket_t *buckets; /* size + 1: an entry that moves may need one before its old one is empty */
    uint16_t *heads;
};

space_saving_t *space_saving_new(unsigned entries, const uint64_t seed[2])
{
    assert(entries >= 1 && entries <= SPACE_SAVING_MAX);
    unsigned heads = 2;
    while (heads < 2 * entries)
        heads *= 2;
    space_saving_t *summary = calloc(1, sizeof(*summary));
    assert(summary != NULL);
    *summary = (space_saving_t){.seed = {seed[0], seed[1]},
                                .size = entries,
                                .lowest = NONE,
                                .mask = heads - 1,
                                .entries = calloc(entries, sizeof(entry_t)),
                                .buckets = calloc(entries + 1, sizeof(bucket_t)),
                                .heads = calloc(heads, sizeof(uint16_t))};
    assert(summary->entries != NULL && summary->buckets != NULL && summary->heads != NULL);
    for (unsigned i = 0; i < heads; i++)
        summary->heads[i] = NONE;
    for (unsigned i = 0; i <= entries; i++)
        summary->buckets[i] = (bucket_t){.first = NONE, .next = (uint16_t)(i < entries ? i + 1 : NONE)};
    return summary;
}

void space_saving_free(space_saving_t **summary)
{
    if (*summary == NULL)
        return;
    free((*summary)->entries);
    free((*summary)->buckets);
    free((*summary)->heads);
    free(*summary);
    *summary = NULL;
}

/* ---- buckets ---- */

/* A new bucket above `below` (NONE: the lowest). */
static uint16_t insert_bucket(space_saving_t *summary, uint16_t below, uint64_t count)
{
    uint16_t at = summary->free_bucket;
    assert(at != NONE);
    bucket_t *bucket = &summary->buckets[at];
    summary->free_bucket = bucket->next;
    uint16_t above = below != NONE ? summary->buckets[below].next : summary->lowest;
    *bucket = (bucket_t){.count = count, .first = NONE, .prev = below, .next = above};
    if (below != NONE)
        summary->buckets[below].next = at;
    else
        summary->lowest = at;
    if (above != NONE)
        summary->buckets[above].prev = at;
    return at;
}

static void remove_bucket(space_saving_t *summary, uint16_t at)
{
    bucket_t *bucket = &summary->buckets[at];
    assert(bucket->first == NONE);
    if (bucket->prev != NONE)
        summary->buckets[bucket->prev].next = bucket->next;
    else
        summary->lowest = bucket->next;
    if (bucket->next != NONE)
        summary->buckets[bucket->next].prev = bucket->prev;
    bucket->next = summary->free_bucket;
    summary->free_bucket = at;
}

/* Puts the entry at the end of the bucket. */
static void enter(space_saving_t *summary, uint16_t at, uint16_t entry)
{
    bucket_t *bucket = &summary->buckets[at];
    entry_t *e = &summary->entries[entry];
    e->bucket = at;
    if (bucket->first == NONE) {
        bucket->first = e->prev = e->next = entry;
        return;
    }
    entry_t *first = &summary->entries[bucket->first];
    e->next = bucket->first;
    e->prev = first->prev;
    summary->entries[first->prev].next = entry;
    first->prev = entry;
}

/* Takes it out of its bucket, which may be empty then. */
static void leave(space_saving_t *summary, uint16_t entry)
{
    entry_t *e = &summary->entries[entry];
    bucket_t *bucket = &summary->buckets[e->bucket];
    if (e->next == entry) {
        bucket->first = NONE;
        return;
    }
    summary->entries[e->prev].next = e->next;
    summary->entries[e->next].prev = e->prev;
    if (bucket->first == entry)
        bucket->first = e->next;
}

static void increment(space_saving_t *summary, uint16_t entry)
{
    uint16_t at = summary->entries[entry].bucket;
    uint64_t count = summary->buckets[at].count + 1;
    uint16_t above = summary->buckets[at].next;
    leave(summary, entry);
    if (above == NONE || summary->buckets[above].count != count)
        above = insert_bucket(summary, at, count);
    enter(summary, above, entry);
    if (summary->buckets[at].first == NONE)
        remove_bucket(summary, at);
}

/* ---- names ---- */

static uint16_t *chain_of(const space_saving_t *summary, str_t name)
{
    return &summary->heads[fold_hash_text(summary->seed, name) & summary->mask];
}

static str_t name_of(const entry_t *entry)
{
    return str_make(entry->name, entry->name_len);
}

static unsigned find(const space_saving_t *summary, str_t name)
{
    for (uint16_t at = *chain_of(summary, name); at != NONE; at = summary->entries[at].chain)
        if (str_eq(name_of(&summary->entries[at]), name))
            return at;
    return SPACE_SAVING_NONE;
}

static void forget(space_saving_t *summary, uint16_t entry)
{
    uint16_t *at = chain_of(summary, name_of(&summary->entries[entry]));
    while (*at != entry)
        at = &summary->entries[*at].chain;
    *at = summary->entries[entry].chain;
}

static void name_entry(space_saving_t *summary, uint16_t entry, str_t name)
{
    entry_t *e = &summary->entries[entry];
    uint16_t *head = chain_of(summary, name);
    memcpy(e->name, name.p, name.n);
    e->name_len = (uint8_t)name.n;
    e->chain = *head;
    *head = entry;
}

static uint16_t new_entry(space_saving_t *summary, str_t name)
{
    uint16_t entry = (uint16_t)summary->used++;
    bool has_zeros = summary->lowest != NONE && summary->buckets[summary->lowest].count == 0;
    summary->entries[entry].error = 0;
    name_entry(summary, entry, name);
    enter(summary, has_zeros ? summary->lowest : insert_bucket(summary, NONE, 0), entry);
    return entry;
}

/* The entry of a name with the lowest count, which the new name inherits as its error. */
static uint16_t take_entry(space_saving_t *summary, str_t name)
{
    uint16_t entry = summary->buckets[summary->lowest].first;
    forget(summary, entry);
    summary->entries[entry].error = summary->buckets[summary->lowest].count;
    name_entry(summary, entry, name);
    return entry;
}

unsigned space_saving_add(space_saving_t *summary, str_t name, bool *fresh)
{
    assert(name.n <= SPACE_SAVING_NAME_MAX);
    unsigned found = find(summary, name);
    *fresh = found == SPACE_SAVING_NONE;
    if (*fresh)
        found = space_saving_is_full(summary) ? take_entry(summary, name) : new_entry(summary, name);
    increment(summary, (uint16_t)found);
    return found;
}

unsigned space_saving_touch(space_saving_t *summary, str_t name, bool *fresh)
{
    assert(name.n <= SPACE_SAVING_NAME_MAX);
    unsigned found = find(summary, name);
    *fresh = found == SPACE_SAVING_NONE && !space_saving_is_full(summary);
    return *fresh ? new_entry(summary, name) : found;
}

void space_saving_halve(space_saving_t *summary)
{
    for (unsigned i = 0; i < summary->used; i++)
        summary->entries[i].error = (summary->entries[i].error + 1) / 2;
    for (uint16_t at = summary->lowest; at != NONE;) {
        bucket_t *bucket = &summary->buckets[at];
        uint16_t next = bucket->next, below = bucket->prev;
        bucket->count = (bucket->count + 1) / 2;
        if (below != NONE && summary->buckets[below].count == bucket->count) {
            while (bucket->first != NONE) {
                uint16_t entry = bucket->first;
                leave(summary, entry);
                enter(summary, below, entry);
            }
            remove_bucket(summary, at);
        }
        at = next;
    }
}

/* ---- reading ---- */

unsigned space_saving_used(const space_saving_t *summary)
{
    return summary->used;
}

bool space_saving_is_full(const space_saving_t *summary)
{
    return summary->used == summary->size;
}

str_t space_saving_name(const space_saving_t *summary, unsigned entry)
{
    assert(entry < summary->used);
    return name_of(&summary->entries[entry]);
}

uint64_t space_saving_count(const space_saving_t *summary, unsigned entry)
{
    assert(entry < summary->used);
    return summary->buckets[summary->entries[entry].bucket].count;
}

uint64_t space_saving_error(const space_saving_t *summary, unsigned entry)
{
    assert(entry < summary->used);
    return summary->entries[entry].error;
}
