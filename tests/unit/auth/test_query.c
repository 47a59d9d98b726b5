/* The parameter that carries a token: found as an app reads it, and the rest of the target untouched. */
#include "credentials.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define NAME STR("preview_token")
#define CAP  8

/* Removes it from a copy of exactly its size. Returns whether it was present. */
static bool take(str_t target, str_t name, char *out, size_t *out_len, char *value, size_t *value_len)
{
    char *in = malloc(target.n + 1), *kept = malloc(target.n != 0 ? target.n : 1), *room = malloc(CAP);
    assert_non_null(in);
    assert_non_null(kept);
    assert_non_null(room);
    memcpy(in, target.p, target.n);
    *value_len = 77;
    bool found = query_take(str_make(in, target.n), name, kept, out_len, room, CAP, value_len);
    memcpy(out, kept, *out_len);
    if (found)
        memcpy(value, room, *value_len < CAP ? *value_len : CAP);
    else
        assert_int_equal(*value_len, 77);
    free(in);
    free(kept);
    free(room);
    return found;
}

static void expect(str_t target, str_t left, str_t value)
{
    char out[256], got[CAP];
    size_t out_len, got_len;
    assert_true(target.n <= sizeof(out));
    bool found = take(target, NAME, out, &out_len, got, &got_len);
    if (!found || !str_eq(str_make(out, out_len), left) || !str_eq(str_make(got, got_len), value))
        fail_msg("\"%.*s\": %d, \"%.*s\", %zu", STR_ARG(target), found, (int)out_len, out, got_len);
}

static void expect_none(str_t target)
{
    char out[256], got[CAP];
    size_t out_len, got_len;
    bool found = take(target, NAME, out, &out_len, got, &got_len);
    if (found || !str_eq(str_make(out, out_len), target))
        fail_msg("\"%.*s\": %d, \"%.*s\"", STR_ARG(target), found, (int)out_len, out);
}

#define TAKES(target, left, value) expect(STR(target), STR(left), STR(value))
#define NONE(target)               expect_none(STR(target))

static void test_places(void **state)
{
    (void)state;
    TAKES("/?preview_token=abc", "/", "abc");
    TAKES("/?preview_token=abc&b=1", "/?b=1", "abc");
    TAKES("/?a=1&preview_token=abc", "/?a=1", "abc");
    TAKES("/?a=1&preview_token=abc&b=2", "/?a=1&b=2", "abc");
    TAKES("/a/b%2f?x&preview_token=abc&&y=%zz", "/a/b%2f?x&&y=%zz", "abc");
    TAKES("/?a=?&preview_token=abc", "/?a=?", "abc");
    TAKES("*?preview_token=abc", "*", "abc");
    TAKES("?preview_token=abc", "", "abc");
    TAKES("/?preview_token=a=b", "/", "a=b");
    TAKES("/?preview_token=a?b", "/", "a?b");
    TAKES("/?preview_token=a;b", "/", "a;b");
}

static void test_empty_pieces(void **state)
{
    (void)state;
    TAKES("/?preview_token", "/", "");
    TAKES("/?preview_token=", "/", "");
    TAKES("/?preview_token&a", "/?a", "");
    TAKES("/?preview_token=&preview_token=abc", "/", "");
    TAKES("/?preview_token=abc&", "/", "abc");
    TAKES("/?&preview_token=abc", "/", "abc");
    TAKES("/?&preview_token=abc&", "/?&", "abc");
    TAKES("/?&&preview_token=abc", "/?&", "abc");
    TAKES("/?a&preview_token=abc&", "/?a&", "abc");
    TAKES("/?=&preview_token=abc", "/?=", "abc");
}

static void test_repeated(void **state)
{
    (void)state;
    TAKES("/?preview_token=1&preview_token=2", "/", "1");
    TAKES("/?preview_token=1&a=b&preview_token=2", "/?a=b", "1");
    TAKES("/?a&preview_token=1&preview_token=2&b&%70review_token=3", "/?a&b", "1");
    TAKES("/?preview_token=1&preview_token", "/", "1");
}

/* Apps decode names before they compare them, and so does the edge; the last byte of an escape counts. */
static void test_encoded(void **state)
{
    (void)state;
    TAKES("/?preview%5ftoken=abc", "/", "abc");
    TAKES("/?preview%5Ftoken=abc", "/", "abc");
    TAKES("/?%70%72%65%76%69%65%77%5f%74%6f%6b%65%6e=abc", "/", "abc");
    TAKES("/?preview_toke%6e", "/", "");
    TAKES("/?preview_token=%61b%63", "/", "abc");
    TAKES("/?preview_token=a+b%20c", "/", "a b c");
    TAKES("/?preview_token=%", "/", "%");
    TAKES("/?preview_token=%4", "/", "%4");
    TAKES("/?preview_token=%4g%zz", "/", "%4g%zz");
    TAKES("/?preview_token=%00%0d", "/", "\0\r");
    TAKES("/?preview_token=%2541", "/", "%41"); /* decoded once */
    TAKES("/?preview_token=%26%3d", "/", "&=");
    NONE("/?preview%255ftoken=abc");
    NONE("/?preview%5token=abc");
    NONE("/?preview%token=abc");
    NONE("/?preview_toke%6");
    NONE("/?preview_token%3dabc");
    NONE("/?preview_token%00=abc");
    NONE("/?%00preview_token=abc");
}

static void test_other_names(void **state)
{
    (void)state;
    NONE("");
    NONE("/");
    NONE("*");
    NONE("/?");
    NONE("/?&");
    NONE("/?=");
    NONE("/?=preview_token");
    NONE("/preview_token=abc");
    NONE("/&preview_token=abc");
    NONE("/?a=preview_token");
    NONE("/?a=1;preview_token=abc");
    NONE("/?a?preview_token=abc");
    NONE("/?Preview_token=abc");
    NONE("/?preview_token[]=abc");
    NONE("/?preview_token%5b%5d=abc");
    NONE("/?preview_tokens=abc");
    NONE("/?xpreview_token=abc");
    NONE("/?preview_toke=abc");
    NONE("/?preview-token=abc");
    NONE("/?+preview_token=abc");
    NONE("/?preview_token+=abc");
    NONE("/?preview+token=abc");
}

/* '+' in a name is a space. */
static void test_name_with_space(void **state)
{
    (void)state;
    char out[32], value[CAP];
    size_t out_len, len;
    assert_true(take(STR("/?a+b=1&a%20b=2&a b=3&a%2bb=4"), STR("a b"), out, &out_len, value, &len));
    assert_true(str_eq(str_make(out, out_len), STR("/?a%2bb=4")));
    assert_true(str_eq(str_make(value, len), STR("1")));
    assert_true(take(STR("/?a+b=1&a%2bb=2"), STR("a+b"), out, &out_len, value, &len));
    assert_true(str_eq(str_make(out, out_len), STR("/?a+b=1")));
    assert_true(str_eq(str_make(value, len), STR("2")));
}

/* The value's bound: exactly as long, one more, and much more. Decoded characters count, not written ones. */
static void test_bound(void **state)
{
    (void)state;
    char out[256], value[CAP];
    size_t out_len, len;
    TAKES("/?preview_token=12345678", "/", "12345678");
    TAKES("/?preview_token=%31%32%33%34%35%36%37%38", "/", "12345678");
    static const str_t longer[] = {
        {"/?preview_token=123456789", 25},
        {"/?preview_token=1234567890123456789012345678901234567890", 56},
    };
    for (size_t i = 0; i < 2; i++) {
        assert_true(take(longer[i], NAME, out, &out_len, value, &len));
        assert_int_equal(len, CAP + 1);
        assert_true(str_eq(str_make(out, out_len), STR("/")));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_places),      cmocka_unit_test(test_empty_pieces),
        cmocka_unit_test(test_repeated),    cmocka_unit_test(test_encoded),
        cmocka_unit_test(test_other_names), cmocka_unit_test(test_name_with_space),
        cmocka_unit_test(test_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
