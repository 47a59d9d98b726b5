/* Cookie and Set-Cookie as browsers send and read them. */
#include "cookie.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define NAME STR("__Host-boxedge")
#define HOST STR("a-80.preview.box.example")

/* A copy of exactly that size, so that the sanitizer sees a read or write beyond it. */
static char *exact(str_t s)
{
    char *copy = malloc(s.n != 0 ? s.n : 1);
    assert_non_null(copy);
    memcpy(copy, s.p, s.n);
    return copy;
}

static void expect_str(str_t got, const char *wanted, const char *of)
{
    if (!str_eq(got, str_from(wanted)))
        fail_msg("%s: \"%.*s\" instead of \"%s\"", of, STR_ARG(got), wanted);
}

/* ---- cookie_next ---- */

/* All values of the cookie, each followed by '|'. */
static void expect_values(const char *header, const char *wanted)
{
    char *copy = exact(str_from(header)), all[256];
    str_t rest = str_make(copy, strlen(header)), value;
    size_t len = 0;
    while (cookie_next(&rest, NAME, &value)) {
        assert_true(len + value.n + 1 < sizeof(all));
        memcpy(all + len, value.p, value.n);
        len += value.n;
        all[len++] = '|';
    }
    expect_str(str_make(all, len), wanted, header);
    free(copy);
}

static void test_next(void **state)
{
    (void)state;
    expect_values("__Host-boxedge=v", "v|");
    expect_values("a=1; __Host-boxedge=v; b=2", "v|");
    expect_values("a=1;__Host-boxedge=v;b=2", "v|");
    expect_values("a=1;\t __Host-boxedge \t=\t v\t ;b=2", "v|");
    expect_values("__Host-boxedge=v=w==", "v=w==|");
    expect_values("__Host-boxedge=\"v\"", "\"v\"|");
    expect_values("__Host-boxedge=a b", "a b|");
    expect_values("__Host-boxedge=", "|");
    expect_values("__Host-boxedge=1; x=y; __Host-boxedge=2;", "1|2|");
    expect_values(";; ;__Host-boxedge=1;;", "1|");
}

static void test_next_is_exact(void **state)
{
    (void)state;
    expect_values("", "");
    expect_values(";", "");
    expect_values("__Host-boxedge", "");
    expect_values("__host-boxedge=v", "");
    expect_values("__Host-boxedge2=v; x__Host-boxedge=v; __Host-boxedg=v", "");
    expect_values("a=__Host-boxedge=v", "");
    expect_values("=__Host-boxedge=v", "");
    expect_values("a=1, __Host-boxedge=v", "");
    expect_values("\"__Host-boxedge\"=v", "");
    expect_values("_\x01_Host-boxedge=v", "");
}

static void test_next_allows_no_memory(void **state)
{
    (void)state;
    str_t rest = {NULL, 0}, value;
    assert_false(cookie_next(&rest, NAME, &value));
    assert_int_equal(cookie_remove(rest, NAME, NULL, 0), 0);
    size_t len;
    assert_false(set_cookie_confine(rest, HOST, NULL, 0, &len));
}

/* ---- cookie_remove ---- */

static void expect_removed(const char *header, const char *wanted)
{
    str_t in = str_from(header);
    char *copy = exact(in), *out = exact(in);
    size_t len = cookie_remove(str_make(copy, in.n), NAME, out, in.n);
    expect_str(str_make(out, len), wanted, header);
    /* The same with the output over its own input. */
    len = cookie_remove(str_make(copy, in.n), NAME, copy, in.n);
    expect_str(str_make(copy, len), wanted, header);
    str_t rest = str_make(out, len), value;
    assert_false(cookie_next(&rest, NAME, &value));
    free(copy);
    free(out);
}

static void test_remove(void **state)
{
    (void)state;
    expect_removed("__Host-boxedge=v", "");
    expect_removed("__Host-boxedge=v; a=1", "a=1");
    expect_removed("__Host-boxedge=v;a=1", "a=1");
    expect_removed("a=1; __Host-boxedge=v", "a=1");
    expect_removed("a=1; __Host-boxedge=v; b=2", "a=1; b=2");
    expect_removed("a=1; __Host-boxedge=v; __Host-boxedge=w; b=2", "a=1; b=2");
    expect_removed("__Host-boxedge=v; __Host-boxedge=w; b=2; c=3", "b=2; c=3");
    expect_removed("__Host-boxedge=v; b=2; __Host-boxedge=w", "b=2");
    expect_removed(" __Host-boxedge = v ; b=2", "b=2");
    expect_removed("a=1; __Host-boxedge=v;", "a=1;");
    expect_removed("__Host-boxedge=v;", "");
}

static void test_remove_keeps_other_bytes(void **state)
{
    (void)state;
    static const char *const same[] = {
        "",
        ";",
        " ; ;",
        "a",
        "a=1",
        " a=1 ;b=\"2\" ;\tc = 3 ; ",
        "__Host-boxedge",
        "x=\"__Host-boxedge=v\"; __host-boxedge=v",
        "a=\x80\xff\x01; b==;=c",
    };
    for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++)
        expect_removed(same[i], same[i]);
    expect_removed(" a=1 ;__Host-boxedge=v;\tb = 2 ;;c", " a=1 ;\tb = 2 ;;c");
}

/* ---- set_cookie_confine ---- */

static void confine(const char *value, str_t host, bool wanted, const char *wanted_value)
{
    str_t in = str_from(value);
    char *copy = exact(in), *out = exact(in);
    size_t len = 12345;
    if (set_cookie_confine(str_make(copy, in.n), host, out, in.n, &len) != wanted)
        fail_msg("%s: %s", value, wanted ? "kept" : "changed");
    if (wanted) {
        expect_str(str_make(out, len), wanted_value, value);
        size_t ignored;
        assert_false(set_cookie_confine(str_make(out, len), host, out, len, &ignored));
        assert_true(set_cookie_confine(str_make(copy, in.n), host, copy, in.n, &len));
        expect_str(str_make(copy, len), wanted_value, value);
    }
    free(copy);
    free(out);
}

static void stays(const char *value)
{
    confine(value, HOST, false, NULL);
}

static void becomes(const char *value, const char *wanted)
{
    confine(value, HOST, true, wanted);
}

static void test_parents_go(void **state)
{
    (void)state;
    becomes("a=b; Domain=localhost; Path=/", "a=b; Path=/");
    becomes("a=b; domain=.LOCALHOST", "a=b");
    stays("a=b; Domain=localhost.example");
    becomes("s=1; Domain=preview.box.example", "s=1");
    becomes("s=1; Path=/; Domain=preview.box.example; Secure", "s=1; Path=/; Secure");
    becomes("s=1;domain=preview.box.example;Secure", "s=1;Secure");
    becomes("s=1; DOMAIN = .preview.box.example ; Secure", "s=1; Secure");
    becomes("s=1;\tDomain\t=\tPREVIEW.box.Example\t; Secure", "s=1; Secure");
    becomes("s=1; Domain=box.example", "s=1");
    becomes("s=1; Domain=example", "s=1");
    becomes("s=1; Domain=preview.box.example.", "s=1");
    becomes("s=1; Domain=..preview.box.example", "s=1");
    becomes("; Domain=example", "");
    becomes("s=\"a; Domain=example", "s=\"a");
}

static void test_own_and_foreign_domains_stay(void **state)
{
    (void)state;
    stays("s=1");
    stays("");
    stays("s=1; Secure; HttpOnly; Path=/; Max-Age=1");
    stays("s=1; Domain=a-80.preview.box.example");
    stays("s=1; Domain=.A-80.preview.box.example.");
    stays("s=1; Domain");
    stays("s=1; Domain=");
    stays("s=1; Domain=.");
    stays("s=1; Domain=other.example");
    stays("s=1; Domain=0.preview.box.example");
    stays("s=1; Domain=b.a-80.preview.box.example");
    stays("s=1; Domain=xample");
    /* The first piece is the cookie itself, and values are not attributes. */
    stays("Domain=preview.box.example");
    stays("s=Domain=preview.box.example; Path=Domain=example");
    stays("s=1; XDomain=example; Domain2=example");
}

/* Browsers differ in which of several attributes counts. */
static void test_repeated_domains(void **state)
{
    (void)state;
    becomes("s=1; Domain=example; Domain=box.example", "s=1");
    becomes("s=1; Domain=example; Domain=", "s=1; Domain=");
    becomes("s=1; Domain=; Domain=example", "s=1; Domain=");
    becomes("s=1; Domain=a-80.preview.box.example; Domain=example; Path=/",
            "s=1; Domain=a-80.preview.box.example; Path=/");
    becomes("s=1; Domain=example; Domain=other.example", "s=1; Domain=other.example");
}

/* Values that a browser might decode into a parent domain. */
static void test_unclear_domains_go(void **state)
{
    (void)state;
    becomes("s=1; Domain=preview%2Ebox.example", "s=1");
    becomes("s=1; Domain=\"preview.box.example\"", "s=1");
    becomes("s=1; Domain=preview\xe3\x80\x82"
            "box\xe3\x80\x82"
            "example; Secure",
            "s=1; Secure");
    becomes("s=1; Domain=preview.box.example:443", "s=1");
    becomes("s=1; Domain=preview.box.example\x01", "s=1");
    becomes("s=1; Domain=a,example", "s=1");
    becomes("s=1; Domain=a example", "s=1");
}

static void test_host_forms(void **state)
{
    (void)state;
    confine("s=1; Domain=box.example", STR("A-80.Preview.Box.Example."), true, "s=1");
    confine("s=1; Domain=a-80.preview.box.example", STR("A-80.Preview.Box.Example."), false, NULL);
    confine("s=1; Domain=example", STR("example"), false, NULL);
    confine("s=1; Domain=example", STR(""), false, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_next),
        cmocka_unit_test(test_next_is_exact),
        cmocka_unit_test(test_next_allows_no_memory),
        cmocka_unit_test(test_remove),
        cmocka_unit_test(test_remove_keeps_other_bytes),
        cmocka_unit_test(test_parents_go),
        cmocka_unit_test(test_own_and_foreign_domains_stay),
        cmocka_unit_test(test_repeated_domains),
        cmocka_unit_test(test_unclear_domains_go),
        cmocka_unit_test(test_host_forms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
