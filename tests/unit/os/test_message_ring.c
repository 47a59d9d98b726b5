/* message_ring.h: the last lines, at the bound, beside a writer, and with forged numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "message_ring.h"

static message_ring_t *ring;
static char *out;

static int set_up(void **state)
{
    (void)state;
    ring = calloc(1, sizeof(*ring));
    out = malloc(MESSAGE_RING_BYTES);
    return ring == NULL || out == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    free(ring);
    free(out);
    return 0;
}

static str_t all(void)
{
    return str_make(out, message_ring_read(ring, out));
}

static void what_was_put_is_read(void **state)
{
    (void)state;
    assert_int_equal(all().n, 0);
    message_ring_put(ring, STR("one\n"));
    message_ring_put(ring, STR("two\nthr"));
    assert_true(str_eq(all(), STR("one\ntwo\nthr")));
    message_ring_put(ring, STR("ee\n"));
    assert_true(str_eq(all(), STR("one\ntwo\nthree\n")));
}

static void the_oldest_lines_go(void **state)
{
    char line[16];
    (void)state;
    for (unsigned i = 0; i < 20000; i++) {
        snprintf(line, sizeof(line), "line %09u\n", i);
        message_ring_put(ring, str_from(line));
    }
    str_t text = all();
    assert_true(text.n > MESSAGE_RING_BYTES - 32 && text.n <= MESSAGE_RING_BYTES);
    assert_int_equal(text.n % 15, 0);
    assert_true(str_starts(text, STR("line ")));
    assert_memory_equal(text.p + text.n - 15, "line 000019999\n", 15);
}

static void exactly_the_size_fits(void **state)
{
    (void)state;
    char *full = malloc(MESSAGE_RING_BYTES + 10);
    memset(full, 'x', MESSAGE_RING_BYTES + 10);
    full[MESSAGE_RING_BYTES - 1] = '\n';
    message_ring_put(ring, str_make(full, MESSAGE_RING_BYTES));
    assert_int_equal(all().n, MESSAGE_RING_BYTES);
    message_ring_put(ring, STR("last\n"));
    assert_true(str_eq(all(), STR("last\n"))); /* the long line has lost its beginning */
    full[MESSAGE_RING_BYTES - 1] = 'x';
    message_ring_put(ring, str_make(full, MESSAGE_RING_BYTES + 10));
    assert_int_equal(all().n, 0);
    free(full);
}

/* The writer has begun to write over the oldest lines. */
static void lines_under_a_pen_are_left_out(void **state)
{
    (void)state;
    while (atomic_load(&ring->written) < MESSAGE_RING_BYTES)
        message_ring_put(ring, STR("0123456\n"));
    assert_int_equal(all().n, MESSAGE_RING_BYTES);
    atomic_store(&ring->begun, MESSAGE_RING_BYTES + 9);
    assert_int_equal(all().n, MESSAGE_RING_BYTES - 16);
}

static void forged_numbers_harm_nobody(void **state)
{
    static const uint64_t numbers[] = {0, 1, 100, MESSAGE_RING_BYTES, UINT64_MAX - 7, UINT64_MAX};
    (void)state;
    message_ring_put(ring, STR("one\n"));
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        for (size_t j = 0; j < sizeof(numbers) / sizeof(numbers[0]); j++) {
            atomic_store(&ring->written, numbers[i]);
            atomic_store(&ring->begun, numbers[j]);
            assert_true(all().n <= MESSAGE_RING_BYTES);
        }
        message_ring_put(ring, STR("two\n"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_put_is_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_oldest_lines_go, set_up, tear_down),
        cmocka_unit_test_setup_teardown(exactly_the_size_fits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lines_under_a_pen_are_left_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(forged_numbers_harm_nobody, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
