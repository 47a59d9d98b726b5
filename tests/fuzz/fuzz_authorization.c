/* Authorization values of any bytes: a secret is found only if writing it again gives the same value, and the
 * part behind a scheme has one reading. */
#include <assert.h>

#include <openssl/evp.h>

#include "credentials.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The part behind the scheme's name and the spaces. */
static str_t token_of(str_t value)
{
    while (value.n != 0 && value.p[0] != ' ')
        value = str_from_offset(value, 1);
    while (value.n != 0 && value.p[0] == ' ')
        value = str_from_offset(value, 1);
    return value;
}

static void check_bearer(str_t value, str_t secret)
{
    assert(str_ieq(str_make(value.p, 7), STR("bearer ")));
    assert(secret.p >= value.p && secret.p + secret.n == value.p + value.n);
    assert(str_eq(secret, token_of(value)));
    for (size_t i = 0; i < secret.n; i++)
        assert(secret.p[i] > ' ' && secret.p[i] <= '~' && secret.p[i] != ',');
}

static void check_basic(str_t value, str_t secret, const char *out)
{
    unsigned char again[2 * SECRET_PRESENTED_MAX];
    assert(str_ieq(str_make(value.p, 6), STR("basic ")));
    assert(secret.p == out && memchr(secret.p, ':', secret.n) != NULL);
    int n = EVP_EncodeBlock(again, (const unsigned char *)secret.p, (int)secret.n);
    assert(str_eq(str_make((const char *)again, (size_t)n), token_of(value)));
    for (size_t i = 0; i < secret.n; i++)
        assert((unsigned char)secret.p[i] >= ' ' && secret.p[i] != 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    str_t value = str_make((const char *)data, size), secret;
    char *out = malloc(size != 0 ? size : 1); /* of exactly the requested size */
    assert(out != NULL);
    authorization_scheme_t scheme = authorization_parse(value, out, size, &secret);
    assert(secret.n <= SECRET_PRESENTED_MAX);
    assert((scheme == AUTHORIZATION_OTHER) == (secret.n == 0));
    if (scheme == AUTHORIZATION_BEARER)
        check_bearer(value, secret);
    else if (scheme == AUTHORIZATION_BASIC)
        check_basic(value, secret, out);
    free(out);
    return 0;
}
