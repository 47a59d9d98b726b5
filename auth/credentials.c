#include "credentials.h"

#include <assert.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/sha.h>

/* base64url (RFC 4648 section 5), without padding. */
static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void secret_make(const uint8_t random[32], char out[SECRET_TEXT_LEN + 1])
{
    uint32_t bits = 0;
    unsigned have = 0;
    size_t n = 0;
    for (size_t i = 0; i < 32; i++) {
        bits = bits << 8 | random[i];
        for (have += 8; have >= 6; have -= 6)
            out[n++] = alphabet[bits >> (have - 6) & 63];
    }
    out[n++] = alphabet[bits << (6 - have) & 63];
    assert(n == SECRET_TEXT_LEN);
    out[n] = '\0';
}

void secret_hash(str_t secret, uint8_t out[32])
{
    unsigned len = 32;
    int done = EVP_Digest(secret.p, secret.n, out, &len, EVP_sha256(), NULL);
    assert(done == 1 && len == 32);
}

bool secret_matches(str_t presented, const uint8_t sha256[32])
{
    uint8_t shown[32];
    if (presented.n == 0 || presented.n > SECRET_PRESENTED_MAX)
        return false;
    secret_hash(presented, shown);
    bool equal = CRYPTO_memcmp(shown, sha256, sizeof(shown)) == 0;
    OPENSSL_cleanse(shown, sizeof(shown));
    return equal;
}

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Strict base64 (RFC 4648 section 4): whole groups, padding only at the end, unused bits zero. */
static bool base64_decode(str_t text, char *out, size_t *len)
{
    size_t n = 0;
    if (text.n == 0 || text.n % 4 != 0)
        return false;
    for (size_t i = 0; i < text.n; i += 4) {
        bool last = i + 4 == text.n;
        unsigned padding =
            last ? (unsigned)(text.p[i + 3] == '=') + (text.p[i + 2] == '=' && text.p[i + 3] == '=') : 0;
        uint32_t group = 0;
        for (size_t k = 0; k < 4; k++) {
            int value = k >= 4 - padding ? 0 : base64_value(text.p[i + k]);
            if (value < 0)
                return false;
            group = group << 6 | (uint32_t)value;
        }
        if ((padding == 1 && (group & 0xff) != 0) || (padding == 2 && (group & 0xffff) != 0))
            return false;
        for (unsigned k = 0; k < 3 - padding; k++)
            out[n++] = (char)(group >> (16 - 8 * k));
    }
    *len = n;
    return true;
}

static bool has_control(str_t text)
{
    for (size_t i = 0; i < text.n; i++)
        if ((unsigned char)text.p[i] < 0x20 || text.p[i] == 0x7f)
            return true;
    return false;
}

static bool is_token68(str_t text)
{
    size_t i = 0;
    while (i < text.n &&
           (base64_value(text.p[i]) >= 0 || (text.p[i] != '\0' && strchr("-._~", text.p[i]) != NULL)))
        i++;
    if (i == 0)
        return false;
    while (i < text.n && text.p[i] == '=')
        i++;
    return i == text.n;
}

authorization_scheme_t authorization_parse(str_t value, char *out, size_t cap, str_t *secret)
{
    assert(cap >= value.n);
    const char *space = value.n != 0 ? memchr(value.p, ' ', value.n) : NULL;
    if (space == NULL)
        return AUTHORIZATION_OTHER;
    str_t scheme = str_make(value.p, (size_t)(space - value.p));
    str_t token = str_from_offset(value, scheme.n);
    while (token.n != 0 && token.p[0] == ' ')
        token = str_from_offset(token, 1);
    if (token.n == 0 || token.n > 2 * SECRET_PRESENTED_MAX)
        return AUTHORIZATION_OTHER;
    if (str_ieq(scheme, STR("bearer")) && is_token68(token)) {
        *secret = token;
        return AUTHORIZATION_BEARER;
    }
    size_t len;
    if (!str_ieq(scheme, STR("basic")) || !base64_decode(token, out, &len))
        return AUTHORIZATION_OTHER;
    *secret = str_make(out, len);
    if (memchr(out, ':', len) == NULL || has_control(*secret))
        return AUTHORIZATION_OTHER;
    return AUTHORIZATION_BASIC;
}
