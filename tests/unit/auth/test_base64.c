/* Base64: every text of one group, the forms of padding, and one spelling for each value. */
#include "base64.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <openssl/evp.h>

static void test_digits(void **state)
{
    (void)state;
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    int digits = 0;
    for (int c = 0; c < 256; c++) {
        const char *at = c != 0 ? strchr(alphabet, c) : NULL;
        assert_int_equal(base64_digit((char)c), at != NULL ? at - alphabet : -1);
        digits += at != NULL;
    }
    assert_int_equal(digits, 64);
}

static void test_url_form(void **state)
{
    (void)state;
    uint8_t bytes[32];
    char out[BASE64URL_256_LEN + 1];
    memset(bytes, 0xff, sizeof(bytes));
    base64url_256(bytes, out);
    assert_string_equal(out, "__________________________________________8");
    memset(bytes, 0xfb, sizeof(bytes));
    base64url_256(bytes, out);
    assert_string_equal(out, "-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_s");
    memset(bytes, 0, sizeof(bytes));
    base64url_256(bytes, out);
    assert_string_equal(out, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
}

static void test_cases(void **state)
{
    (void)state;
    static const struct {
        const char *text, *expected; /* NULL: refused */
    } cases[] = {
        {"Zg==", "f"},         {"Zm8=", "fo"},         {"Zm9v", "foo"},    {"Zm9vYg==", "foob"},
        {"Zm9vYmE=", "fooba"}, {"Zm9vYmFy", "foobar"}, {"", NULL},         {"Z", NULL},
        {"Zg", NULL},          {"Zg=", NULL},          {"Zg===", NULL},    {"Zg====", NULL},
        {"====", NULL},        {"Z===", NULL},         {"=Zg=", NULL},     {"Z=g=", NULL},
        {"Zm=v", NULL},        {"Zg==Zg==", NULL},     {"Zm8=Zm9v", NULL}, {"Zh==", NULL},
        {"Zm9=", NULL},        {"Zm9v ", NULL},        {" Zm9v", NULL},    {"Zm 9v", NULL},
        {"Zm9v\n", NULL},      {"Zm9-", NULL},         {"Zm9_", NULL},     {"Zm9v=", NULL},
        {"Zm9v====", NULL},    {"Zg=a", NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char out[16];
        size_t len = 99;
        bool whole = base64_decode(str_from(cases[i].text), out, &len);
        assert_int_equal(whole, cases[i].expected != NULL);
        if (!whole)
            continue;
        assert_int_equal(len, strlen(cases[i].expected));
        assert_memory_equal(out, cases[i].expected, len);
    }
}

/* Of all last groups over a part of the alphabet, exactly the canonical ones decode: those that OpenSSL
 * writes. */
static void test_one_spelling(void **state)
{
    (void)state;
    static const char some[] = "AQgw/+9Bz=-";
    char text[4], out[4];
    size_t len, decoded = 0;
    for (size_t n = 0; n < 11 * 11 * 11 * 11; n++) {
        for (size_t i = 0, rest = n; i < 4; i++, rest /= 11)
            text[i] = some[rest % 11];
        if (!base64_decode(str_make(text, 4), out, &len))
            continue;
        unsigned char again[8];
        assert_in_range(len, 1, 3);
        assert_int_equal(EVP_EncodeBlock(again, (const unsigned char *)out, (int)len), 4);
        assert_memory_equal(again, text, 4);
        decoded++;
    }
    assert_int_equal(decoded, 6921); /* counted by another implementation */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_digits),
        cmocka_unit_test(test_url_form),
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_one_spelling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
