/* Scalars as values, at their bounds. */
#include "conf_value.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "box_id.h"

static void expect_duration(const char *text, uint64_t wanted)
{
    uint64_t ms = 0;
    const char *why = conf_value_duration(str_from(text), &ms);
    if (why != NULL || ms != wanted)
        fail_msg("%s: %s, %llu", text, why != NULL ? why : "read", (unsigned long long)ms);
}

static void expect_size(const char *text, uint64_t wanted)
{
    uint64_t bytes = 0;
    const char *why = conf_value_size(str_from(text), &bytes);
    if (why != NULL || bytes != wanted)
        fail_msg("%s: %s, %llu", text, why != NULL ? why : "read", (unsigned long long)bytes);
}

static void expect_no(const char *why, const char *wanted)
{
    assert_non_null(why);
    assert_string_equal(why, wanted);
}

static void durations(void **state)
{
    (void)state;
    expect_duration("500ms", 500);
    expect_duration("10s", 10000);
    expect_duration("2m", 120000);
    expect_duration("1h", 3600000);
    expect_duration("1d", 86400000);
    expect_duration("10 s", 10000);
    expect_duration("0", 0);
    expect_duration("0s", 0);
    expect_duration("18446744073709551615ms", UINT64_MAX);
    expect_duration("18446744073709551s", 18446744073709551000u);
    uint64_t ms;
    expect_no(conf_value_duration(STR("18446744073709552s"), &ms), "is too large");
    expect_no(conf_value_duration(STR("18446744073709551616ms"), &ms), "is too large");
    expect_no(conf_value_duration(STR("10"), &ms), "has no unit");
    expect_no(conf_value_duration(STR("10S"), &ms), "has an unknown unit");
    expect_no(conf_value_duration(STR("1m30s"), &ms), "has an unknown unit");
    expect_no(conf_value_duration(STR("1.5s"), &ms),
              "has a fraction (write a whole number of a smaller unit)");
    expect_no(conf_value_duration(STR(""), &ms), "does not begin with a whole number");
    expect_no(conf_value_duration(STR("-1s"), &ms), "does not begin with a whole number");
    expect_no(conf_value_duration(STR("s"), &ms), "does not begin with a whole number");
}

static void sizes(void **state)
{
    (void)state;
    expect_size("0", 0);
    expect_size("1", 1);
    expect_size("64KiB", 65536);
    expect_size("32MiB", 33554432);
    expect_size("16GiB", UINT64_C(17179869184));
    expect_size("1TiB", UINT64_C(1099511627776));
    expect_size("18446744073709551615", UINT64_MAX);
    expect_size("16777215TiB", UINT64_C(16777215) << 40);
    uint64_t bytes;
    expect_no(conf_value_size(STR("16777216TiB"), &bytes), "is too large");
    expect_no(conf_value_size(STR("64KB"), &bytes), "has an unknown unit");
    expect_no(conf_value_size(STR("64K"), &bytes), "has an unknown unit");
    expect_no(conf_value_size(STR("64kib"), &bytes), "has an unknown unit");
}

static void prints_what_it_reads(void **state)
{
    (void)state;
    static const uint64_t values[] = {0,
                                      1,
                                      999,
                                      1000,
                                      1001,
                                      1024,
                                      1025,
                                      59999,
                                      60000,
                                      86400000,
                                      90000000,
                                      1048576,
                                      UINT64_C(1) << 40,
                                      UINT64_MAX};
    char text[32];
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        conf_value_print_duration(values[i], text);
        expect_duration(text, values[i]);
        conf_value_print_size(values[i], text);
        expect_size(text, values[i]);
    }
    conf_value_print_duration(900000, text);
    assert_string_equal(text, "15m");
    conf_value_print_duration(1500, text);
    assert_string_equal(text, "1500ms");
    conf_value_print_size(32768, text);
    assert_string_equal(text, "32KiB");
    conf_value_print_size(1025, text);
    assert_string_equal(text, "1025");
}

static void booleans(void **state)
{
    (void)state;
    bool yes = false;
    assert_null(conf_value_bool(STR("true"), &yes));
    assert_true(yes);
    assert_null(conf_value_bool(STR("false"), &yes));
    assert_false(yes);
    static const char *const wrong[] = {"", "yes", "on", "1", "True", "TRUE", "truely"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        expect_no(conf_value_bool(str_from(wrong[i]), &yes), "is not true or false");
}

static void fractions(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t millionths;
    } right[] = {{"0", 0},        {"1", 1000000},  {"0.0", 0},           {"1.0", 1000000},
                 {"0.01", 10000}, {"0.000001", 1}, {"0.999999", 999999}, {"1.000000", 1000000},
                 {"0.5", 500000}};
    static const char *const wrong[] = {"",          ".5",  "0.",    "2",   "1.000001",
                                        "0.0000001", "-0",  "00",    "0,5", "0.5x",
                                        "1e-2",      "50%", "0.5.5", "01",  "1.0000000"};
    uint32_t value = 7;
    for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
        assert_null(conf_value_fraction(str_from(right[i].text), &value));
        assert_int_equal(value, right[i].millionths);
    }
    value = 7;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_non_null(conf_value_fraction(str_from(wrong[i]), &value));
    assert_int_equal(value, 7);
}

static void expect_domain(const char *text, const char *wanted)
{
    char lower[CONF_DOMAIN_MAX + 1];
    const char *why = conf_value_domain(str_from(text), lower);
    if (why != NULL)
        fail_msg("%s: %s", text, why);
    assert_string_equal(lower, wanted);
}

static void domains(void **state)
{
    (void)state;
    expect_domain("preview.box.example.com", "preview.box.example.com");
    expect_domain("Preview.BOX.example.com.", "preview.box.example.com");
    expect_domain("localhost", "localhost");
    expect_domain("xn--bcher-kva.example", "xn--bcher-kva.example");
    expect_domain("1.2.3.example", "1.2.3.example");
    expect_domain("a--b.c0", "a--b.c0");
    char lower[CONF_DOMAIN_MAX + 1];
    expect_no(conf_value_domain(STR(""), lower), "is empty");
    expect_no(conf_value_domain(STR("."), lower), "is empty");
    const char *label = "has a label that is not 1 to 63 characters long";
    expect_no(conf_value_domain(STR("a..b"), lower), label);
    expect_no(conf_value_domain(STR(".a"), lower), label);
    expect_no(conf_value_domain(STR("a.."), lower), label);
    expect_no(conf_value_domain(STR("-a.b"), lower), "has a label that begins with a dash");
    expect_no(conf_value_domain(STR("a-.b"), lower), "has a label that ends with a dash");
    expect_no(conf_value_domain(STR("a.b-"), lower), "has a label that ends with a dash");
    expect_no(conf_value_domain(STR("192.0.2.1"), lower), "ends with a number, as an address does");
    const char *character =
        "has a character that is not allowed in host names (write other alphabets as xn--)";
    static const char *const wrong[] = {"a_b.c",
                                        "*.a.b",
                                        "a b",
                                        "a/b",
                                        "b\xc3\xbc"
                                        "cher.example",
                                        "a:1"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        expect_no(conf_value_domain(str_from(wrong[i]), lower), character);
}

static void domain_lengths(void **state)
{
    (void)state;
    char lower[CONF_DOMAIN_MAX + 1];
    char name[CONF_DOMAIN_MAX + 2];
    memset(name, 'a', sizeof(name));
    name[63] = '.';
    assert_null(conf_value_domain(str_make(name, 65), lower)); /* a label of 63 */
    name[63] = 'a';
    expect_no(conf_value_domain(str_make(name, 64), lower),
              "has a label that is not 1 to 63 characters long");
    for (size_t i = 60; i < CONF_DOMAIN_MAX - 1; i += 61)
        name[i] = '.';
    assert_null(conf_value_domain(str_make(name, CONF_DOMAIN_MAX), lower));
    assert_int_equal(strlen(lower), 189);
    name[CONF_DOMAIN_MAX] = '.'; /* the dot at the end does not count */
    assert_null(conf_value_domain(str_make(name, CONF_DOMAIN_MAX + 1), lower));
    name[CONF_DOMAIN_MAX] = 'a';
    expect_no(conf_value_domain(str_make(name, CONF_DOMAIN_MAX + 1), lower),
              "is too long: a label of 63 characters before it must fit into the 253 of a host name");
}

static void nodes(void **state)
{
    (void)state;
    char name[CONF_NODE_MAX + 1];
    memset(name, 'x', sizeof(name));
    assert_null(conf_value_node(str_make(name, CONF_NODE_MAX)));
    expect_no(conf_value_node(str_make(name, CONF_NODE_MAX + 1)), "is too long");
    assert_null(conf_value_node(STR("Edge-1.eu_west")));
    expect_no(conf_value_node(STR("")), "is empty");
    const char *character = "has a character other than letters, digits, \"-\", \".\" and \"_\"";
    expect_no(conf_value_node(STR("a b")), character);
    expect_no(conf_value_node(STR("a;b")), character);
    expect_no(conf_value_node(STR("a,b")), character);
    expect_no(conf_value_node(str_make("a\0b", 3)), character);
}

static void box_ids(void **state)
{
    (void)state;
    char id[BOX_ID_MAX + 1];
    memset(id, 'a', sizeof(id));
    assert_true(box_id_valid(str_make(id, BOX_ID_MAX)));
    assert_false(box_id_valid(str_make(id, BOX_ID_MAX + 1)));
    static const char *const right[] = {"a", "0", "sweet-shark-26021", "box_abc123", "a--b", "a_-_b", "9z"};
    for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++)
        assert_true(box_id_valid(str_from(right[i])));
    static const char *const wrong[] = {"",   "-", "_",  "-a",  "a-",  "_a",
                                        "a_", "A", "aB", "a.b", "a b", "\xc3\xbc"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_false(box_id_valid(str_from(wrong[i])));
    assert_false(box_id_valid(str_make("a\0b", 3)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations),      cmocka_unit_test(sizes),     cmocka_unit_test(prints_what_it_reads),
        cmocka_unit_test(booleans),       cmocka_unit_test(fractions), cmocka_unit_test(domains),
        cmocka_unit_test(domain_lengths), cmocka_unit_test(nodes),     cmocka_unit_test(box_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
