#include "session.h"

#include <assert.h>
#include <stdio.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

/* 43 characters of base64url for 32 bytes (without padding). */
#define SIGNATURE_LEN 43
#define EXPIRY_DIGITS 20

/* What is signed: fixed lengths first, the host last, so that no two sessions have one text. */
static void sign(const uint8_t key[32], str_t host, uint64_t version, uint64_t expires, uint8_t out[32])
{
    uint8_t text[17 + 256];
    assert(host.n <= 256);
    text[0] = 1;
    for (int i = 0; i < 8; i++) {
        text[1 + i] = (uint8_t)(version >> (56 - 8 * i));
        text[9 + i] = (uint8_t)(expires >> (56 - 8 * i));
    }
    memcpy(text + 17, host.p, host.n);
    unsigned len = 32;
    const unsigned char *mac = HMAC(EVP_sha256(), key, 32, text, 17 + host.n, out, &len);
    assert(mac != NULL && len == 32);
}

static void encode(const uint8_t mac[32], char out[SIGNATURE_LEN + 1])
{
    unsigned char base64[45]; /* 44 characters and a NUL */
    EVP_EncodeBlock(base64, mac, 32);
    for (size_t i = 0; i < SIGNATURE_LEN; i++)
        out[i] = base64[i] == '+' ? '-' : base64[i] == '/' ? '_' : (char)base64[i];
    out[SIGNATURE_LEN] = '\0';
}

size_t session_make(const session_keys_t *keys, str_t host, uint64_t version, uint64_t expires_unix,
                    char out[SESSION_TEXT_MAX])
{
    uint8_t mac[32];
    char signature[SIGNATURE_LEN + 1];
    sign(keys->current, host, version, expires_unix, mac);
    encode(mac, signature);
    int n = snprintf(out, SESSION_TEXT_MAX, "v1.%llu.%s", (unsigned long long)expires_unix, signature);
    assert(n > 0 && n < SESSION_TEXT_MAX);
    return (size_t)n;
}

static bool signed_with(const uint8_t key[32], str_t host, uint64_t version, uint64_t expires,
                        str_t signature)
{
    static const uint8_t none[32];
    if (CRYPTO_memcmp(key, none, sizeof(none)) == 0)
        return false;
    uint8_t mac[32];
    char expected[SIGNATURE_LEN + 1];
    sign(key, host, version, expires, mac);
    encode(mac, expected);
    return CRYPTO_memcmp(expected, signature.p, SIGNATURE_LEN) == 0;
}

bool session_valid(const session_keys_t *keys, str_t host, uint64_t version, uint64_t now_unix, str_t value)
{
    uint64_t expires;
    if (value.n >= SESSION_TEXT_MAX || value.n < 3 + 1 + 1 + SIGNATURE_LEN || !str_starts(value, STR("v1.")))
        return false;
    str_t signature = str_from_offset(value, value.n - SIGNATURE_LEN);
    str_t digits = str_make(value.p + 3, value.n - 3 - SIGNATURE_LEN - 1);
    if (signature.p[-1] != '.' || digits.n > EXPIRY_DIGITS || digits.p[0] == '0' ||
        !str_to_uint(digits, UINT64_MAX, &expires))
        return false;
    if (expires <= now_unix || host.n > 256)
        return false;
    bool current = signed_with(keys->current, host, version, expires, signature);
    bool previous = signed_with(keys->previous, host, version, expires, signature);
    return current || previous;
}
