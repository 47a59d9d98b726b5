/* Which requests are traced: the client's flag, the rate at its ends, and the bounds of both kinds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "trace_sampler.h"
#include "traceparent.h"

#define IDS "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-"

static bool takes(trace_sampler_t *sampler, str_t inbound, uint32_t rate, uint32_t random)
{
    return trace_sampler_takes(sampler, inbound, rate, 1000, random, 0);
}

static void test_the_flag_decides(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        bool sampled;
    } cases[] = {{IDS "00", false}, {IDS "01", true},  {IDS "02", false}, {IDS "03", true}, {IDS "0a", false},
                 {IDS "0b", true},  {IDS "fe", false}, {IDS "ff", true},  {IDS "10", false}};
    trace_sampler_t sampler = {.over = 0};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        str_t value = str_from(cases[i].value);
        assert_true(traceparent_valid(value));
        assert_int_equal(traceparent_sampled(value), cases[i].sampled);
        assert_int_equal(takes(&sampler, value, 0, 0), cases[i].sampled);
        assert_int_equal(takes(&sampler, value, 1000000, UINT32_MAX), cases[i].sampled);
    }
}

static void test_the_rate_decides(void **state)
{
    (void)state;
    static const struct {
        uint32_t rate, random;
        bool taken;
    } cases[] = {{0, 0, false},
                 {1000000, UINT32_MAX, true},
                 {1, 0, true},
                 {1, UINT32_MAX, false},
                 {999999, UINT32_MAX, false},
                 {500000, (1u << 31) - 1, true},
                 {500000, 1u << 31, false}};
    trace_sampler_t sampler = {.over = 0};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        assert_int_equal(takes(&sampler, STR(""), cases[i].rate, cases[i].random), cases[i].taken);
}

static void test_each_kind_has_a_bound(void **state)
{
    (void)state;
    trace_sampler_t sampler = {.over = 0};
    str_t sampled = STR(IDS "01"), none = STR("");
    for (unsigned i = 0; i < 3; i++)
        assert_true(trace_sampler_takes(&sampler, sampled, 1000000, 3, 0, 5999));
    assert_false(trace_sampler_takes(&sampler, sampled, 1000000, 3, 0, 5999));
    assert_int_equal(sampler.over, 1);
    assert_true(trace_sampler_takes(&sampler, none, 1000000, 3, 0, 5999));
    assert_false(trace_sampler_takes(&sampler, none, 0, 3, 0, 5999)); /* unwanted: not over the bound */
    assert_int_equal(sampler.over, 1);
    assert_true(trace_sampler_takes(&sampler, sampled, 1000000, 3, 0, 6000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_flag_decides),
        cmocka_unit_test(test_the_rate_decides),
        cmocka_unit_test(test_each_kind_has_a_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
