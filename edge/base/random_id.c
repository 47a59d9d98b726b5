#include "random_id.h"

#include <assert.h>
#include <stdlib.h>

#include <openssl/crypto.h>
#include <openssl/rand.h>

#define BATCH 2048

struct random_source {
    unsigned char bytes[BATCH];
    size_t used;
};

random_source_t *random_source_new(void)
{
    random_source_t *source = calloc(1, sizeof(*source));
    assert(source != NULL);
    source->used = BATCH;
    return source;
}

void random_source_free(random_source_t **source)
{
    if (*source != NULL)
        OPENSSL_cleanse(*source, sizeof(**source));
    free(*source);
    *source = NULL;
}

void random_bytes(random_source_t *source, unsigned char *out, size_t n)
{
    assert(n <= 32);
    if (source->used + n > BATCH) {
        int ok = RAND_bytes(source->bytes, BATCH);
        assert(ok == 1);
        source->used = 0;
    }
    memcpy(out, source->bytes + source->used, n);
    source->used += n;
}

void random_hex(random_source_t *source, char *out, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    unsigned char bytes[32];
    assert(n % 2 == 0 && n <= 64);
    random_bytes(source, bytes, n / 2);
    for (size_t i = 0; i < n; i += 2) {
        out[i] = digits[bytes[i / 2] >> 4];
        out[i + 1] = digits[bytes[i / 2] & 15];
    }
}
