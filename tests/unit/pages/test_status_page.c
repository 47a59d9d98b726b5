/* The status page: a script under a nonce, text that never becomes markup, nothing from elsewhere. */
#include "pages_fixture.h"

#include "status_page.h"

static void it_needs_nothing_from_elsewhere(void **state)
{
    str_t page = status_page(*state, STR("0123abcd"));
    assert_true(str_starts(page, STR("<!doctype html>")));
    assert_true(page.n < 65536);
    assert_true(page_contains(page, "<script nonce=\"0123abcd\">"));
    assert_true(page_contains(page, "prefers-color-scheme:dark"));
    assert_true(page_contains(page, "width=device-width"));
    assert_false(page_contains(page, "{{"));
    assert_false(page_contains(page, " src="));
    assert_false(page_contains(page, "https://"));
    assert_false(page_contains(page, "url("));
    assert_false(page_contains(page, "@import"));
}

static void its_script_writes_texts_only(void **state)
{
    str_t page = status_page(*state, STR("0123abcd"));
    static const char *const ways[] = {"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write",
                                       "eval(",     "Function(", "onclick=",           "srcdoc"};
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
        assert_false(page_contains(page, ways[i]));
}

static void its_policy_allows_only_its_own(void **state)
{
    str_t policy = status_page_policy(*state, STR("0123abcd"));
    assert_true(str_starts(policy, STR("default-src 'none'; ")));
    assert_true(page_contains(policy, "script-src 'nonce-0123abcd'; "));
    assert_true(page_contains(policy, "connect-src 'self'; "));
    assert_true(page_contains(policy, "frame-ancestors 'none'"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_needs_nothing_from_elsewhere, pages_set_up, pages_tear_down),
        cmocka_unit_test_setup_teardown(its_script_writes_texts_only, pages_set_up, pages_tear_down),
        cmocka_unit_test_setup_teardown(its_policy_allows_only_its_own, pages_set_up, pages_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
