/* conf_log.h: the destinations and the fields of the access log. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "conf_fixture.h"
#include "conf_log.h"

static void kinds(void **state)
{
    (void)state;
    assert_int_equal(conf_log_kind(STR("off")), CONF_LOG_OFF);
    assert_int_equal(conf_log_kind(STR("stdout")), CONF_LOG_STDOUT);
    assert_int_equal(conf_log_kind(STR("journald")), CONF_LOG_JOURNALD);
    assert_int_equal(conf_log_kind(STR("/journald")), CONF_LOG_FILE);
    assert_int_equal(conf_log_kind(STR("syslog:")), CONF_LOG_FILE);
    assert_int_equal(conf_log_kind(STR("syslog://h")), CONF_LOG_SYSLOG);
    conf_t *conf = fixture_good(BASE "log: {access: \"syslog://[::1]:99\"}\n");
    assert_string_equal(conf->access_log, "syslog://[::1]:99");
    assert_int_equal(conf->log_flush_ms, 200);
    conf_release(&conf);
    static const char *const no_paths[] = {"journal", "syslog", "syslog:/h", "udp://h.example", "a:b.log"};
    for (size_t i = 0; i < sizeof(no_paths) / sizeof(no_paths[0]); i++)
        assert_non_null(conf_log_refusal(str_from(no_paths[i])));
    static const char *const paths[] = {"./journal", "/journald", "access.log", "logs/a:b", ""};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        assert_null(conf_log_refusal(str_from(paths[i])));
}

static void servers(void **state)
{
    (void)state;
    static const struct {
        const char *text, *host;
        uint16_t port;
    } good[] = {
        {"syslog://10.0.0.9", "10.0.0.9", 514},         {"syslog://10.0.0.9:1", "10.0.0.9", 1},
        {"syslog://[fd00::1]", "fd00::1", 514},         {"syslog://[fd00::1]:65535", "fd00::1", 65535},
        {"syslog://Logs.example", "logs.example", 514}, {"syslog://l.example:5140", "l.example", 5140}};
    static const char *const bad[] = {
        "syslog://",      "syslog://:514", "syslog://h:",        "syslog://h:0",      "syslog://h:65536",
        "syslog://h:x",   "syslog://h/x",  "syslog://fd00::1",   "syslog://[fd00::1", "syslog://[fd00::1]x",
        "syslog://[h]:1", "syslog://u@h",  "syslog://10.0.0.9.1"};
    char host[CONF_LOG_HOST_MAX + 1];
    uint16_t port;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_null(conf_log_server(str_from(good[i].text), host, &port));
        assert_string_equal(host, good[i].host);
        assert_int_equal(port, good[i].port);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (conf_log_server(str_from(bad[i]), host, &port) == NULL ||
            conf_log_refusal(str_from(bad[i])) == NULL)
            fail_msg("%s", bad[i]);
}

static void fields(void **state)
{
    (void)state;
    conf_t *conf = fixture_good(BASE);
    assert_int_equal(conf_log_fields(conf), ACCESS_FIELDS_ALL);
    conf_release(&conf);
    conf = fixture_good(BASE "log: {fields: [status, time]}\n");
    assert_int_equal(conf_log_fields(conf),
                     ACCESS_FIELD_BIT(ACCESS_FIELD_TIME) | ACCESS_FIELD_BIT(ACCESS_FIELD_STATUS));
    conf_release(&conf);
    char list[1024];
    conf_log_print_fields(list, sizeof(list));
    for (unsigned i = 0; i < ACCESS_FIELD_COUNT; i++) {
        char name[32];
        str_t text = access_field_name((access_field_t)i);
        snprintf(name, sizeof(name), "`%.*s`", STR_ARG(text));
        assert_non_null(strstr(list, name));
        assert_int_equal(access_field_find(text, ACCESS_FIELD_HOST), i);
    }
    char expected[1400];
    snprintf(
        expected, sizeof(expected),
        "e.yaml:3:22: log.fields[1]: \"stauts\" is not a field of the access log; allowed: a list of %s\n",
        list);
    fixture_bad(BASE "log: {fields: [time, stauts]}\n", expected);
    snprintf(expected, sizeof(expected),
             "e.yaml:3:22: log.fields[1]: \"time\" is given twice; allowed: a list of %s\n", list);
    fixture_bad(BASE "log: {fields: [time, time]}\n", expected);
    snprintf(expected, sizeof(expected), "e.yaml:3:15: log.fields: has 0 elements; allowed: a list of %s\n",
             list);
    fixture_bad(BASE "log: {fields: []}\n", expected);
    fixture_bad(BASE "log: {flush: 0ms}\n",
                "e.yaml:3:14: log.flush: \"0ms\" is too small; allowed: a duration from 1ms "
                "to 10s, such as 200ms\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(kinds), cmocka_unit_test(servers),
                                       cmocka_unit_test(fields)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
