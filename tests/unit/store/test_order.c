/* Names as sorted keys. */
#include "order.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static int compare(const order_key_t *a, const order_key_t *b)
{
    int c = memcmp(a->bytes, b->bytes, a->len < b->len ? a->len : b->len);
    return c != 0 ? c : (a->len > b->len) - (a->len < b->len);
}

static void test_order(void **state)
{
    (void)state;
    static const struct {
        const char *id;
        uint16_t port;
    } sorted[] = {{"", 0},      {"a", 1},    {"a", 2},     {"a", 255},    {"a", 256},
                  {"a", 65535}, {"a-b", 80}, {"a-b-c", 1}, {"a0", 1},     {"a_b", 1},
                  {"aa", 1},    {"b", 1},    {"zz", 1},    {"zz", 65535}, {"zzz", 1}};
    for (size_t i = 1; i < sizeof(sorted) / sizeof(sorted[0]); i++) {
        order_key_t low = order_key(str_from(sorted[i - 1].id), sorted[i - 1].port);
        order_key_t high = order_key(str_from(sorted[i].id), sorted[i].port);
        assert_true(compare(&low, &high) < 0);
    }
}

static void test_name(void **state)
{
    (void)state;
    char longest[ORDER_ID_MAX + 2];
    memset(longest, 'x', sizeof(longest));
    for (size_t n = 1; n <= ORDER_ID_MAX; n++) {
        order_key_t key = order_key(str_make(longest, n), (uint16_t)(n * 1000));
        str_t id;
        uint16_t port;
        assert_true(order_name(str_make((char *)key.bytes, key.len), &id, &port));
        assert_true(str_eq(id, str_make(longest, n)));
        assert_int_equal(port, (uint16_t)(n * 1000));
    }
    /* One longer than any id: behind all names with the same beginning, and itself no name. */
    order_key_t over = order_key(str_make(longest, ORDER_ID_MAX + 1), 1);
    order_key_t last = order_key(str_make(longest, ORDER_ID_MAX), UINT16_MAX);
    assert_true(compare(&last, &over) < 0);
    str_t id;
    uint16_t port;
    assert_false(order_name(str_make((char *)over.bytes, over.len), &id, &port));
}

static void test_no_names(void **state)
{
    (void)state;
    str_t id;
    uint16_t port;
    assert_false(order_name(STR(""), &id, &port));
    assert_false(order_name(STR("\0\0\1"), &id, &port)); /* an empty id */
    assert_false(order_name(STR("ab\0\1"), &id, &port)); /* the port is cut */
    assert_true(order_name(STR("a\0\0\1"), &id, &port));
    char key[ORDER_KEY_MAX + 1] = {0};
    memset(key, 'x', sizeof(key) - 3);
    assert_false(order_name(str_make(key, sizeof(key)), &id, &port));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_name),
        cmocka_unit_test(test_no_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
