/* The page for errors: complete, bounded, and nothing from outside becomes markup. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "pages.h"

static int set_up(void **state)
{
    h2o_mem_pool_t *pool = malloc(sizeof *pool);
    assert_non_null(pool);
    h2o_mem_init_pool(pool);
    *state = pool;
    return 0;
}

static int tear_down(void **state)
{
    h2o_mem_clear_pool(*state);
    free(*state);
    return 0;
}

static bool contains(str_t page, const char *text)
{
    return memmem(page.p, page.n, text, strlen(text)) != NULL;
}

static str_t error_page(h2o_mem_pool_t *pool, int status, const char *sentence, str_t request_id, str_t host)
{
    page_error_t about = {.status = status, .sentence = sentence, .request_id = request_id, .host = host};
    return page_error(pool, &about);
}

static void it_says_what_happened(void **state)
{
    str_t page = error_page(*state, 502, "The box closed the connection.", STR("id-1"), STR("a-1.example"));
    assert_true(str_starts(page, STR("<!doctype html>")));
    assert_true(contains(page, "Error 502"));
    assert_true(contains(page, "The box closed the connection."));
    assert_true(contains(page, "There is no answer to pass on"));
    assert_true(contains(page, "id-1"));
    assert_true(contains(page, "a-1.<wbr>example"));
    assert_true(contains(page, "width=device-width"));
    assert_true(contains(page, "prefers-color-scheme:dark"));
    assert_false(contains(page, "<script"));
    assert_false(contains(page, "http://"));
    assert_false(contains(page, "https://"));
}

static void statuses_without_a_text_of_their_own(void **state)
{
    assert_true(contains(error_page(*state, 418, "x", STR(""), STR("")), "Error 418"));
    str_t page = error_page(*state, 599, "x", STR(""), STR(""));
    assert_true(contains(page, "Error 599"));
    assert_true(contains(page, "request id"));
    assert_false(contains(page, "<dt>Host</dt>"));
}

static void nothing_from_outside_becomes_markup(void **state)
{
    str_t host = STR("<script>alert('1')</script>&\"\x01\xff");
    str_t page = error_page(*state, 404, "a < b & c", STR("<b>"), host);
    assert_false(contains(page, "<script"));
    assert_false(contains(page, "<b>"));
    assert_true(contains(page, "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&amp;&quot;??"));
    assert_true(contains(page, "a &lt; b &amp; c"));
}

static void long_hosts_are_cut(void **state)
{
    static char host[32768];
    memset(host, '&', sizeof host);
    str_t page = error_page(*state, 404, "x", STR("id"), str_make(host, sizeof host));
    assert_in_range(page.n, 1000, 8192);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_says_what_happened, set_up, tear_down),
        cmocka_unit_test_setup_teardown(statuses_without_a_text_of_their_own, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_from_outside_becomes_markup, set_up, tear_down),
        cmocka_unit_test_setup_teardown(long_hosts_are_cut, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
