/* Paths as the most generous server would read them. */
#include "path.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* In blocks of the exact size, so that the sanitizer sees a byte too far. */
static void assert_read(str_t path, str_t expected)
{
    char *in = malloc(path.n), *out = malloc(path.n);
    assert_true(in != NULL && out != NULL);
    memcpy(in, path.p, path.n);
    str_t read = path_read(str_make(in, path.n), out);
    if (!str_eq(read, expected))
        fail_msg("%.*s is read as %.*s", STR_ARG(path), STR_ARG(read));
    free(in);
    free(out);
}

static void readings(void **state)
{
    (void)state;
    static const struct {
        const char *path, *read;
    } cases[] = {
        {"/", "/"},
        {"/a", "/a"},
        {"/a/b.c/..d", "/a/b.c/..d"},
        {"/A", "/A"},
        {"/a/", "/a"},
        {"//a///b//", "/a/b"},
        {"/./a/.", "/a"},
        {"/a/../b", "/b"},
        {"/a/b/..", "/a"},
        {"/..", "/"},
        {"/../../a/../..", "/"},
        {"/a;x=1/b;c", "/a/b"},
        {"/;x", "/"},
        {"/a/..;/b", "/b"},
        {"/a\\b", "/a/b"},
        {"/%61%2fb%5Cc", "/a/b/c"},
        {"/%2e%2E/a", "/a"},
        {"/a%3bx", "/a"},
        {"/%2561", "/%61"}, /* once */
        {"/%", "/%"},
        {"/%6", "/%6"},
        {"/%6g%g6%%61", "/%6g%g6%a"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_read(str_from(cases[i].path), str_from(cases[i].read));
    assert_read(STR("/%00"), STR("/\0"));
}

static void segments(void **state)
{
    (void)state;
    str_t path = STR("/a//b/");
    static const char *const expected[] = {"a", "", "b", ""};
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
        assert_true(str_eq(path_take_segment(&path), str_from(expected[i])));
    assert_int_equal(path.n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(readings), cmocka_unit_test(segments)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
