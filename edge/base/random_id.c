#include "random_id.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

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

/* Every byte in hex: each request has an id. */
#define LOW(high)                                                                                            \
    high "0" high "1" high "2" high "3" high "4" high "5" high "6" high "7" high "8" high "9" high "a" high  \
         "b" high "c" high "d" high "e" high "f"
static const char pairs[] = LOW("0") LOW("1") LOW("2") LOW("3") LOW("4") LOW("5") LOW("6") LOW("7") LOW("8")
    LOW("9") LOW("a") LOW("b") LOW("c") LOW("d") LOW("e") LOW("f");
_Static_assert(sizeof(pairs) == 513, "two digits a byte");

void random_hex(random_source_t *source, char *out, size_t n)
{
    unsigned char bytes[32];
    assert(n % 2 == 0 && n <= 64);
    random_bytes(source, bytes, n / 2);
    for (size_t i = 0; i < n / 2; i++)
        memcpy(out + 2 * i, pairs + 2 * (size_t)bytes[i], 2);
}
