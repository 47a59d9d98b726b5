/* Which ports of a box may be exposed, and which have been listening. */
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

static void ready(void **state)
{
    (void)state;
    store_box_t box = {.state = BOX_RUNNING, .listening_count = 1, .listening = {80}, .settles_at_ms = 1000};
    assert_true(store_box_ready(&box, 80, 0)); /* seen to listen */
    assert_false(store_box_ready(&box, 81, 999));
    assert_true(store_box_ready(&box, 81, 1000)); /* it has had the time */
    box.settles_at_ms = STORE_BOX_SETTLES_MAX_MS;
    assert_false(store_box_ready(&box, 81, 0));
    box.settles_at_ms++; /* the clock of an earlier boot, or a wall clock */
    assert_true(store_box_ready(&box, 81, 0));
    box.doubted = true;
    assert_false(store_box_ready(&box, 80, 1000));
    box = (store_box_t){.state = BOX_RUNNING};
    assert_true(store_box_ready(&box, 81, 0)); /* settled */
    for (box_state_t not_running = BOX_UNKNOWN; not_running <= BOX_GONE; not_running++) {
        box.state = not_running;
        assert_int_equal(store_box_ready(&box, 81, 0), not_running == BOX_RUNNING);
    }
}

/* Who is asked for by localhost without a word: private previews of process and docker boxes. */
static void test_host_headers(void **state)
{
    (void)state;
    for (unsigned mode = 0; mode <= HOST_HEADER_LAST; mode++)
        for (unsigned provider = 0; provider <= PROVIDER_HTTP; provider++)
            for (unsigned access = 0; access < 4; access++) {
                store_preview_t preview = {.host_header = (host_header_t)mode,
                                           .bearer = (access & 1) != 0,
                                           .basic = (access & 2) != 0};
                bool local = provider == PROVIDER_PROCESS || provider == PROVIDER_DOCKER;
                host_header_t expected = (host_header_t)mode;
                if (mode == HOST_HEADER_DEFAULT)
                    expected = local && access != 0 ? HOST_HEADER_AUTO : HOST_HEADER_PUBLIC;
                assert_int_equal(store_host_header(&preview, (box_provider_t)provider), expected);
                assert_int_equal(store_tries_hosts(&preview, (box_provider_t)provider),
                                 access != 0 && expected == HOST_HEADER_AUTO);
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(exposed), cmocka_unit_test(listening),
                                       cmocka_unit_test(ready), cmocka_unit_test(test_host_headers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
