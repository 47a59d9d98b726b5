/* Progress of one HTTP/2 connection: every bound to the byte and the millisecond. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "http2_progress.h"

#define BEGIN 100000u

static http2_progress_t begun(void)
{
    http2_progress_t progress;
    http2_progress_init(&progress, BEGIN);
    http2_progress_busy(&progress, BEGIN);
    return progress;
}

static void test_stuck(void **state)
{
    (void)state;
    http2_progress_t progress = begun();
    assert_false(http2_progress_is_stuck(&progress, BEGIN - 1));
    assert_true(http2_progress_is_stuck(&progress, BEGIN));
}

static void test_bytes(void **state)
{
    (void)state;
    http2_progress_t progress = begun();
    http2_progress_moved(&progress, HTTP2_PROGRESS_BYTES - 1, BEGIN + 10);
    assert_true(http2_progress_is_stuck(&progress, BEGIN + 10));
    http2_progress_moved(&progress, 1, BEGIN + 20);
    assert_false(http2_progress_is_stuck(&progress, BEGIN + 19));
    assert_true(http2_progress_is_stuck(&progress, BEGIN + 20));
    http2_progress_moved(&progress, HTTP2_PROGRESS_BYTES - 1, BEGIN + 30); /* counted anew */
    assert_true(http2_progress_is_stuck(&progress, BEGIN + 30));
    http2_progress_moved(&progress, SIZE_MAX, BEGIN + 40);
    assert_false(http2_progress_is_stuck(&progress, BEGIN + 39));
}

static void test_an_answer_is_progress(void **state)
{
    (void)state;
    http2_progress_t progress = begun();
    http2_progress_answered(&progress, BEGIN + 7);
    assert_false(http2_progress_is_stuck(&progress, BEGIN + 6));
}

/* Only a complete pause makes the connection fresh: requests that replace each other do not. */
static void test_rests(void **state)
{
    (void)state;
    http2_progress_t progress = begun();
    http2_progress_rest(&progress, BEGIN + 10);
    http2_progress_busy(&progress, BEGIN + 10 + HTTP2_PROGRESS_REST_MS - 1);
    assert_true(http2_progress_is_stuck(&progress, BEGIN));
    http2_progress_rest(&progress, BEGIN + 6000);
    http2_progress_busy(&progress, BEGIN + 6000 + HTTP2_PROGRESS_REST_MS);
    assert_false(http2_progress_is_stuck(&progress, BEGIN + 6000 + HTTP2_PROGRESS_REST_MS - 1));
    assert_true(http2_progress_is_stuck(&progress, BEGIN + 6000 + HTTP2_PROGRESS_REST_MS));
}

/* From the first time that streams were taken until the next progress; no pause ends it. */
static void test_over(void **state)
{
    (void)state;
    http2_progress_t progress = begun();
    assert_false(http2_progress_is_over(&progress, UINT64_MAX));
    http2_progress_taken(&progress, BEGIN + 5000);
    http2_progress_taken(&progress, BEGIN + 7000);
    assert_false(http2_progress_is_over(&progress, BEGIN + 4999));
    assert_true(http2_progress_is_over(&progress, BEGIN + 5000));
    http2_progress_rest(&progress, BEGIN + 5000);
    http2_progress_busy(&progress, BEGIN + 50000);
    http2_progress_moved(&progress, HTTP2_PROGRESS_BYTES - 1, BEGIN + 50000);
    assert_true(http2_progress_is_over(&progress, BEGIN + 5000));
    http2_progress_moved(&progress, 1, BEGIN + 50000);
    assert_false(http2_progress_is_over(&progress, UINT64_MAX));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stuck),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_an_answer_is_progress),
        cmocka_unit_test(test_rests),
        cmocka_unit_test(test_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
