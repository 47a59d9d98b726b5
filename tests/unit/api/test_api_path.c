/* Routes of the box API in every spelling. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "api_path.h"

#include "arena.h"

static arena_t pool;

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
        {"/v2/box/a/preview/1/links", API_ROUTE_LINKS},
        {"/v2/box/a/preview/1/links?x", API_ROUTE_LINKS},
        {"/v2/box/a/preview/1/links/2", API_ROUTE_LINK},
        {"/v2/box/a/preview/1/links/2/3", API_ROUTE_OTHER},
        {"/v2/box/a/preview/1/link", API_ROUTE_OTHER},
        {"/v2/box/a/preview/1/Links", API_ROUTE_MISSPELLED},
        {"/v2/box/a/preview/1/links/", API_ROUTE_MISSPELLED},
        {"/v2/box/a/preview/1//links", API_ROUTE_MISSPELLED},
        {"/v2/box/a/preview/1/%6cinks/2", API_ROUTE_MISSPELLED},
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
        /* For servers that decode a path before they look for its end, or more than once. */
        {"/v2/box/a/preview%00", API_ROUTE_MISSPELLED},
        {"/v2/box/a/preview%3fx", API_ROUTE_MISSPELLED},
        {"/v2/box/a/preview%23/b/c/d", API_ROUTE_MISSPELLED},
        {"/v2/box/a/preview/3000%3F/b/c", API_ROUTE_MISSPELLED},
        {"/v2/box/a/%2570review", API_ROUTE_MISSPELLED},
        {"/v2/box/a%25252fpreview", API_ROUTE_MISSPELLED},
        {"/v2/box/a%3f/preview/b/c", API_ROUTE_OTHER},
        {"/v2/box/a/files/%2570review", API_ROUTE_OTHER},
        {"/v2/box/a/previews%3f", API_ROUTE_OTHER},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        api_path_t path = api_path_parse(&pool, str_from(cases[i].target));
        if (path.route != cases[i].route)
            fail_msg("%s is %d, not %d", cases[i].target, (int)path.route, (int)cases[i].route);
    }
}

static void parts(void **state)
{
    (void)state;
    api_path_t path = api_path_parse(&pool, STR("/v2/box/sweet-shark-1/preview/3000?a"));
    assert_true(str_eq(path.id, STR("sweet-shark-1")));
    assert_true(str_eq(path.port, STR("3000")));
    path = api_path_parse(&pool, STR("/v2/box/x_1"));
    assert_true(str_eq(path.id, STR("x_1")));
}

/* A path of any length is read to its end: a server may accept one as long. */
static void long_paths(void **state)
{
    (void)state;
    static const char start[] = "/v2/box/a/preview/", end[] = "/v2/box/a/preview";
    static const size_t lengths[] = {API_PATH_SHORT, API_PATH_SHORT + 1, 32768};
    char target[32768];
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        size_t n = lengths[i];
        memset(target, '1', n);
        memcpy(target, start, strlen(start));
        assert_int_equal(api_path_parse(&pool, str_make(target, n)).route, API_ROUTE_PREVIEW);
        memset(target, '/', n);
        memcpy(target, start, strlen(start));
        assert_int_equal(api_path_parse(&pool, str_make(target, n)).route, API_ROUTE_MISSPELLED);
        memset(target, '/', n);
        memcpy(target + n - strlen(end), end, strlen(end));
        assert_int_equal(api_path_parse(&pool, str_make(target, n)).route, API_ROUTE_MISSPELLED);
    }
}

static void many_segments(void **state)
{
    (void)state;
    /* A path with more segments than the edge keeps matches no box route in any server's reading. */
    char many[64] = "";
    for (size_t i = 0; i < sizeof(many) - 1; i++)
        many[i] = i % 2 == 0 ? '/' : 'a';
    assert_int_equal(api_path_parse(&pool, str_from(many)).route, API_ROUTE_OTHER);
}

static void which_boxes(void **state)
{
    (void)state;
    static const struct {
        const char *target;
        api_boxes_kind_t kind;
        const char *name;
    } cases[] = {
        {"/v2/box", API_BOXES_MANY, ""},
        {"/v2/box/", API_BOXES_MANY, ""},
        {"/v2/box?a=/b/c", API_BOXES_MANY, ""},
        {"/V2//b%6fx;x", API_BOXES_MANY, ""},
        {"/v2/%62ox/./", API_BOXES_MANY, ""},
        {"/v2/box/a-b", API_BOXES_ONE, "a-b"},
        {"/v2/box/a-b/?x=1", API_BOXES_ONE, "a-b"},
        {"//v2\\box/%61;x", API_BOXES_ONE, "a"},
        {"/v2/box/my%20box", API_BOXES_ONE, "my box"},
        {"/v2/box/50%25%20off", API_BOXES_ONE, "50% off"},
        {"/v2/box%2fa", API_BOXES_ONE, "a"},
        {"/v2/box/a%2Fb", API_BOXES_ONE, ""}, /* case-sensitive */
        {"/v2/x/../box/Up", API_BOXES_ONE, "Up"},
        {"/v2/box/a/exec", API_BOXES_NONE, ""},
        {"/v2/boxes/a", API_BOXES_NONE, ""},
        {"/v1/box/a", API_BOXES_NONE, ""},
        {"*", API_BOXES_NONE, ""},
        {"", API_BOXES_NONE, ""},
        {"/v2/box/%2561", API_BOXES_UNCLEAR, NULL},
        {"/v2/box/a%3fb", API_BOXES_UNCLEAR, NULL},
        {"/v2/box/a%00", API_BOXES_UNCLEAR, NULL},
        {"/v2/box%3fall=true", API_BOXES_UNCLEAR, NULL},
        {"/v2/box/%2e", API_BOXES_UNCLEAR, NULL},
        {"/v2/box/;x", API_BOXES_UNCLEAR, NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        api_boxes_t boxes = api_path_boxes(&pool, str_from(cases[i].target));
        if (boxes.kind != cases[i].kind)
            fail_msg("%s: %d", cases[i].target, boxes.kind);
        if (cases[i].name != NULL && !str_eq(boxes.name, str_from(cases[i].name)))
            fail_msg("%s: %.*s", cases[i].target, STR_ARG(boxes.name));
    }
}

static int setup(void **state)
{
    (void)state;
    arena_init(&pool);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_clear(&pool);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(routes), cmocka_unit_test(parts),
                                       cmocka_unit_test(long_paths), cmocka_unit_test(which_boxes),
                                       cmocka_unit_test(many_segments)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
