#include "siphash.h"

#include "bytes.h"

typedef struct sip {
    uint64_t a, b, c, d;
} sip_t;

static inline uint64_t rotate(uint64_t x, unsigned bits)
{
    return (x << bits) | (x >> (64 - bits));
}

static inline void sip_round(sip_t *s)
{
    s->a += s->b;
    s->b = rotate(s->b, 13) ^ s->a;
    s->a = rotate(s->a, 32);
    s->c += s->d;
    s->d = rotate(s->d, 16) ^ s->c;
    s->a += s->d;
    s->d = rotate(s->d, 21) ^ s->a;
    s->c += s->b;
    s->b = rotate(s->b, 17) ^ s->c;
    s->c = rotate(s->c, 32);
}

static inline void sip_word(sip_t *s, uint64_t word)
{
    s->d ^= word;
    sip_round(s);
    sip_round(s);
    s->a ^= word;
}

uint64_t siphash(const siphash_key_t *key, const void *data, size_t len)
{
    const uint8_t *p = data;
    uint64_t k0 = bytes_get64(key->bytes), k1 = bytes_get64(key->bytes + 8);
    sip_t s = {.a = k0 ^ 0x736f6d6570736575u,
               .b = k1 ^ 0x646f72616e646f6du,
               .c = k0 ^ 0x6c7967656e657261u,
               .d = k1 ^ 0x7465646279746573u};
    size_t left = len;
    for (; left >= 8; left -= 8, p += 8)
        sip_word(&s, bytes_get64(p));
    /* The last word has the remaining bytes and the length modulo 256. */
    uint8_t last[8] = {0};
    if (left != 0)
        memcpy(last, p, left);
    last[7] = (uint8_t)len;
    sip_word(&s, bytes_get64(last));
    s.c ^= 0xff;
    for (int i = 0; i < 4; i++)
        sip_round(&s);
    return s.a ^ s.b ^ s.c ^ s.d;
}
