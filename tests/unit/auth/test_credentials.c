/* Secrets and the Authorization field. */
#include "credentials.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <openssl/evp.h>

#define MAX SECRET_PRESENTED_MAX

static void test_secret_make(void **state)
{
    (void)state;
    uint8_t random[32];
    char out[SECRET_TEXT_LEN + 1];
    for (size_t i = 0; i < 32; i++)
        random[i] = (uint8_t)(i * 9 + 250);
    memset(out, '#', sizeof(out));
    secret_make(random, out);
    assert_int_equal(strlen(out), SECRET_TEXT_LEN);
    for (size_t i = 0; i < SECRET_TEXT_LEN; i++)
        assert_non_null(strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", out[i]));
    /* All 256 bits count: a change of any one shows. */
    for (size_t bit = 0; bit < 256; bit++) {
        char other[SECRET_TEXT_LEN + 1];
        random[bit / 8] ^= (uint8_t)(1 << bit % 8);
        secret_make(random, other);
        assert_string_not_equal(out, other);
        random[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

static void test_secret_matches(void **state)
{
    (void)state;
    uint8_t hash[32];
    str_t secret = STR("user:a pass-word");
    secret_hash(secret, hash);
    assert_true(secret_matches(secret, hash));
    for (size_t bit = 0; bit < 256; bit++) { /* every bit of the hash counts */
        hash[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_false(secret_matches(secret, hash));
        hash[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_false(secret_matches(STR("user:a pass-wore"), hash));
    assert_false(secret_matches(STR("User:a pass-word"), hash));
    assert_false(secret_matches(str_make(secret.p, secret.n - 1), hash));
    assert_false(secret_matches(STR("user:a pass-word\0"), hash));
}

/* Credentials that nobody set accept nothing, not even the empty secret, whose hash is no secret. */
static void test_secret_bounds(void **state)
{
    (void)state;
    uint8_t hash[32];
    char *text = malloc(MAX + 1);
    assert_non_null(text);
    memset(text, 'x', MAX + 1);
    secret_hash(str_make(NULL, 0), hash);
    assert_false(secret_matches(str_make(NULL, 0), hash));
    assert_false(secret_matches(STR(""), hash));
    secret_hash(str_make(text, MAX), hash);
    assert_true(secret_matches(str_make(text, MAX), hash));
    secret_hash(str_make(text, MAX + 1), hash);
    assert_false(secret_matches(str_make(text, MAX + 1), hash));
    free(text);
}

/* Parses a copy of exactly its size, so that the sanitizer sees a read or write beyond it. */
static authorization_scheme_t parse(str_t value, char *secret, size_t cap, size_t *len)
{
    char *in = malloc(value.n + 1), *out = malloc(value.n != 0 ? value.n : 1);
    str_t found = STR("not set");
    assert_non_null(in);
    assert_non_null(out);
    memcpy(in, value.p, value.n);
    in[value.n] = '!';
    authorization_scheme_t scheme = authorization_parse(str_make(in, value.n), out, value.n, &found);
    assert_true(found.n <= cap);
    if (found.n != 0)
        memcpy(secret, found.p, found.n);
    *len = found.n;
    free(in);
    free(out);
    return scheme;
}

static void expect(str_t value, authorization_scheme_t expected, str_t secret)
{
    char found[4096];
    size_t len;
    authorization_scheme_t scheme = parse(value, found, sizeof(found), &len);
    if (scheme != expected || !str_eq(str_make(found, len), secret))
        fail_msg("\"%.*s\": scheme %d, secret \"%.*s\"", STR_ARG(value), (int)scheme, (int)len, found);
}

#define BEARER(value, secret) expect(STR(value), AUTHORIZATION_BEARER, STR(secret))
#define BASIC(value, secret)  expect(STR(value), AUTHORIZATION_BASIC, STR(secret))
#define OTHER(value)          expect(STR(value), AUTHORIZATION_OTHER, STR(""))

static void test_bearer(void **state)
{
    (void)state;
    BEARER("Bearer abc", "abc");
    BEARER("bearer abc", "abc");
    BEARER("BEARER abc", "abc");
    BEARER("bEaReR  \x20 abc", "abc");
    BEARER("Bearer a-b._~+/9==", "a-b._~+/9==");
    BEARER("Bearer -", "-");
    OTHER("");
    OTHER("Bearer");
    OTHER("Bearer ");
    OTHER("Bearer   ");
    OTHER(" Bearer abc");
    OTHER("Bearer\tabc");
    OTHER("Bearer \tabc");
    OTHER("Bearer abc ");
    OTHER("Bearer abc def");
    OTHER("Bearer abc, Basic Zm86");
    OTHER("Bearer abc,def");
    OTHER("Bearer \"abc\"");
    OTHER("Bearer a=b");
    OTHER("Bearer =");
    OTHER("Bearer a\0b");
    OTHER("Bearer \0");
    OTHER("Bearer \x80");
    OTHER("Bearerabc");
    OTHER("Bearers abc");
    OTHER("Beare abc");
    OTHER("Token abc");
    OTHER("abc");
}

static void test_basic(void **state)
{
    (void)state;
    BASIC("Basic dXNlcjpwYXNz", "user:pass");
    BASIC("basic dXNlcjpwYXNz", "user:pass");
    BASIC("BASIC    dXNlcjpwYXNz", "user:pass");
    BASIC("Basic dTpw", "u:p");
    BASIC("Basic dTpwdw==", "u:pw");
    BASIC("Basic dTpwdzI=", "u:pw2");
    BASIC("Basic dTphOmI=", "u:a:b"); /* the first colon splits; the password may contain more */
    BASIC("Basic Og==", ":");
    BASIC("Basic OnA=", ":p");
    BASIC("Basic dTo=", "u:");
    BASIC("Basic w7w6w6k=", "\xc3\xbc:\xc3\xa9"); /* u-umlaut, e-acute in UTF-8 */
    OTHER("Basic");
    OTHER("Basic ");
    OTHER("Basic dXNlcg==");  /* no colon */
    OTHER("Basic dTpwdw=");   /* padding removed */
    OTHER("Basic dTpwdw");    /* no padding */
    OTHER("Basic dTpwdw==="); /* too much */
    OTHER("Basic dTpwdx==");  /* unused bits set */
    OTHER("Basic dTpw dTpw");
    OTHER("Basic dTpw,");
    OTHER("Basic user:pass");
    OTHER("Basic dT-w"); /* the other alphabet */
    OTHER("Basic dTpw\n");
    OTHER("Basic dToA"); /* "u:" and NUL */
    OTHER("Basic dToN"); /* CR */
    OTHER("Basic CTpw"); /* TAB ":p" */
    OTHER("Basic dTp/"); /* DEL */
}

/* A secret at the bound and one above it, for both schemes. */
static void test_lengths(void **state)
{
    (void)state;
    static char value[4 * MAX], secret[2 * MAX], found[4 * MAX];
    size_t len;
    memset(secret, 'x', sizeof(secret));
    secret[3] = ':';
    memcpy(value, "Basic ", 6);
    for (size_t n = MAX - 5; n <= MAX + 5; n++) {
        int text = EVP_EncodeBlock((unsigned char *)value + 6, (const unsigned char *)secret, (int)n);
        authorization_scheme_t scheme = parse(str_make(value, 6 + (size_t)text), found, sizeof(found), &len);
        assert_int_equal(scheme, n <= MAX ? AUTHORIZATION_BASIC : AUTHORIZATION_OTHER);
        assert_int_equal(len, n <= MAX ? n : 0);
        assert_memory_equal(found, secret, len);
    }
    memset(value, 'x', sizeof(value));
    memcpy(value, "Bearer ", 7);
    assert_int_equal(parse(str_make(value, 7 + MAX), found, sizeof(found), &len), AUTHORIZATION_BEARER);
    assert_int_equal(len, MAX);
    assert_int_equal(parse(str_make(value, 7 + MAX + 1), found, sizeof(found), &len), AUTHORIZATION_OTHER);
    assert_int_equal(len, 0);
}

/* A value that was decoded and then refused does not stay in memory. */
static void test_refused_is_cleansed(void **state)
{
    (void)state;
    static const char *const refused[] = {
        "Basic cGFzc3dvcmQ=", "Basic cGFzczp3bwNyZGE=", "Basic cGFzczp3b3Jk!A=="};
    for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++) {
        char out[64] = {0};
        str_t secret;
        assert_int_equal(authorization_parse(str_from(refused[i]), out, sizeof(out), &secret),
                         AUTHORIZATION_OTHER);
        assert_null(memmem(out, sizeof(out), "pass", 4));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_secret_make),
        cmocka_unit_test(test_secret_matches),
        cmocka_unit_test(test_secret_bounds),
        cmocka_unit_test(test_bearer),
        cmocka_unit_test(test_basic),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_refused_is_cleansed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
