#include "credentials.h"

#include <assert.h>

#include <openssl/crypto.h>

#include "base64.h"
#include "sha256.h"

/* Base64 of the longest secret. */
#define BASIC_TOKEN_MAX ((SECRET_PRESENTED_MAX + 2) / 3 * 4)

void secret_make(const uint8_t random[32], char out[SECRET_TEXT_LEN + 1])
{
    base64url_256(random, out);
}

void secret_hash(str_t secret, uint8_t out[32])
{
    sha256(secret, out);
}

bool secret_matches(str_t presented, const uint8_t hash[32])
{
    uint8_t shown[32];
    if (presented.n == 0 || presented.n > SECRET_PRESENTED_MAX)
        return false;
    secret_hash(presented, shown);
    bool equal = CRYPTO_memcmp(shown, hash, sizeof(shown)) == 0;
    OPENSSL_cleanse(shown, sizeof(shown));
    return equal;
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
           (base64_digit(text.p[i]) >= 0 || (text.p[i] != '\0' && strchr("-._~", text.p[i]) != NULL)))
        i++;
    if (i == 0)
        return false;
    while (i < text.n && text.p[i] == '=')
        i++;
    return i == text.n;
}

/* Decodes "user:password" from base64; empty if malformed. */
static str_t basic_parse(str_t token, char *out)
{
    size_t len = 0;
    bool whole = base64_decode(token, out, &len);
    str_t pair = str_make(out, len);
    if (whole && len <= SECRET_PRESENTED_MAX && memchr(out, ':', len) != NULL && !has_control(pair))
        return pair;
    OPENSSL_cleanse(out, token.n);
    return str_make(NULL, 0);
}

authorization_scheme_t authorization_parse(str_t value, char *out, size_t cap, str_t *secret)
{
    assert(cap >= value.n);
    *secret = str_make(NULL, 0);
    const char *space = value.n != 0 ? memchr(value.p, ' ', value.n) : NULL;
    if (space == NULL)
        return AUTHORIZATION_OTHER;
    str_t scheme = str_make(value.p, (size_t)(space - value.p));
    str_t token = str_from_offset(value, scheme.n);
    while (token.n != 0 && token.p[0] == ' ')
        token = str_from_offset(token, 1);
    if (str_ieq(scheme, STR("bearer")) && token.n <= SECRET_PRESENTED_MAX && is_token68(token)) {
        *secret = token;
        return AUTHORIZATION_BEARER;
    }
    if (!str_ieq(scheme, STR("basic")) || token.n > BASIC_TOKEN_MAX)
        return AUTHORIZATION_OTHER;
    *secret = basic_parse(token, out);
    return secret->n != 0 ? AUTHORIZATION_BASIC : AUTHORIZATION_OTHER;
}
