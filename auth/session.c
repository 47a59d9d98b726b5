#include "session.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include <openssl/crypto.h>

#include "base64.h"
#include "sha256.h"

#define SIGNATURE_LEN BASE64URL_256_LEN
/* "v1.", 1 to 20 digits, ".", the signature. */
#define VALUE_MIN   (3 + 1 + 1 + SIGNATURE_LEN)
#define VALUE_MAX   (3 + 20 + 1 + SIGNATURE_LEN)
#define LINK_DIGITS 16
/* A host name has at most 253 (RFC 1035 section 2.3.4, without the dots of the wire's form). */
#define HOST_MAX 253

/* What a signature covers, beside the host. */
#define KIND_OWN  1
#define KIND_LINK 2
typedef struct covered {
    uint64_t at[4]; /* version, expiry; of a link's session also link and number */
    uint8_t kind;
} covered_t;

static uint8_t *put_number(uint8_t *at, uint64_t number)
{
    for (int i = 0; i < 8; i++)
        at[i] = (uint8_t)(number >> (56 - 8 * i));
    return at + 8;
}

/* Writes the text of the signature. The signed bytes start with the kind and its fields of fixed length, and
 * end with the host, so that two different sessions never have the same bytes. */
static void sign(const uint8_t key[32], str_t host, const covered_t *covered, char out[SIGNATURE_LEN + 1])
{
    uint8_t text[33 + HOST_MAX], mac[32], *at = text + 1;
    assert(host.n != 0 && host.n <= HOST_MAX);
    text[0] = covered->kind;
    for (int i = 0; i < (covered->kind == KIND_LINK ? 4 : 2); i++)
        at = put_number(at, covered->at[i]);
    memcpy(at, host.p, host.n);
    hmac_sha256(key, text, (size_t)(at - text) + host.n, mac);
    base64url_256(mac, out);
    OPENSSL_cleanse(mac, sizeof(mac));
}

size_t session_make(const session_keys_t *keys, str_t host, uint64_t version, uint64_t expires_unix,
                    char out[SESSION_TEXT_MAX])
{
    char signature[SIGNATURE_LEN + 1];
    sign(keys->current, host, &(covered_t){{version, expires_unix}, KIND_OWN}, signature);
    int n = snprintf(out, SESSION_TEXT_MAX, "v1.%" PRIu64 ".%s", expires_unix, signature);
    assert(n > 0 && n < SESSION_TEXT_MAX);
    OPENSSL_cleanse(signature, sizeof(signature));
    return (size_t)n;
}

/* Both keys are tried, so that the time does not reveal the signing key. */
static bool signed_with(const uint8_t key[32], str_t host, const covered_t *covered, str_t signature)
{
    static const uint8_t none[32];
    if (CRYPTO_memcmp(key, none, sizeof(none)) == 0)
        return false;
    char expected[SIGNATURE_LEN + 1];
    sign(key, host, covered, expected);
    bool equal = CRYPTO_memcmp(expected, signature.p, SIGNATURE_LEN) == 0;
    OPENSSL_cleanse(expected, sizeof(expected)); /* valid, but the client may have sent a wrong one */
    return equal;
}

static bool signed_with_either(const session_keys_t *keys, str_t host, const covered_t *covered,
                               str_t signature)
{
    bool current = signed_with(keys->current, host, covered, signature);
    bool previous = signed_with(keys->previous, host, covered, signature);
    return current || previous;
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
    return signed_with_either(keys, host, &(covered_t){{version, expires}, KIND_OWN}, signature);
}

size_t session_link_make(const session_keys_t *keys, str_t host, uint64_t version,
                         const session_link_t *session, char out[SESSION_LINK_TEXT_MAX])
{
    char signature[SIGNATURE_LEN + 1];
    covered_t covered = {{version, session->expires, session->link, session->number}, KIND_LINK};
    sign(keys->current, host, &covered, signature);
    int n = snprintf(out, SESSION_LINK_TEXT_MAX, "l1.%016" PRIx64 ".%016" PRIx64 ".%" PRIu64 ".%s",
                     session->link, session->number, session->expires, signature);
    assert(n > 0 && n < SESSION_LINK_TEXT_MAX);
    OPENSSL_cleanse(signature, sizeof(signature));
    return (size_t)n;
}

/* Takes LINK_DIGITS lower-case hexadecimal digits and a dot. */
static bool take_hex(str_t *rest, uint64_t *out)
{
    *out = 0;
    if (rest->n <= LINK_DIGITS || rest->p[LINK_DIGITS] != '.')
        return false;
    for (size_t i = 0; i < LINK_DIGITS; i++) {
        char c = rest->p[i];
        if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f'))
            return false;
        *out = *out << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    *rest = str_from_offset(*rest, LINK_DIGITS + 1);
    return true;
}

bool session_link_read(const session_keys_t *keys, str_t host, uint64_t version, uint64_t now_unix,
                       str_t value, session_link_t *out)
{
    if (value.n >= SESSION_LINK_TEXT_MAX || !str_starts(value, STR("l1.")))
        return false;
    str_t rest = str_from_offset(value, 3);
    if (!take_hex(&rest, &out->link) || !take_hex(&rest, &out->number) || rest.n < 2 + SIGNATURE_LEN)
        return false;
    str_t signature = str_from_offset(rest, rest.n - SIGNATURE_LEN);
    str_t digits = str_make(rest.p, rest.n - SIGNATURE_LEN - 1);
    if (signature.p[-1] != '.' || digits.p[0] == '0' || !str_to_uint(digits, UINT64_MAX, &out->expires) ||
        out->expires <= now_unix)
        return false;
    covered_t covered = {{version, out->expires, out->link, out->number}, KIND_LINK};
    return signed_with_either(keys, host, &covered, signature);
}
