/*
 * FNV-1a with 64 bits (draft-eastlake-fnv), for small tables of this process whose keys no client
 * can make collide for gain. Keys that clients choose need a secret hash: siphash.h, fold_hash.h.
 */
#ifndef BOXEDGE_FNV_H
#define BOXEDGE_FNV_H

#include "str.h"

#define FNV_START 0xcbf29ce484222325u

static inline uint64_t fnv_number(uint64_t hash, uint64_t number)
{
    return (hash ^ number) * 0x100000001b3u;
}

static inline uint64_t fnv_text(uint64_t hash, str_t text)
{
    for (size_t i = 0; i < text.n; i++)
        hash = fnv_number(hash, (uint8_t)text.p[i]);
    return hash;
}

/* Folds the upper half into the lower one, because tables use the remainder of a division. */
static inline uint64_t fnv_end(uint64_t hash)
{
    return hash ^ hash >> 32;
}

#endif
