/* Buffers: the bytes come out as they went in, the process's figure follows, an empty one holds nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "buffer.h"

static void test_empty(void **state)
{
    (void)state;
    buffer_t buffer = {NULL};
    uint64_t held = 0;
    assert_int_equal(buffer_size(&buffer), 0);
    assert_int_equal(buffer_str(&buffer).n, 0);
    buffer_append(&buffer, str_make(NULL, 0), &held);
    buffer_consume(&buffer, 0, &held);
    buffer_clear(&buffer, &held);
    assert_null(buffer.bytes);
    assert_int_equal(held, 0);
}

static void test_append_and_consume(void **state)
{
    (void)state;
    buffer_t buffer = {NULL};
    uint64_t held = 0;
    buffer_append(&buffer, STR("hello"), &held);
    buffer_append(&buffer, STR(" world"), &held);
    assert_true(str_eq(buffer_str(&buffer), STR("hello world")));
    assert_true(held >= 11);
    buffer_consume(&buffer, 6, &held);
    assert_true(str_eq(buffer_str(&buffer), STR("world")));
    buffer_consume(&buffer, 5, &held);
    assert_null(buffer.bytes);
    assert_int_equal(held, 0);
    buffer_append(&buffer, STR("x"), &held);
    assert_true(held >= 1);
    buffer_clear(&buffer, &held);
    assert_null(buffer.bytes);
    assert_int_equal(held, 0);
}

/* A queue of 64 KiB with much running through it: the order stays, memory is bounded, the figure is the sum.
 */
static void test_stream(void **state)
{
    (void)state;
    buffer_t buffers[2] = {{NULL}, {NULL}};
    uint64_t held = 0;
    uint64_t in = 0, out = 0;
    uint32_t seed = 1;
    char piece[9000];
    buffer_append(&buffers[1], STR("other"), &held);
    uint64_t others = held;
    while (out < 8u << 20) {
        seed = seed * 1664525 + 1013904223;
        size_t n = seed >> 8 & 0x1fff;
        if (buffer_size(&buffers[0]) + n <= 65536 && (seed >> 24 & 1) != 0) {
            for (size_t i = 0; i < n; i++)
                piece[i] = (char)(in++ % 251);
            buffer_append(&buffers[0], str_make(piece, n), &held);
        } else {
            str_t bytes = buffer_str(&buffers[0]);
            n = n < bytes.n ? n : bytes.n;
            for (size_t i = 0; i < n; i++)
                assert_int_equal((unsigned char)bytes.p[i], out++ % 251);
            buffer_consume(&buffers[0], n, &held);
        }
        assert_int_equal(buffer_size(&buffers[0]), in - out);
        assert_true(held >= others + buffer_size(&buffers[0]));
        assert_true(held <= others + 4 * 65536);
        if (buffer_size(&buffers[0]) == 0)
            assert_int_equal(held, others);
    }
    buffer_clear(&buffers[0], &held);
    assert_int_equal(held, others);
    buffer_clear(&buffers[1], &held);
    assert_int_equal(held, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_append_and_consume),
        cmocka_unit_test(test_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
