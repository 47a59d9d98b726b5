/* Streams that the edge reset may still get frames; others may not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "http2_closed.h"

static void test_remembers(void **state)
{
    (void)state;
    http2_closed_t closed = {.next = 0};
    assert_false(http2_closed_tolerates(&closed, 1));
    http2_closed_reset(&closed, 5);
    assert_false(http2_closed_tolerates(&closed, 3));
    assert_true(http2_closed_tolerates(&closed, 5));
    assert_false(http2_closed_tolerates(&closed, 7));
}

static void test_forgets_in_favour(void **state)
{
    (void)state;
    http2_closed_t closed = {.next = 0};
    for (int32_t i = 0; i < HTTP2_CLOSED_KEPT; i++)
        http2_closed_reset(&closed, 101 + 4 * i);
    assert_true(http2_closed_tolerates(&closed, 101));
    assert_false(http2_closed_tolerates(&closed, 99));
    assert_false(http2_closed_tolerates(&closed, 103));
    http2_closed_reset(&closed, 1001);
    assert_true(http2_closed_tolerates(&closed, 99)); /* as old as the forgotten ones */
    assert_true(http2_closed_tolerates(&closed, 101));
    assert_false(http2_closed_tolerates(&closed, 103));
    assert_true(http2_closed_tolerates(&closed, 105));
    assert_true(http2_closed_tolerates(&closed, 1001));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_remembers),
                                       cmocka_unit_test(test_forgets_in_favour)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
