/* SHA-256 and its HMAC against published vectors, and against OpenSSL's general functions for every length.
 */
#include "sha256.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

/* FIPS 180-4's examples: "abc" and the empty message. */
static void test_vectors(void **state)
{
    (void)state;
    static const uint8_t abc[32] = {0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40,
                                    0xde, 0x5d, 0xae, 0x22, 0x23, 0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17,
                                    0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad};
    static const uint8_t empty[32] = {0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4,
                                      0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b,
                                      0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55};
    uint8_t out[32];
    sha256(STR("abc"), out);
    assert_memory_equal(out, abc, 32);
    sha256(str_make(NULL, 0), out);
    assert_memory_equal(out, empty, 32);
}

static void test_all_lengths(void **state)
{
    (void)state;
    uint8_t key[32];
    for (size_t i = 0; i < sizeof(key); i++)
        key[i] = (uint8_t)(i * 37 + 5);
    for (size_t len = 0; len <= 300; len++) {
        uint8_t *text = malloc(len + 1), ours[32], theirs[32];
        unsigned n = 32;
        assert_non_null(text);
        for (size_t i = 0; i < len; i++)
            text[i] = (uint8_t)(i * 31 + len);
        sha256(str_make((const char *)text, len), ours);
        assert_int_equal(EVP_Digest(text, len, theirs, &n, EVP_sha256(), NULL), 1);
        assert_memory_equal(ours, theirs, 32);
        key[len % 32] ^= (uint8_t)(len * 7 + 1);
        hmac_sha256(key, text, len, ours);
        assert_non_null(HMAC(EVP_sha256(), key, 32, text, len, theirs, &n));
        assert_memory_equal(ours, theirs, 32);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_vectors), cmocka_unit_test(test_all_lengths)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
