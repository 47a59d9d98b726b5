/* SipHash-2-4 against the vector of its paper and against OpenSSL's, for every length up to some blocks. */
#include "siphash.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>

static siphash_key_t counting_key(void)
{
    siphash_key_t key;
    for (uint8_t i = 0; i < SIPHASH_KEY_BYTES; i++)
        key.bytes[i] = i;
    return key;
}

/* Appendix A of the paper: the bytes 0 to 14 under the key of the bytes 0 to 15. */
static void test_paper(void **state)
{
    (void)state;
    siphash_key_t key = counting_key();
    assert_true(siphash(&key, key.bytes, 15) == 0xa129ca6149be45e5u);
}

static uint64_t openssl_siphash(const siphash_key_t *key, const uint8_t *data, size_t len)
{
    uint64_t hash = 0;
    size_t size = sizeof(hash), out;
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "SIPHASH", NULL);
    assert_non_null(mac);
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(mac);
    OSSL_PARAM params[] = {OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &size),
                           OSSL_PARAM_construct_end()};
    assert_int_equal(EVP_MAC_init(ctx, key->bytes, SIPHASH_KEY_BYTES, params), 1);
    assert_int_equal(EVP_MAC_update(ctx, data, len), 1);
    assert_int_equal(EVP_MAC_final(ctx, (unsigned char *)&hash, &out, sizeof(hash)), 1);
    assert_int_equal(out, sizeof(hash));
    EVP_MAC_CTX_free(ctx);
    EVP_MAC_free(mac);
    return hash;
}

static void test_all_lengths(void **state)
{
    (void)state;
    siphash_key_t key = counting_key();
    for (size_t len = 0; len <= 300; len++) {
        uint8_t *data = malloc(len + 1); /* of that size, so that the sanitizer sees a read beyond */
        assert_non_null(data);
        for (size_t i = 0; i < len; i++)
            data[i] = (uint8_t)(i * 31 + len);
        key.bytes[len % SIPHASH_KEY_BYTES] ^= (uint8_t)(len * 7);
        assert_true(siphash(&key, data, len) == openssl_siphash(&key, data, len));
        free(data);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paper),
        cmocka_unit_test(test_all_lengths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
