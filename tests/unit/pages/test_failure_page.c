/* The page for an app that cannot be reached: its advice depends on the kind of box, and contains no
 * contradiction. */
#include "pages_fixture.h"

#include "failure_page.h"

static str_t made(const char *code, box_provider_t provider, bool on_loopback)
{
    failure_page_t page = {.error = {.status = 502, .sentence = "It is so.", .detail = "For <that>."},
                           .code = code,
                           .box = "sweet-shark-26021",
                           .port = 3000,
                           .provider = provider,
                           .on_loopback = on_loopback,
                           .nonce = STR("00ff")};
    page.error.request_id = STR("id");
    return failure_page(&pages_pool, &page);
}

static void advice_goes_by_the_kind_of_box(void **state)
{
    (void)state;
    static const struct {
        box_provider_t provider;
        bool on_loopback, all_addresses, log;
    } cases[] = {
        {PROVIDER_STATIC, true, false, false}, {PROVIDER_STATIC, false, true, false},
        {PROVIDER_PROCESS, true, false, true}, {PROVIDER_DOCKER, false, true, true},
        {PROVIDER_HTTP, false, true, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        str_t page = made("port_not_listening", cases[i].provider, cases[i].on_loopback);
        assert_int_equal(page_contains(page, "0.0.0.0"), cases[i].all_addresses);
        assert_int_equal(page_contains(page, "boxedge box logs sweet-shark-26021"), cases[i].log);
        assert_true(page_contains(page, "<h1>Nothing listens on this port</h1>"));
        assert_true(page_contains(page, "3000"));
        assert_true(page_contains(page, "For &lt;that&gt;."));
    }
}

/* A sentence may say that the preview or a limit is to be changed: then the app is not to blame. */
static void advice_blames_no_app_alone(void **state)
{
    (void)state;
    str_t page = made("bad_response", PROVIDER_HTTP, false);
    assert_true(page_contains(page, "The app, its preview or a limit of the edge needs a change."));
    assert_false(page_contains(page, "corrected there"));
}

static void every_code_has_a_page(void **state)
{
    (void)state;
    static const struct {
        const char *code;
        bool looks_again;
    } cases[] = {
        {"port_not_listening", true}, {"port_on_loopback", true}, {"port_not_exposed", false},
        {"port_not_in_box", false},   {"box_unreachable", true},  {"connect_timeout", true},
        {"origin_closed", true},      {"origin_timeout", false},  {"origin_refused", true},
        {"origin_not_http2", false},  {"bad_response", false},    {"box_paused", false},
        {"box_gone", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_true(failure_page_knows(cases[i].code));
        str_t page = made(cases[i].code, PROVIDER_HTTP, false);
        assert_int_equal(page_contains(page, "<script nonce=\"00ff\">"), cases[i].looks_again);
        assert_false(page_contains(page, "did not answer properly"));
        assert_true(page.n < 12288);
    }
    assert_false(failure_page_knows("websocket_unsupported"));
    assert_false(failure_page_knows(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(advice_goes_by_the_kind_of_box, pages_set_up, pages_tear_down),
        cmocka_unit_test_setup_teardown(advice_blames_no_app_alone, pages_set_up, pages_tear_down),
        cmocka_unit_test_setup_teardown(every_code_has_a_page, pages_set_up, pages_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
