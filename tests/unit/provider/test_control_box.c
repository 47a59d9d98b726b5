/* A control plane's description of a box: every field at its bounds, and everything else refused with a
 * reason. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "address.h"
#include "control_box.h"

static control_box_t box;

static const char *read_box(const char *json)
{
    return control_box_read(str_from(json), STR("abc"), &box);
}

/* The box "abc" that runs, with further fields ("\"port\":1"). */
static const char *read_with(const char *fields)
{
    char json[4096];
    snprintf(json, sizeof(json), "{\"id\":\"abc\",\"state\":\"running\",%s}", fields);
    return read_box(json);
}

static const char *address_of_box(void)
{
    static char text[INET6_ADDRSTRLEN];
    return address_text(&box.box.address, text).p;
}

static void test_states(void **state)
{
    (void)state;
    const struct {
        const char *name;
        control_state_t state;
        box_state_t told;
    } all[] = {{"running", CONTROL_RUNNING, BOX_RUNNING}, {"paused", CONTROL_SLEEPING, BOX_PAUSED},
               {"stopped", CONTROL_SLEEPING, BOX_PAUSED}, {"creating", CONTROL_CREATING, BOX_PAUSED},
               {"error", CONTROL_ERROR, BOX_PAUSED},      {"gone", CONTROL_GONE, BOX_GONE},
               {"deleted", CONTROL_GONE, BOX_GONE}};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        char json[128];
        snprintf(json, sizeof(json), "{\"id\":\"abc\",\"state\":\"%s\"}", all[i].name);
        assert_null(read_box(json));
        assert_int_equal(box.state, all[i].state);
        assert_int_equal(box.box.state, all[i].told);
        assert_string_equal(box.box.id, "abc");
        assert_int_equal(box.box.idle_ms, 0);
    }
    const char *bad[] = {"Running", "", "frozen", "running ", "running\\u0000"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char json[128];
        snprintf(json, sizeof(json), "{\"id\":\"abc\",\"state\":\"%s\"}", bad[i]);
        assert_non_null(read_box(json));
    }
    assert_non_null(read_box("{\"id\":\"abc\"}"));
    assert_non_null(read_box("{\"id\":\"abc\",\"state\":null}"));
    assert_non_null(read_box("{\"id\":\"abc\",\"state\":1}"));
}

static void test_ids(void **state)
{
    (void)state;
    const char *bad[] = {"{\"state\":\"running\"}",
                         "{\"id\":null,\"state\":\"running\"}",
                         "{\"id\":1,\"state\":\"running\"}",
                         "{\"id\":\"abd\",\"state\":\"running\"}",
                         "{\"id\":\"abcd\",\"state\":\"running\"}",
                         "{\"id\":\"ABC\",\"state\":\"running\"}"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_non_null(read_box(bad[i]));
    const char *json = "{\"id\":\"../x\",\"state\":\"running\"}";
    assert_non_null(control_box_read(str_from(json), STR("../x"), &box));
}

static void test_addresses(void **state)
{
    (void)state;
    assert_null(read_with("\"address\":\"10.1.2.3\""));
    assert_string_equal(address_of_box(), "10.1.2.3");
    assert_null(read_with("\"address\":\"fd00::1\""));
    assert_string_equal(address_of_box(), "fd00::1");
    assert_null(read_with("\"address\":null"));
    assert_string_equal(address_of_box(), "::");
    const char *bad[] = {"\"10.1.2\"",
                         "\"10.1.2.3.4\"",
                         "\"010.1.2.3\"",
                         "\"10.1.2.3:80\"",
                         "\"fe80::1%eth0\"",
                         "\"host.test\"",
                         "\"\"",
                         "\" 10.1.2.3\"",
                         "1",
                         "[]",
                         "\"10.1.2.3\\u0000\""};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char fields[64];
        snprintf(fields, sizeof(fields), "\"address\":%s", bad[i]);
        assert_non_null(read_with(fields));
    }
}

static void test_ports(void **state)
{
    (void)state;
    assert_null(read_with("\"port\":1"));
    assert_int_equal(box.box.fixed_port, 1);
    assert_null(read_with("\"port\":65535,\"ports\":[1,65535]"));
    assert_int_equal(box.box.fixed_port, 65535);
    assert_int_equal(box.box.port_count, 2);
    assert_int_equal(box.box.ports[1], 65535);
    assert_null(read_with("\"port\":null,\"ports\":null"));
    assert_int_equal(box.box.fixed_port, 0);
    assert_int_equal(box.box.port_count, 0);
    assert_null(read_with("\"ports\":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]"));
    assert_int_equal(box.box.port_count, STORE_BOX_PORTS_MAX);
    const char *bad[] = {
        "\"port\":0",        "\"port\":65536",    "\"port\":-1",
        "\"port\":80.0",     "\"port\":\"80\"",   "\"ports\":[]",
        "\"ports\":[0]",     "\"ports\":[65536]", "\"ports\":80",
        "\"ports\":[\"a\"]", "\"ports\":{}",      "\"ports\":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_non_null(read_with(bad[i]));
}

static void test_flags_and_times(void **state)
{
    (void)state;
    assert_null(read_with("\"keep_alive\":true,\"ephemeral\":true,\"expires_at\":1700000000"));
    assert_true(box.box.keep_alive && box.box.ephemeral);
    assert_int_equal(box.box.expires_at, 1700000000);
    assert_int_equal(box.box.start_ms, 0);
    assert_null(read_with("\"start_timeout\":3600"));
    assert_int_equal(box.box.start_ms, 3600000);
    assert_null(read_with("\"keep_alive\":false,\"ephemeral\":null,\"expires_at\":9007199254740992"));
    assert_false(box.box.keep_alive || box.box.ephemeral);
    const char *bad[] = {"\"start_timeout\":0",
                         "\"start_timeout\":3601",
                         "\"start_timeout\":\"90s\"",
                         "\"start_timeout\":-18446744073709551615",
                         "\"keep_alive\":1",
                         "\"ephemeral\":\"true\"",
                         "\"expires_at\":-1",
                         "\"expires_at\":1.5",
                         "\"expires_at\":\"1\"",
                         "\"expires_at\":9007199254740993",
                         "\"expires_at\":99999999999999999999"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_non_null(read_with(bad[i]));
}

static void test_incarnations(void **state)
{
    (void)state;
    char fields[256], text[CONTROL_INCARNATION_MAX + 2];
    assert_null(read_with("\"incarnation\":null"));
    assert_string_equal(box.incarnation, "");
    for (size_t n = CONTROL_INCARNATION_MAX; n <= CONTROL_INCARNATION_MAX + 1; n++) {
        memset(text, 'i', n);
        text[n] = '\0';
        snprintf(fields, sizeof(fields), "\"incarnation\":\"%s\"", text);
        assert_true((read_with(fields) == NULL) == (n == CONTROL_INCARNATION_MAX));
        if (n == CONTROL_INCARNATION_MAX)
            assert_string_equal(box.incarnation, text);
    }
    assert_non_null(read_with("\"incarnation\":\"\""));
    assert_non_null(read_with("\"incarnation\":7"));
    assert_non_null(read_with("\"incarnation\":\"a\\u0000b\""));
}

static void test_json(void **state)
{
    (void)state;
    const char *bad[] = {"",
                         "{",
                         "[]",
                         "null",
                         "\"abc\"",
                         "1",
                         "<html>",
                         "{\"id\":\"abc\",\"state\":\"running\"} x",
                         "{\"id\":\"abc\",\"id\":\"abc\",\"state\":\"running\"}",
                         "{\"id\":\"abc\",\"state\":\"running\",\"a\":\"\xff\"}"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_non_null(read_box(bad[i]));
    assert_non_null(control_box_read(str_make(NULL, 0), STR("abc"), &box));
    assert_null(read_with("\"what\":{\"is\":[\"not\",\"known\"]}"));
    /* An error discards all fields read before it. */
    assert_non_null(read_with("\"address\":\"10.1.2.3\",\"port\":80,\"ports\":[0]"));
    assert_int_equal(box.box.fixed_port, 0);
    assert_string_equal(box.box.id, "");
}

static void test_size(void **state)
{
    (void)state;
    for (size_t n = CONTROL_BOX_BYTES_MAX; n <= CONTROL_BOX_BYTES_MAX + 1; n++) {
        char *json = malloc(n);
        memset(json, ' ', n);
        memcpy(json, "{\"id\":\"abc\",\"state\":\"paused\"}", 29);
        assert_true((control_box_read(str_make(json, n), STR("abc"), &box) == NULL) ==
                    (n == CONTROL_BOX_BYTES_MAX));
        memset(json, '[', n); /* deep */
        assert_non_null(control_box_read(str_make(json, CONTROL_BOX_BYTES_MAX), STR("abc"), &box));
        free(json);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_states),
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_ports),
        cmocka_unit_test(test_flags_and_times),
        cmocka_unit_test(test_incarnations),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
