/* Routes of the box API in every spelling. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "api_path.h"

static void routes(void **state)
{
    (void)state;
    static const struct {
        const char *target;
        api_route_t route;
    } cases[] = {
        {"/v2/box/a-b/preview", API_ROUTE_PREVIEWS},
        {"/v2/box/a-b/preview?x=1", API_ROUTE_PREVIEWS},
        {"/v2/box/a-b/preview?x=/../%2f", API_ROUTE_PREVIEWS},
        {"/v2/box/a-b/preview/3000", API_ROUTE_PREVIEW},
        {"/v2/box/A/preview/x", API_ROUTE_PREVIEW},
        {"/v2/box/a-b", API_ROUTE_BOX},
        {"/v2/box/a-b?force=1", API_ROUTE_BOX},
        {"/v2/box", API_ROUTE_OTHER},
        {"/v2/box/", API_ROUTE_OTHER},
        {"/v2/box/a/previews", API_ROUTE_OTHER},
        {"/v2/box/a/preview/1/2", API_ROUTE_OTHER},
        {"/v1/box/a/preview", API_ROUTE_OTHER},
        {"/x/v2/box/a/preview", API_ROUTE_OTHER},
        {"/", API_ROUTE_OTHER},
        {"*", API_ROUTE_OTHER},
        {"", API_ROUTE_OTHER},
        {"/v2/box/a/preview/", API_ROUTE_MISSPELLED},
        {"/v2/box/a/preview/3000/", API_ROUTE_MISSPELLED},
        {"/v2//box/a/preview", API_ROUTE_MISSPELLED},
        {"//v2/box/a/preview", API_ROUTE_MISSPELLED},
        {"/v2/box//a/preview", API_ROUTE_MISSPELLED},
        {"/v2/box/a//preview", API_ROUTE_MISSPELLED},
        {"/v2/box/a/preview//3000", API_ROUTE_MISSPELLED},
        {"/v2/box/a/%70review", API_ROUTE_MISSPELLED},
        {"/v2/box/%61/preview", API_ROUTE_MISSPELLED},
        {"/v2/box/a%2fpreview", API_ROUTE_MISSPELLED},
        {"/v2/box/a%2Fpreview%2F3000", API_ROUTE_MISSPELLED},
        {"/v2/box/a/preview%2f3000", API_ROUTE_MISSPELLED},
        {"/v2/box/a\\preview", API_ROUTE_MISSPELLED},
        {"/v2/box/a/x/../preview", API_ROUTE_MISSPELLED},
        {"/v2/box/a/%2e/preview", API_ROUTE_MISSPELLED},
        {"/../v2/box/a/preview", API_ROUTE_MISSPELLED},
        {"/v2/box/a/./preview", API_ROUTE_MISSPELLED},
        {"/v2/box/a/preview;x=1", API_ROUTE_MISSPELLED},
        {"/v2/box/a;b/preview", API_ROUTE_MISSPELLED},
        {"/V2/box/a/preview", API_ROUTE_MISSPELLED},
        {"/v2/BOX/a/Preview", API_ROUTE_MISSPELLED},
        {"/v2/box/a/preview/%33000", API_ROUTE_MISSPELLED},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        api_path_t path = api_path_parse(str_from(cases[i].target));
        if (path.route != cases[i].route)
            fail_msg("%s is %d, not %d", cases[i].target, (int)path.route, (int)cases[i].route);
    }
}

static void parts(void **state)
{
    (void)state;
    api_path_t path = api_path_parse(STR("/v2/box/sweet-shark-1/preview/3000?a"));
    assert_true(str_eq(path.id, STR("sweet-shark-1")));
    assert_true(str_eq(path.port, STR("3000")));
    path = api_path_parse(STR("/v2/box/x_1"));
    assert_true(str_eq(path.id, STR("x_1")));
}

static void bounds(void **state)
{
    (void)state;
    char target[API_PATH_MAX + 2] = "/v2/box/a/preview/";
    size_t n = strlen(target);
    memset(target + n, '/', sizeof(target) - n);
    assert_int_equal(api_path_parse(str_make(target, API_PATH_MAX + 1)).route, API_ROUTE_OTHER);
    memset(target + n, '1', sizeof(target) - n);
    assert_int_equal(api_path_parse(str_make(target, API_PATH_MAX)).route, API_ROUTE_PREVIEW);
    /* More segments than are kept are not ours in any reading that a server would make of them. */
    char many[64] = "";
    for (size_t i = 0; i < sizeof(many) - 1; i++)
        many[i] = i % 2 == 0 ? '/' : 'a';
    assert_int_equal(api_path_parse(str_from(many)).route, API_ROUTE_OTHER);
    /* But where nothing is left of most of them. */
    static const char end[] = "/v2/box/a/preview";
    memset(target, '/', sizeof(target));
    memcpy(target + API_PATH_MAX - strlen(end), end, strlen(end));
    assert_int_equal(api_path_parse(str_make(target, API_PATH_MAX)).route, API_ROUTE_MISSPELLED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(routes), cmocka_unit_test(parts),
                                       cmocka_unit_test(bounds)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
