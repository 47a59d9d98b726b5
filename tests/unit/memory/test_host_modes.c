/* The modes by which apps answer: keys, displacement, and cells with any bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "host_modes.h"

static const uint64_t seed[2] = {0x1234567890abcdef, 0xfedcba0987654321};
static host_modes_t modes;

static void test_each_port_of_each_generation(void **state)
{
    (void)state;
    const uint64_t keys[] = {
        host_modes_key(seed, STR("a"), 1, 3000),  host_modes_key(seed, STR("a"), 2, 3000),
        host_modes_key(seed, STR("a"), 1, 3001),  host_modes_key(seed, STR("b"), 1, 3000),
        host_modes_key(seed, STR("a-b"), 1, 300), host_modes_key(seed, STR("a"), UINT64_MAX, 65535),
    };
    const size_t count = sizeof(keys) / sizeof(keys[0]);
    for (size_t i = 0; i < count; i++) {
        modes = (host_modes_t){0};
        assert_int_equal(host_modes_get(&modes, keys[i]), HOST_MODE_PUBLIC);
        host_modes_put(&modes, keys[i], HOST_MODE_LOCALHOST);
        for (size_t k = 0; k < count; k++)
            assert_int_equal(host_modes_get(&modes, keys[k]),
                             k == i ? HOST_MODE_LOCALHOST : HOST_MODE_PUBLIC);
        host_modes_put(&modes, keys[i], HOST_MODE_BARE);
        assert_int_equal(host_modes_get(&modes, keys[i]), HOST_MODE_BARE);
        host_modes_put(&modes, keys[i], HOST_MODE_PUBLIC);
        assert_int_equal(host_modes_get(&modes, keys[i]), HOST_MODE_PUBLIC);
    }
}

/* Two that share a cell displace each other; neither gets the other's mode. */
static void test_displacement(void **state)
{
    (void)state;
    uint64_t one = (uint64_t)7 << 2, other = one + ((uint64_t)HOST_MODES_CELLS << 2);
    modes = (host_modes_t){0};
    host_modes_put(&modes, one, HOST_MODE_LOCALHOST);
    assert_int_equal(host_modes_get(&modes, other), HOST_MODE_PUBLIC);
    host_modes_put(&modes, other, HOST_MODE_BARE);
    assert_int_equal(host_modes_get(&modes, one), HOST_MODE_PUBLIC);
    assert_int_equal(host_modes_get(&modes, other), HOST_MODE_BARE);
}

/* A worker that was taken over can write any cell. */
static void test_forged_cells(void **state)
{
    (void)state;
    uint64_t key = (uint64_t)5 << 2;
    for (unsigned low = 0; low < 4; low++) {
        atomic_store(&modes.cells[5], key | low);
        assert_int_equal(host_modes_get(&modes, key),
                         low <= HOST_MODE_LAST ? (host_mode_t)low : HOST_MODE_PUBLIC);
    }
    atomic_store(&modes.cells[5], UINT64_MAX);
    assert_int_equal(host_modes_get(&modes, key), HOST_MODE_PUBLIC);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_port_of_each_generation),
        cmocka_unit_test(test_displacement),
        cmocka_unit_test(test_forged_cells),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
