/*
 * A keyed 64-bit hash of a few instructions, for tables that each request reads: folded 128-bit
 * products. The secret seed prevents clients from choosing inputs that collide. The hash must stay
 * inside the process: unlike siphash, it reveals its key to a reader of its results.
 */
#ifndef BOXEDGE_FOLD_HASH_H
#define BOXEDGE_FOLD_HASH_H

#include "address.h"

static inline uint64_t fold_multiply(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t fold_hash_end(const uint64_t seed[2], uint64_t hash)
{
    return fold_multiply(hash ^ seed[1], 0x9e3779b97f4a7c15u ^ seed[0]);
}

/* Equal for all addresses of an IPv6 /64: a client with one of them has all of them. */
static inline uint64_t fold_hash_client(const uint64_t seed[2], const struct in6_addr *address)
{
    uint64_t part[2];
    memcpy(part, address, sizeof(part));
    if (!address_is_v4(address))
        part[1] = 0;
    return fold_hash_end(seed, fold_multiply(part[0] ^ seed[0], part[1] ^ seed[1]));
}

static inline uint64_t fold_hash_text(const uint64_t seed[2], str_t text)
{
    uint64_t hash = seed[0] ^ text.n;
    for (size_t at = 0; at < text.n; at += sizeof(uint64_t)) {
        uint64_t word = 0;
        size_t left = text.n - at;
        memcpy(&word, text.p + at, left < sizeof(word) ? left : sizeof(word));
        hash = fold_multiply(hash ^ word, seed[1] ^ 0x9e3779b97f4a7c15u);
    }
    return fold_hash_end(seed, hash);
}

#endif
