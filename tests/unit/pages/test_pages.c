/* The page for errors: complete, bounded, and no outside text becomes markup. */
#include "pages_fixture.h"

#include "arena.h"
#include "pages.h"

static str_t error_page(arena_t *pool, int status, const char *sentence, str_t request_id, str_t host)
{
    page_error_t about = {.status = status, .sentence = sentence, .request_id = request_id, .host = host};
    return page_error(pool, &about);
}

static void it_says_what_happened(void **state)
{
    str_t page = error_page(*state, 502, "The box closed the connection.", STR("id-1"), STR("a-1.example"));
    assert_true(str_starts(page, STR("<!doctype html>")));
    assert_true(page_contains(page, "Error 502"));
    assert_true(page_contains(page, "The box closed the connection."));
    assert_true(page_contains(page, "There is no valid answer"));
    assert_true(page_contains(page, "id-1"));
    assert_true(page_contains(page, "a-1.<wbr>example"));
    assert_true(page_contains(page, "width=device-width"));
    assert_true(page_contains(page, "prefers-color-scheme:dark"));
    assert_false(page_contains(page, "<script"));
    assert_false(page_contains(page, "http://"));
    assert_false(page_contains(page, "https://"));
}

static void statuses_without_a_text_of_their_own(void **state)
{
    assert_true(page_contains(error_page(*state, 418, "x", STR(""), STR("")), "Error 418"));
    str_t page = error_page(*state, 599, "x", STR(""), STR(""));
    assert_true(page_contains(page, "Error 599"));
    assert_true(page_contains(page, "request id"));
    assert_false(page_contains(page, "<dt>Host</dt>"));
}

static void nothing_from_outside_becomes_markup(void **state)
{
    str_t host = STR("<script>alert('1')</script>&\"\x01\xff");
    str_t page = error_page(*state, 404, "a < b & c", STR("<b>"), host);
    assert_false(page_contains(page, "<script"));
    assert_false(page_contains(page, "<b>"));
    assert_true(page_contains(page, "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&amp;&quot;??"));
    assert_true(page_contains(page, "a &lt; b &amp; c"));
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
        cmocka_unit_test_setup_teardown(it_says_what_happened, pages_set_up, pages_tear_down),
        cmocka_unit_test_setup_teardown(statuses_without_a_text_of_their_own, pages_set_up, pages_tear_down),
        cmocka_unit_test_setup_teardown(nothing_from_outside_becomes_markup, pages_set_up, pages_tear_down),
        cmocka_unit_test_setup_teardown(long_hosts_are_cut, pages_set_up, pages_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
