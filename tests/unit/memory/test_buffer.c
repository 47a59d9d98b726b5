/* Buffers: bytes come out as they went in, the account follows, an empty buffer holds no memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "buffer.h"

static void test_empty(void **state)
{
    (void)state;
    buffer_t buffer = {NULL};
    account_root_t root;
    account_root_init(&root, NULL);
    assert_int_equal(buffer_size(&buffer), 0);
    assert_int_equal(buffer_str(&buffer).n, 0);
    buffer_append(&buffer, str_make(NULL, 0), &root.account);
    buffer_consume(&buffer, 0, &root.account);
    buffer_clear(&buffer, &root.account);
    assert_null(buffer.bytes);
    assert_int_equal(root.held, 0);
}

static void test_append_and_consume(void **state)
{
    (void)state;
    buffer_t buffer = {NULL};
    account_root_t root;
    account_root_init(&root, NULL);
    buffer_append(&buffer, STR("hello"), &root.account);
    buffer_append(&buffer, STR(" world"), &root.account);
    assert_true(str_eq(buffer_str(&buffer), STR("hello world")));
    assert_true(root.held >= 11);
    buffer_consume(&buffer, 6, &root.account);
    assert_true(str_eq(buffer_str(&buffer), STR("world")));
    buffer_consume(&buffer, 5, &root.account);
    assert_null(buffer.bytes);
    assert_int_equal(root.held, 0);
    buffer_append(&buffer, STR("x"), &root.account);
    assert_true(root.held >= 1);
    buffer_clear(&buffer, &root.account);
    assert_null(buffer.bytes);
    assert_int_equal(root.held, 0);
}

/* A queue of 64 KiB with a long stream through it: the order stays, memory is bounded, the figure is the
 * sum. */
static void test_stream(void **state)
{
    (void)state;
    buffer_t buffers[2] = {{NULL}, {NULL}};
    account_root_t root;
    account_root_init(&root, NULL);
    uint64_t in = 0, out = 0;
    uint32_t seed = 1;
    char piece[9000];
    buffer_append(&buffers[1], STR("other"), &root.account);
    uint64_t others = root.held;
    while (out < 8u << 20) {
        seed = seed * 1664525 + 1013904223;
        size_t n = seed >> 8 & 0x1fff;
        if (buffer_size(&buffers[0]) + n <= 65536 && (seed >> 24 & 1) != 0) {
            for (size_t i = 0; i < n; i++)
                piece[i] = (char)(in++ % 251);
            buffer_append(&buffers[0], str_make(piece, n), &root.account);
        } else {
            str_t bytes = buffer_str(&buffers[0]);
            n = n < bytes.n ? n : bytes.n;
            for (size_t i = 0; i < n; i++)
                assert_int_equal((unsigned char)bytes.p[i], out++ % 251);
            buffer_consume(&buffers[0], n, &root.account);
        }
        assert_int_equal(buffer_size(&buffers[0]), in - out);
        assert_true(root.held >= others + buffer_size(&buffers[0]));
        assert_true(root.held <= others + 4 * 65536);
        if (buffer_size(&buffers[0]) == 0)
            assert_int_equal(root.held, others);
    }
    buffer_clear(&buffers[0], &root.account);
    assert_int_equal(root.held, others);
    buffer_clear(&buffers[1], &root.account);
    assert_int_equal(root.held, 0);
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
