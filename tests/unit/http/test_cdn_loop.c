/* Which requests have passed this edge before, by their CDN-Loop fields. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "cdn_loop.h"

#include "arena.h"

#define PASS "boxedge-here;host=b.test, "

static bool found(const char *value)
{
    arena_t pool;
    fields_t fields = {0};
    arena_init(&pool);
    fields_add(&pool, &fields, FIELD_CDN_LOOP, STR("cdn-loop"), STR("first"));
    fields_add(&pool, &fields, FIELD_CDN_LOOP, STR("cdn-loop"), str_from(value));
    bool loop = cdn_loop_found(&fields, STR("here"), STR("A.test:8443"));
    arena_clear(&pool);
    return loop;
}

static void test_found(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        bool loop;
    } cases[] = {
        {"boxedge-here;host=a.test", true},
        {"other, BOXEDGE-HERE ; v=1; HOST=a.test", true},
        {"\"x\",boxedge-here;host=a.test,abc", true},
        {"boxedge-here", false}, /* as other versions write it: a pass */
        {"boxedge-here;host=b.test", false},
        {"boxedge-here;host=a.test.b", false},
        {"boxedge-there;host=a.test", false},
        {"xboxedge-here;host=a.test", false},
        {"a;boxedge-here;host=a.test", false},
        {PASS PASS PASS PASS "x", false},
        {PASS PASS PASS PASS "boxedge-here", true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        if (found(cases[i].value) != cases[i].loop)
            fail_msg("%s", cases[i].value);
}

static void test_mark(void **state)
{
    (void)state;
    arena_t pool;
    arena_init(&pool);
    assert_true(str_eq(cdn_loop_mark(&pool, STR("n"), STR("a.test:1")), STR("boxedge-n;host=a.test")));
    assert_true(str_eq(cdn_loop_mark(&pool, STR("n"), STR("[::1]:1")), STR("boxedge-n")));
    assert_true(str_eq(cdn_loop_mark(&pool, STR("n"), STR("")), STR("boxedge-n")));
    arena_clear(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_found), cmocka_unit_test(test_mark)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
