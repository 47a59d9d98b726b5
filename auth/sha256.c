/* SHA256_Init and its siblings are deprecated only in favour of the general functions. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "sha256.h"

#include <assert.h>

#include <openssl/crypto.h>
#include <openssl/sha.h>

_Static_assert(SHA256_BYTES == SHA256_DIGEST_LENGTH, "one length");

static void begin(SHA256_CTX *hash, const void *bytes, size_t len)
{
    int done = SHA256_Init(hash) & SHA256_Update(hash, bytes, len);
    assert(done == 1);
}

static void end(SHA256_CTX *hash, uint8_t out[SHA256_BYTES])
{
    int done = SHA256_Final(out, hash);
    assert(done == 1);
    OPENSSL_cleanse(hash, sizeof(*hash));
}

void sha256(str_t text, uint8_t out[SHA256_BYTES])
{
    SHA256_CTX hash;
    begin(&hash, text.p, text.n);
    end(&hash, out);
}

/* Starts with the key, zero-padded to a block and XORed with `pad`. */
static void begin_keyed(SHA256_CTX *hash, const uint8_t key[SHA256_BYTES], uint8_t pad)
{
    uint8_t block[SHA256_CBLOCK];
    for (size_t i = 0; i < sizeof(block); i++)
        block[i] = (i < SHA256_BYTES ? key[i] : 0) ^ pad;
    begin(hash, block, sizeof(block));
    OPENSSL_cleanse(block, sizeof(block));
}

void hmac_sha256(const uint8_t key[SHA256_BYTES], const void *text, size_t len, uint8_t out[SHA256_BYTES])
{
    SHA256_CTX hash;
    uint8_t inner[SHA256_BYTES];
    begin_keyed(&hash, key, 0x36);
    int done = SHA256_Update(&hash, text, len);
    assert(done == 1);
    end(&hash, inner);
    begin_keyed(&hash, key, 0x5c);
    done = SHA256_Update(&hash, inner, sizeof(inner));
    assert(done == 1);
    end(&hash, out);
    OPENSSL_cleanse(inner, sizeof(inner));
}
