/* Session cookies: their bindings, and that only the signed values count. */
#include "session.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#define HOST    STR("a-1-80.p.example")
#define VERSION 42
#define EXPIRES 1800000000
#define NOW     (EXPIRES - SESSION_SECONDS)

static session_keys_t keys_of(uint8_t current, uint8_t previous)
{
    session_keys_t keys;
    memset(keys.current, current, sizeof(keys.current));
    memset(keys.previous, previous, sizeof(keys.previous));
    return keys;
}

static str_t make(const session_keys_t *keys, char out[SESSION_TEXT_MAX])
{
    size_t n = session_make(keys, HOST, VERSION, EXPIRES, out);
    assert_int_equal(out[n], '\0');
    assert_int_equal(strlen(out), n);
    return str_make(out, n);
}

/* Judges a copy of exactly its size, so that the sanitizer sees a read beyond it. */
static bool valid(const session_keys_t *keys, str_t host, uint64_t version, uint64_t now, str_t value)
{
    char *copy = malloc(value.n != 0 ? value.n : 1);
    assert_non_null(copy);
    memcpy(copy, value.p, value.n);
    bool result = session_valid(keys, host, version, now, str_make(copy, value.n));
    free(copy);
    return result;
}

/* The documented value, made here by other means. */
static void test_value(void **state)
{
    (void)state;
    session_keys_t keys = keys_of(7, 0);
    char out[SESSION_TEXT_MAX], expected[SESSION_TEXT_MAX];
    static const char text[] = "\1\0\0\0\0\0\0\0\x2a\0\0\0\0\x6b\x49\xd2\0"
                               "a-1-80.p.example";
    unsigned char mac[32], base64[45];
    unsigned n = 32;
    assert_non_null(
        HMAC(EVP_sha256(), keys.current, 32, (const unsigned char *)text, sizeof(text) - 1, mac, &n));
    assert_int_equal(EVP_EncodeBlock(base64, mac, 32), 44);
    for (size_t i = 0; i < 44; i++)
        base64[i] = base64[i] == '+' ? '-' : base64[i] == '/' ? '_' : base64[i];
    snprintf(expected, sizeof(expected), "v1.1800000000.%.43s", (char *)base64);
    (void)make(&keys, out);
    assert_string_equal(out, expected);
}

static void test_bound_to(void **state)
{
    (void)state;
    session_keys_t keys = keys_of(7, 0);
    char out[SESSION_TEXT_MAX];
    str_t value = make(&keys, out);
    assert_true(valid(&keys, HOST, VERSION, NOW, value));
    assert_true(valid(&keys, HOST, VERSION, 0, value));
    /* the preview made again, or another preview's number */
    assert_false(valid(&keys, HOST, VERSION + 1, NOW, value));
    assert_false(valid(&keys, HOST, VERSION - 1, NOW, value));
    assert_false(valid(&keys, HOST, VERSION | 1ull << 63, NOW, value));
    /* another preview, box or domain */
    assert_false(valid(&keys, STR("a-1-8.p.example"), VERSION, NOW, value));
    assert_false(valid(&keys, STR("a-1-80.p.exampl"), VERSION, NOW, value));
    assert_false(valid(&keys, STR("a-1-80.p.example."), VERSION, NOW, value));
    assert_false(valid(&keys, STR("b-1-80.p.example"), VERSION, NOW, value));
    assert_false(valid(&keys, STR("a-1-80.q.example"), VERSION, NOW, value));
}

static void test_expiry(void **state)
{
    (void)state;
    session_keys_t keys = keys_of(7, 0);
    char out[SESSION_TEXT_MAX];
    str_t value = make(&keys, out);
    assert_true(valid(&keys, HOST, VERSION, EXPIRES - 1, value));
    assert_false(valid(&keys, HOST, VERSION, EXPIRES, value));
    assert_false(valid(&keys, HOST, VERSION, UINT64_MAX, value));
    /* a later expiry was not signed */
    assert_true(str_starts(value, STR("v1.1800000000.")));
    out[4] = '9';
    assert_false(valid(&keys, HOST, VERSION, NOW, value));
    assert_false(valid(&keys, HOST, VERSION, EXPIRES, value));
    /* the largest number */
    size_t n = session_make(&keys, HOST, VERSION, UINT64_MAX, out);
    assert_int_equal(n, 3 + 20 + 1 + 43);
    assert_true(valid(&keys, HOST, VERSION, UINT64_MAX - 1, str_make(out, n)));
    assert_false(valid(&keys, HOST, VERSION, UINT64_MAX, str_make(out, n)));
    n = session_make(&keys, HOST, VERSION, 1, out);
    assert_true(valid(&keys, HOST, VERSION, 0, str_make(out, n)));
    n = session_make(&keys, HOST, VERSION, 0, out);
    assert_false(valid(&keys, HOST, VERSION, 0, str_make(out, n)));
}

static void test_keys(void **state)
{
    (void)state;
    session_keys_t old = keys_of(7, 0), rotated = keys_of(8, 7), twice = keys_of(9, 8);
    char a[SESSION_TEXT_MAX], b[SESSION_TEXT_MAX];
    str_t by_old = make(&old, a), by_new = make(&rotated, b);
    assert_true(valid(&rotated, HOST, VERSION, NOW, by_old));
    assert_true(valid(&rotated, HOST, VERSION, NOW, by_new));
    assert_false(valid(&old, HOST, VERSION, NOW, by_new));
    assert_true(valid(&twice, HOST, VERSION, NOW, by_new));
    assert_false(valid(&twice, HOST, VERSION, NOW, by_old));
    /* Keys that nobody set verify nothing, not even a cookie signed with them. */
    session_keys_t none = keys_of(0, 0), no_previous = keys_of(7, 0), no_current = keys_of(0, 7);
    char c[SESSION_TEXT_MAX];
    str_t by_none = make(&none, c);
    assert_false(valid(&none, HOST, VERSION, NOW, by_none));
    assert_false(valid(&no_previous, HOST, VERSION, NOW, by_none));
    assert_false(valid(&no_current, HOST, VERSION, NOW, by_none));
    assert_true(valid(&no_current, HOST, VERSION, NOW, by_old));
    /* One set bit makes a key. */
    none.previous[31] = 1;
    session_keys_t one = keys_of(0, 0);
    one.current[31] = 1;
    assert_true(valid(&none, HOST, VERSION, NOW, make(&one, c)));
}

/* Every single changed byte, every truncation and every longer value. */
static void test_tampered(void **state)
{
    (void)state;
    session_keys_t keys = keys_of(7, 9);
    char out[SESSION_TEXT_MAX], longer[SESSION_TEXT_MAX + 200];
    str_t value = make(&keys, out);
    for (size_t i = 0; i < value.n; i++) {
        char was = out[i];
        for (int c = 0; c < 256; c++) {
            out[i] = (char)c;
            assert_int_equal(valid(&keys, HOST, VERSION, NOW, value), out[i] == was);
        }
        out[i] = was;
    }
    for (size_t n = 0; n < value.n; n++) {
        assert_false(valid(&keys, HOST, VERSION, NOW, str_make(out, n)));
        assert_false(valid(&keys, HOST, VERSION, NOW, str_from_offset(value, value.n - n)));
    }
    memset(longer, 'A', sizeof(longer));
    memcpy(longer, out, value.n);
    for (size_t n = value.n + 1; n <= sizeof(longer); n++)
        assert_false(valid(&keys, HOST, VERSION, NOW, str_make(longer, n)));
}

/* A session has one text: other spellings of the number are refused. */
static void test_spellings(void **state)
{
    (void)state;
    session_keys_t keys = keys_of(7, 0);
    char out[SESSION_TEXT_MAX], other[2 * SESSION_TEXT_MAX];
    str_t value = make(&keys, out), signature = str_from_offset(value, value.n - 43);
    static const char *const starts[] = {
        "v1.01800000000.", "v1.+1800000000.",          "v1. 1800000000.",          "v1.1800000000 .",
        "v1.1800000000..", "v1..1800000000.",          "v1.0x6b49d200.",           "v1.18e8.",
        "v2.1800000000.",  "V1.1800000000.",           "v1.00000000001800000000.", "v1.18446744075509551616.",
        "v1.0.",           "v1.18446744073709551616.", "\"v1.1800000000.",         "v1,1800000000.",
        "v1.1800000000,",
    };
    for (size_t i = 0; i < sizeof(starts) / sizeof(*starts); i++) {
        int n = snprintf(other, sizeof(other), "%s%.*s", starts[i], STR_ARG(signature));
        assert_false(valid(&keys, HOST, VERSION, NOW, str_make(other, (size_t)n)));
    }
}

/* A host of every length up to the longest; none is valid for another. */
static void test_hosts(void **state)
{
    (void)state;
    session_keys_t keys = keys_of(7, 0);
    char host[254], out[SESSION_TEXT_MAX];
    memset(host, 'a', sizeof(host));
    for (size_t n = 1; n <= 253; n++) {
        size_t len = session_make(&keys, str_make(host, n), VERSION, EXPIRES, out);
        for (size_t m = n > 2 ? n - 2 : 1; m <= 253 && m <= n + 2; m++)
            assert_int_equal(valid(&keys, str_make(host, m), VERSION, NOW, str_make(out, len)), m == n);
    }
}

/* ---- sessions of links ---- */

static const session_link_t of_link = {.link = 0xfedcba9876543207, .number = 3, .expires = EXPIRES};

static str_t make_link(const session_keys_t *keys, const session_link_t *session,
                       char out[SESSION_LINK_TEXT_MAX])
{
    size_t n = session_link_make(keys, HOST, VERSION, session, out);
    assert_int_equal(strlen(out), n);
    return str_make(out, n);
}

static bool read_link(const session_keys_t *keys, uint64_t version, uint64_t now, str_t value,
                      session_link_t *out)
{
    char *copy = malloc(value.n != 0 ? value.n : 1);
    assert_non_null(copy);
    memcpy(copy, value.p, value.n);
    bool result = session_link_read(keys, HOST, version, now, str_make(copy, value.n), out);
    free(copy);
    return result;
}

static void test_a_session_of_a_link(void **state)
{
    (void)state;
    session_keys_t keys = keys_of(7, 0), rotated = keys_of(8, 7), others = keys_of(8, 9);
    char out[SESSION_LINK_TEXT_MAX], own[SESSION_TEXT_MAX];
    session_link_t got;
    str_t value = make_link(&keys, &of_link, out);
    assert_true(str_starts(value, STR("l1.fedcba9876543207.0000000000000003.1800000000.")));
    assert_true(read_link(&keys, VERSION, NOW, value, &got));
    assert_true(got.link == of_link.link && got.number == 3 && got.expires == EXPIRES);
    assert_true(read_link(&rotated, VERSION, EXPIRES - 1, value, &got));
    assert_false(read_link(&others, VERSION, NOW, value, &got));
    assert_false(read_link(&keys, VERSION + 1, NOW, value, &got));
    assert_false(read_link(&keys, VERSION, EXPIRES, value, &got));
    assert_false(session_link_read(&keys, STR("b-80.p.example"), VERSION, NOW, value, &got));
    /* Neither kind is the other. */
    assert_false(valid(&keys, HOST, VERSION, NOW, value));
    assert_false(read_link(&keys, VERSION, NOW, make(&keys, own), &got));
    session_link_t longest = {UINT64_MAX, UINT64_MAX, UINT64_MAX};
    assert_true(read_link(&keys, VERSION, NOW, make_link(&keys, &longest, out), &got));
}

static void test_changes_of_a_session_of_a_link(void **state)
{
    (void)state;
    session_keys_t keys = keys_of(7, 0);
    char out[SESSION_LINK_TEXT_MAX], other[SESSION_LINK_TEXT_MAX + 1];
    session_link_t got;
    str_t value = make_link(&keys, &of_link, out);
    for (size_t i = 0; i < value.n; i++) {
        for (int bit = 0; bit < 8; bit++) {
            memcpy(other, value.p, value.n);
            other[i] = (char)(other[i] ^ 1 << bit);
            assert_false(read_link(&keys, VERSION, NOW, str_make(other, value.n), &got));
        }
        assert_false(read_link(&keys, VERSION, NOW, str_make(value.p, i), &got));
        assert_false(read_link(&keys, VERSION, NOW, str_from_offset(value, i + 1), &got));
    }
    memset(other, '0', sizeof(other));
    memcpy(other, value.p, value.n);
    for (size_t n = value.n + 1; n <= sizeof(other); n++)
        assert_false(read_link(&keys, VERSION, NOW, str_make(other, n), &got));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_value),
        cmocka_unit_test(test_bound_to),
        cmocka_unit_test(test_expiry),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_tampered),
        cmocka_unit_test(test_spellings),
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_a_session_of_a_link),
        cmocka_unit_test(test_changes_of_a_session_of_a_link),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
