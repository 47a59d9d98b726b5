/* When a request may be sent a second time: the table of docs/http.md, "Sent again". */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "resend.h"

/* A GET on a pooled connection that died after the request was written and before any answer. */
static resend_facts_t stale_get(void)
{
    return (resend_facts_t){.method = STR("GET"), .reused = true, .wrote = true, .body_held = true};
}

static void test_stale_connection(void **state)
{
    (void)state;
    resend_facts_t facts = stale_get();
    assert_true(resend_allowed(&facts));
}

static void test_each_condition_forbids(void **state)
{
    (void)state;
    resend_facts_t facts = stale_get();
    facts.reused = false;
    assert_false(resend_allowed(&facts));
    facts = stale_get();
    facts.sent_again = true;
    assert_false(resend_allowed(&facts));
    facts = stale_get();
    facts.response_began = true;
    assert_false(resend_allowed(&facts));
    facts = stale_get();
    facts.body_held = false;
    assert_false(resend_allowed(&facts));
    facts = stale_get();
    facts.websocket = true;
    assert_false(resend_allowed(&facts));
}

static void test_methods(void **state)
{
    (void)state;
    static const char *const repeatable[] = {"GET", "HEAD", "OPTIONS", "PUT", "DELETE"};
    static const char *const others[] = {"POST", "PATCH", "get", "TRACE", "PROPFIND", ""};
    for (size_t i = 0; i < sizeof(repeatable) / sizeof(*repeatable); i++) {
        resend_facts_t facts = stale_get();
        facts.method = str_from(repeatable[i]);
        assert_true(resend_allowed(&facts));
    }
    for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
        resend_facts_t facts = stale_get();
        facts.method = str_from(others[i]);
        assert_false(resend_allowed(&facts));
        facts.wrote = false; /* the box saw none of it: any request may be sent again */
        assert_true(resend_allowed(&facts));
    }
}

static void test_upgrade_that_never_left(void **state)
{
    (void)state;
    resend_facts_t facts = stale_get();
    facts.websocket = true;
    facts.wrote = false;
    assert_true(resend_allowed(&facts));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stale_connection),
        cmocka_unit_test(test_each_condition_forbids),
        cmocka_unit_test(test_methods),
        cmocka_unit_test(test_upgrade_that_never_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
