/*
 * SipHash-2-4 (Aumasson and Bernstein, 2012): a 64-bit hash under a secret key. A client that
 * chooses names cannot choose which of them collide.
 */
#ifndef BOXEDGE_SIPHASH_H
#define BOXEDGE_SIPHASH_H

#include "str.h"

#define SIPHASH_KEY_BYTES 16

typedef struct siphash_key {
    uint8_t bytes[SIPHASH_KEY_BYTES];
} siphash_key_t;

uint64_t siphash(const siphash_key_t *key, const void *data, size_t len);

#endif
