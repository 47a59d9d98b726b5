/* FNV-1a: the reference's values (draft-eastlake-fnv, appendix C), and numbers as single steps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "fnv.h"

static void reference_values(void **state)
{
    (void)state;
    assert_true(fnv_text(FNV_START, STR("")) == 0xcbf29ce484222325u);
    assert_true(fnv_text(FNV_START, str_make(NULL, 0)) == 0xcbf29ce484222325u);
    assert_true(fnv_text(FNV_START, STR("a")) == 0xaf63dc4c8601ec8cu);
    assert_true(fnv_text(FNV_START, STR("foobar")) == 0x85944171f73967e8u);
    assert_true(fnv_text(fnv_text(FNV_START, STR("foo")), STR("bar")) == 0x85944171f73967e8u);
}

static void bytes_have_no_sign(void **state)
{
    (void)state;
    assert_true(fnv_text(FNV_START, STR("\xff")) == fnv_number(FNV_START, 0xff));
}

static void numbers_are_one_step(void **state)
{
    (void)state;
    assert_true(fnv_number(0, UINT64_MAX) == -UINT64_C(0x100000001b3));
    assert_true(fnv_number(FNV_START, 1) != fnv_number(FNV_START, UINT64_C(1) << 63));
}

static void the_end_mixes_the_halves(void **state)
{
    (void)state;
    assert_true(fnv_end(0x0123456700000000u) == 0x0123456701234567u);
    assert_true(fnv_end(0) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reference_values),
        cmocka_unit_test(bytes_have_no_sign),
        cmocka_unit_test(numbers_are_one_step),
        cmocka_unit_test(the_end_mixes_the_halves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
