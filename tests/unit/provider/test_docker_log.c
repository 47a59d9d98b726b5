/* The last words of a container. */
#include "docker_log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static void expect(str_t body, const char *line)
{
    char got[DOCKER_LOG_LINE_MAX + 1];
    docker_log_line(body, got);
    assert_string_equal(got, line);
}

static void raw(void **state)
{
    (void)state;
    expect(STR(""), "");
    expect(STR("\n \n}\n"), "");
    expect(STR("one\ntwo"), "two");
    expect(STR("listening on 3000\r\n}\n\n"), "listening on 3000");
    expect(STR("TypeError: x is not a function\n    at a.js:1:2\n\nNode.js v20\n"),
           "TypeError: x is not a function");
    expect(
        STR("Error: Cannot find module 'express'\nRequire stack:\n- /srv/app.js\n    at a (b:1:2) {\n  code: "
            "'MODULE_NOT_FOUND'\n}\n\nNode.js v20.11.0\n"),
        "Error: Cannot find module 'express'");
    expect(STR("a \x1b[31mred\x1b[0m \xc3\xa9 line\n"), "a red \xc3\xa9 line");
}

static void framed(void **state)
{
    (void)state;
    expect(STR("\1\0\0\0\0\0\0\4one\n\2\0\0\0\0\0\0\4two\n"), "two");
    expect(STR("\2\0\0\0\0\0\0\3on\1\1\0\0\0\0\0\0\2e\n"), "on e"); /* a line in two parts */
    expect(STR("\1\0\0\0\377\377\377\377rest"), "rest");            /* cut */
    expect(STR("\1\0\0\0\0\0\0"), "");
}

static void bounds(void **state)
{
    (void)state;
    static char big[100000];
    memset(big, 'x', sizeof(big));
    char got[DOCKER_LOG_LINE_MAX + 1];
    docker_log_line(str_make(big, sizeof(big)), got);
    assert_int_equal(strlen(got), DOCKER_LOG_LINE_MAX);
    memcpy(big, "\1\0\0\0\0\1\0\0", 8);
    docker_log_line(str_make(big, sizeof(big)), got);
    assert_int_equal(strlen(got), DOCKER_LOG_LINE_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(raw), cmocka_unit_test(framed),
                                       cmocka_unit_test(bounds)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
