/* The queue of bytes in pieces: bytes come out as they went in, and memory follows its size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdint.h>
#include <stdlib.h>

#include "pieces.h"

static char text[300000];

static void test_order(void **state)
{
    (void)state;
    pieces_t pieces = {NULL};
    account_root_t root;
    account_root_init(&root, NULL);
    size_t in = 0, out = 0;
    unsigned random = 1;
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (char)(i * 7 % 251);
    while (out != sizeof(text)) {
        random = random * 1103515245 + 12345;
        size_t n = random / 65536 % 20000;
        if (random % 3 != 0) {
            n = n < sizeof(text) - in ? n : sizeof(text) - in;
            pieces_append(&pieces, str_make(text + in, n), &root.account);
            in += n;
        } else {
            str_t front = pieces_front(&pieces);
            n = n < front.n ? n : front.n;
            if (n != 0)
                assert_memory_equal(front.p, text + out, n);
            pieces_consume(&pieces, n, &root.account);
            out += n;
        }
        assert_int_equal(pieces.size, in - out);
        assert_true(root.held >= pieces.size);
        assert_true(root.held <= pieces.size + 2 * PIECES_BYTES);
    }
    assert_int_equal(root.held, 0);
    assert_null(pieces.first);
}

static void test_a_few_bytes_take_little(void **state)
{
    (void)state;
    pieces_t pieces = {NULL};
    account_root_t root;
    account_root_init(&root, NULL);
    pieces_append(&pieces, STR("abc"), &root.account);
    assert_int_equal(root.held, PIECES_FIRST_BYTES);
    pieces_append(&pieces, STR("def"), &root.account);
    assert_int_equal(root.held, PIECES_FIRST_BYTES);
    assert_true(str_eq(pieces_front(&pieces), STR("abcdef")));
    pieces_clear(&pieces, &root.account);
    assert_int_equal(root.held, 0);
}

static void test_consume_over_pieces(void **state)
{
    (void)state;
    pieces_t pieces = {NULL};
    account_root_t root;
    account_root_init(&root, NULL);
    pieces_append(&pieces, str_make(text, sizeof(text)), &root.account);
    pieces_consume(&pieces, 200001, &root.account);
    assert_int_equal(pieces.size, sizeof(text) - 200001);
    assert_memory_equal(pieces_front(&pieces).p, text + 200001, pieces_front(&pieces).n);
    pieces_clear(&pieces, &root.account);
    assert_int_equal(root.held, 0);
    assert_int_equal(pieces_front(&pieces).n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_order),
                                       cmocka_unit_test(test_a_few_bytes_take_little),
                                       cmocka_unit_test(test_consume_over_pieces)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
