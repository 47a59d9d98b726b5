/* Which ports of a box may be exposed, and which were seen to listen. */
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "store.h"

static void exposed(void **state)
{
    (void)state;
    store_box_t box = {.port_count = 0, .ports = {1}};
    assert_true(store_box_exposes(&box, 1));
    assert_true(store_box_exposes(&box, 65535)); /* all are */
    box.port_count = STORE_BOX_PORTS_MAX;
    box.ports[STORE_BOX_PORTS_MAX - 1] = 3000;
    assert_true(store_box_exposes(&box, 1));
    assert_true(store_box_exposes(&box, 3000));
    assert_false(store_box_exposes(&box, 3001));
    box.port_count = STORE_BOX_PORTS_MAX - 1;
    assert_false(store_box_exposes(&box, 3000));
}

static void listening(void **state)
{
    (void)state;
    store_box_t box = {.listening_count = 0, .listening = {80}};
    assert_false(store_box_listens(&box, 80)); /* none was seen */
    box.listening_count = 1;
    assert_true(store_box_listens(&box, 80));
    assert_false(store_box_listens(&box, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(exposed), cmocka_unit_test(listening)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
