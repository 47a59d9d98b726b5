/* The section `tracing`. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "conf_fixture.h"

static void keys(void **state)
{
    (void)state;
    conf_t *conf = fixture_good(BASE);
    assert_string_equal(conf->tracing.otlp, "");
    assert_int_equal(conf->tracing.rate, 10000);
    assert_int_equal(conf->tracing.per_second, 100);
    conf_release(&conf);
    conf =
        fixture_good(BASE "tracing: {otlp: \"http://127.0.0.1:4318/v1/traces\", rate: 0.5, per_second: 7}\n");
    assert_string_equal(conf->tracing.otlp, "http://127.0.0.1:4318/v1/traces");
    assert_int_equal(conf->tracing.rate, 500000);
    assert_int_equal(conf->tracing.per_second, 7);
    conf_release(&conf);
    fixture_bad(
        BASE "tracing: {rate: 2}\n",
        "e.yaml:3:17: tracing.rate: \"2\" is not a number from 0 to 1; allowed: a number from 0 to 1 with at "
        "most six decimals, such as 0.01\n");
    fixture_bad(
        BASE "tracing: {per_second: 0}\n",
        "e.yaml:3:23: tracing.per_second: \"0\" is too small; allowed: a whole number of requests from 1 to "
        "100000\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(keys)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
