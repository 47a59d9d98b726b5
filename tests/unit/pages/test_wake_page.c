/* The page while a box wakes: complete, bounded, self-contained, and no outside text becomes markup. A
 * browser tests its script (tests/e2e/test_wake_chromium.py). */
#include "pages_fixture.h"

#include "wake_page.h"

static wake_page_t made(void)
{
    return (wake_page_t){.box = "sweet-shark-26021",
                         .port = 3000,
                         .request_id = "id-1",
                         .nonce = STR("00ff"),
                         .stage = WAKE_STARTING,
                         .elapsed_ms = 2345};
}

static void it_waits(void **state)
{
    wake_page_t page = made();
    str_t html = wake_page(*state, &page);
    assert_true(str_starts(html, STR("<!doctype html>")));
    assert_true(page_contains(html, "sweet-shark-26021"));
    assert_true(page_contains(html, "port <b>3000</b>"));
    assert_true(page_contains(html, "id-1"));
    assert_true(page_contains(html, "<li class=\"done\">"));
    assert_true(page_contains(html, "<li class=\"now\" aria-current=\"step\">"));
    assert_true(page_contains(html, "data-elapsed=\"2345\""));
    assert_true(page_contains(html, ">2 s<"));
    assert_true(page_contains(html, "<noscript><meta http-equiv=\"refresh\" content=\"3\"></noscript>"));
    assert_true(page_contains(html, "<div id=\"failed\" hidden>"));
    assert_true(page_contains(html, "prefers-reduced-motion"));
    assert_true(page_contains(html, "new EventSource('" WAKE_EVENTS_PATH "')"));
    assert_false(page_contains(html, "http://"));
    assert_false(page_contains(html, "https://"));
    assert_true(html.n < 16384);
}

static void it_failed(void **state)
{
    wake_page_t page = made();
    page.failure = "</p><script>alert(1)</script>\"'&";
    page.retry_after = 7;
    str_t html = wake_page(*state, &page);
    assert_true(page_contains(html, "&lt;/p&gt;&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;"));
    assert_true(page_contains(html, "<div id=\"waiting\" hidden>"));
    assert_true(page_contains(html, "<div id=\"failed\">"));
    assert_true(page_contains(html, "data-retry=\"7\""));
    assert_true(page_contains(html, "href=\"\">Try again</a>"));
    assert_false(page_contains(html, "http-equiv"));
}

static void it_is_bounded(void **state)
{
    static char sentence[100000];
    wake_page_t page = made();
    memset(sentence, '<', sizeof sentence - 1);
    page.failure = sentence;
    page.elapsed_ms = UINT64_MAX;
    page.retry_after = UINT32_MAX;
    assert_true(wake_page(*state, &page).n < 16384);
}

static void the_policy(void **state)
{
    str_t policy = wake_page_policy(*state, STR("00ff"));
    assert_true(page_contains(policy, "default-src 'none'"));
    assert_true(page_contains(policy, "script-src 'nonce-00ff'"));
    assert_true(page_contains(policy, "connect-src 'self'"));
}

static void names_of_stages(void **state)
{
    (void)state;
    assert_string_equal(wake_stage_name(WAKE_RESUMING), "resuming");
    assert_string_equal(wake_stage_name(WAKE_STARTING), "starting");
    assert_string_equal(wake_stage_name(WAKE_LISTENING), "listening");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, pages_set_up, pages_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(it_waits), TEST(it_failed), TEST(it_is_bounded), TEST(the_policy), TEST(names_of_stages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
