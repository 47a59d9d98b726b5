#include "session.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include <openssl/crypto.h>

#include "base64.h"
#include "sha256.h"

#define SIGNATURE_LEN BASE64URL_256_LEN
/* "v1.", 1 to 20 digits, ".", the signature. */
#define VALUE_MIN (3 + 1 + 1 + SIGNATURE_LEN)
#define VALUE_MAX (3 + 20 + 1 + SIGNATURE_LEN)
/* A host name has at most 253 (RFC 1035 section 2.3.4, without the dots of the wire's form). */
#define HOST_MAX 253

/* Writes the text of the signature. The signed bytes start with fields of fixed length and end with
 * the host, so that two different sessions never have the same bytes. */
static void sign(const uint8_t key[32], str_t host, uint64_t version, uint64_t expires,
                 char out[SIGNATURE_LEN + 1])
{
    uint8_t text[17 + HOST_MAX], mac[32];
    assert(host.n != 0 && host.n <= HOST_MAX);
    text[0] = 1;
    for (int i = 0; i < 8; i++) {
        text[1 + i] = (uint8_t)(version >> (56 - 8 * i));
        text[9 + i] = (uint8_t)(expires >> (56 - 8 * i));
    }
    memcpy(text + 17, host.p, host.n);
    hmac_sha256(key, text, 17 + host.n, mac);
    base64url_256(mac, out);
    OPENSSL_cleanse(mac, sizeof(mac));
}

size_t session_make(const session_keys_t *keys, str_t host, uint64_t version, uint64_t expires_unix,
                    char out[SESSION_TEXT_MAX])
{
    char signature[SIGNATURE_LEN + 1];
    sign(keys->current, host, version, expires_unix, signature);
    int n = snprintf(out, SESSION_TEXT_MAX, "v1.%" PRIu64 ".%s", expires_unix, signature);
    assert(n > 0 && n < SESSION_TEXT_MAX);
    OPENSSL_cleanse(signature, sizeof(signature));
    return (size_t)n;
}

/* The caller tries both keys, so that the time does not reveal the signing key. */
static bool signed_with(const uint8_t key[32], str_t host, uint64_t version, uint64_t expires,
                        str_t signature)
{
    static const uint8_t none[32];
    if (CRYPTO_memcmp(key, none, sizeof(none)) == 0)
        return false;
    char expected[SIGNATURE_LEN + 1];
    sign(key, host, version, expires, expected);
    bool equal = CRYPTO_memcmp(expected, signature.p, SIGNATURE_LEN) == 0;
    OPENSSL_cleanse(expected, sizeof(expected)); /* valid, but the client may have sent a wrong one */
    return equal;
}

bool session_valid(const session_keys_t *keys, str_t host, uint64_t version, uint64_t now_unix, str_t value)
{
    uint64_t expires;
    if (value.n > VALUE_MAX || value.n < VALUE_MIN || !str_starts(value, STR("v1.")))
        return false;
    str_t signature = str_from_offset(value, value.n - SIGNATURE_LEN);
    str_t digits = str_make(value.p + 3, value.n - 3 - SIGNATURE_LEN - 1);
    if (signature.p[-1] != '.' || digits.p[0] == '0' || !str_to_uint(digits, UINT64_MAX, &expires))
        return false;
    if (expires <= now_unix)
        return false;
    bool current = signed_with(keys->current, host, version, expires, signature);
    bool previous = signed_with(keys->previous, host, version, expires, signature);
    return current || previous;
}
