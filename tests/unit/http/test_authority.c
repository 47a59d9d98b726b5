/* Authorities and the character classes that they use. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "authority.h"
#include "grammar.h"

static void test_parse(void **state)
{
    (void)state;
    static const struct {
        const char *text, *host; /* host NULL: refused */
        uint16_t port;
    } cases[] = {
        {"a", "a", 0},
        {"A.b-c_d~1.", "A.b-c_d~1.", 0},
        {"a:80", "a", 80},
        {"a:", "a", 0},
        {"a:1", "a", 1},
        {"a:00080", "a", 80},
        {"a:65535", "a", 65535},
        {"127.0.0.1:8443", "127.0.0.1", 8443},
        {"[::1]", "[::1]", 0},
        {"[2001:db8::1]:443", "[2001:db8::1]", 443},
        {"[::ffff:192.0.2.1]", "[::ffff:192.0.2.1]", 0},
        {"", NULL, 0},
        {":", NULL, 0},
        {":80", NULL, 0},
        {"a:0", NULL, 0},
        {"a:65536", NULL, 0},
        {"a:000080", NULL, 0},
        {"a:8x", NULL, 0},
        {"a: 80", NULL, 0},
        {"a:80:", NULL, 0},
        {"a b", NULL, 0},
        {"a@b", NULL, 0},
        {"a/b", NULL, 0},
        {"a%41", NULL, 0},
        {"[]", NULL, 0},
        {"[", NULL, 0},
        {"[]:80", NULL, 0},
        {"[::1", NULL, 0},
        {"[::1]80", NULL, 0},
        {"[::1%eth0]", NULL, 0},
        {"[v1.x]", NULL, 0},
        {"[127.0.0.1]", NULL, 0},
        {"[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]", NULL, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        authority_t out;
        bool good = authority_parse(str_from(cases[i].text), &out);
        if (good != (cases[i].host != NULL))
            fail_msg("%s is %s", cases[i].text, good ? "taken" : "refused");
        if (good) {
            assert_true(str_eq(out.host, str_from(cases[i].host)));
            assert_int_equal(out.port, cases[i].port);
        }
    }
    authority_t out;
    assert_false(authority_parse(str_make("[\0:1]", 5), &out));
    assert_false(authority_parse(str_make("[::1\0:]", 7), &out));
    assert_false(authority_parse(str_make("a\0", 2), &out));
}

static void test_length(void **state)
{
    (void)state;
    char text[AUTHORITY_MAX + 1];
    memset(text, 'a', sizeof(text));
    authority_t out;
    assert_true(authority_parse(str_make(text, 255), &out));
    assert_false(authority_parse(str_make(text, 256), &out));
    memcpy(text + 255, ":65535", 6);
    assert_true(authority_parse(str_make(text, 261), &out));
    assert_false(authority_parse(str_make(text, 262), &out));
}

static void test_same(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        uint16_t default_port;
        bool same;
    } cases[] = {
        {"a.test", "A.TEST", 80, true},  {"a", "b", 80, false},
        {"a:80", "a", 80, true},         {"a", "a:", 80, true},
        {"a:80", "a", 443, false},       {"a:443", "a", 443, true},
        {"a:81", "a:81", 80, true},      {"a:81", "a:82", 80, false},
        {"[::1]:80", "[::1]", 80, true}, {"[::1]", "[0:0:0:0:0:0:0:1]", 80, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        authority_t a, b;
        assert_true(authority_parse(str_from(cases[i].a), &a));
        assert_true(authority_parse(str_from(cases[i].b), &b));
        assert_int_equal(authority_same(&a, &b, cases[i].default_port), cases[i].same);
        assert_int_equal(authority_same(&b, &a, cases[i].default_port), cases[i].same);
    }
}

/* The part of a text that a log may show in place of an authority. */
static void test_harmless(void **state)
{
    (void)state;
    static const struct {
        const char *text, *harmless;
    } cases[] = {
        {"", ""},
        {"a.test:80", "a.test:80"},
        {"user:password@a.test:80", "a.test:80"},
        {"user@name:password@a.test", "a.test"},
        {"a b", "a"},
        {"a\xe9", "a\xe9"},
        {"a.test/path?token=secret", "a.test"},
        {"token=secret", "token"},
        {"https://a.test/", "https:"},
        {"https://user:password@a.test/", ""},
        {"a.test/?mail=b@secret", ""},
        {"secret@", ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_true(str_eq(authority_harmless(str_from(cases[i].text)), str_from(cases[i].harmless)));
}

/* The check of values by eight bytes at a time agrees with the table, at every position. */
static void test_values(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        bool good = c == '\t' || (c >= 0x20 && c != 0x7f);
        for (size_t len = 1; len <= 20; len++) {
            for (size_t place = 0; place < len; place++) {
                for (int fill = 0; fill < 4; fill++) {
                    char text[20];
                    memset(text, "a \xff~"[fill], sizeof(text));
                    text[place] = (char)c;
                    assert_int_equal(grammar_is_field_value(str_make(text, len)), good);
                }
            }
        }
    }
    assert_true(grammar_is_field_value(str_make(NULL, 0)));
    assert_false(grammar_is_token(str_make(NULL, 0)));
    assert_false(grammar_is_target(str_make(NULL, 0)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),    cmocka_unit_test(test_length), cmocka_unit_test(test_same),
        cmocka_unit_test(test_harmless), cmocka_unit_test(test_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
