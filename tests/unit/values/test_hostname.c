/* The host name of a preview (docs/design.md, "The host name"), at every bound. */
#include "hostname.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define DOMAIN STR("preview.box.example")

/* Parses a copy of exactly that size, so that the sanitizer sees a read beyond it. */
static hostname_result_t parse(str_t authority, hostname_t *out)
{
    char *copy = malloc(authority.n != 0 ? authority.n : 1);
    assert_non_null(copy);
    memcpy(copy, authority.p, authority.n);
    hostname_result_t result = hostname_parse(str_make(copy, authority.n), DOMAIN, out);
    free(copy);
    return result;
}

static void expect_preview(const char *authority, const char *id, uint16_t port)
{
    hostname_t name;
    memset(&name, 0xff, sizeof(name));
    assert_int_equal(parse(str_from(authority), &name), HOSTNAME_PREVIEW);
    assert_string_equal(name.id, id);
    assert_int_equal(name.id_len, strlen(id));
    assert_int_equal(name.port, port);
}

static void expect(hostname_result_t wanted, const char *authority)
{
    hostname_t name, untouched;
    memset(&name, 0xa5, sizeof(name));
    untouched = name;
    hostname_result_t got = parse(str_from(authority), &name);
    if (got != wanted)
        fail_msg("%s: %d instead of %d", authority, (int)got, (int)wanted);
    assert_memory_equal(&name, &untouched, sizeof(name));
}

/* "<count times c><rest>" */
static const char *repeated(char c, size_t count, const char *rest)
{
    static char text[512];
    assert_true(count + strlen(rest) < sizeof(text));
    memset(text, c, count);
    memcpy(text + count, rest, strlen(rest) + 1);
    return text;
}

static void test_plain_names(void **state)
{
    (void)state;
    expect_preview("sweet-shark-26021-3000.preview.box.example", "sweet-shark-26021", 3000);
    expect_preview("box_abc123-80.preview.box.example", "box_abc123", 80);
    expect_preview("a-1.preview.box.example", "a", 1);
    expect_preview("1-1.preview.box.example", "1", 1);
    /* The last dash splits, whatever the id contains. */
    expect_preview("a-80-443.preview.box.example", "a-80", 443);
    expect_preview("a--b-443.preview.box.example", "a--b", 443);
    expect_preview("a__-_b-443.preview.box.example", "a__-_b", 443);
}

static void test_case_dot_and_port_are_ignored(void **state)
{
    (void)state;
    expect_preview("Sweet-SHARK-3000.Preview.BOX.Example", "sweet-shark", 3000);
    expect_preview("a-80.preview.box.example.", "a", 80);
    expect_preview("a-80.preview.box.example:8443", "a", 80);
    expect_preview("a-80.preview.box.example.:8443", "a", 80);
    expect_preview("a-80.preview.box.example:0", "a", 80);
    expect_preview("a-80.preview.box.example:65535", "a", 80);
    expect_preview("a-80.preview.box.example:00443", "a", 80);
}

static void test_authority_port_must_be_a_number(void **state)
{
    (void)state;
    expect(HOSTNAME_MALFORMED, "a-80.preview.box.example:");
    expect(HOSTNAME_MALFORMED, "a-80.preview.box.example:https");
    expect(HOSTNAME_MALFORMED, "a-80.preview.box.example:65536");
    expect(HOSTNAME_MALFORMED, "a-80.preview.box.example:99999999999999999999999");
    expect(HOSTNAME_MALFORMED, "a-80.preview.box.example:-1");
    expect(HOSTNAME_MALFORMED, "a-80.preview.box.example:+1");
    expect(HOSTNAME_MALFORMED, "a-80.preview.box.example: 80");
    expect(HOSTNAME_MALFORMED, "a-80.preview.box.example:80:80");
    expect(HOSTNAME_MALFORMED, "a-80.preview.box.example:80@other.example");
    expect(HOSTNAME_MALFORMED, "a-80.preview.box.example:80.");
    expect(HOSTNAME_FOREIGN, "other.example:x");
}

static void test_label_port(void **state)
{
    (void)state;
    expect_preview("a-65535.preview.box.example", "a", 65535);
    expect(HOSTNAME_MALFORMED, "a-65536.preview.box.example");
    expect(HOSTNAME_MALFORMED, "a-0.preview.box.example");
    expect(HOSTNAME_MALFORMED, "a-01.preview.box.example");
    expect(HOSTNAME_MALFORMED, "a-080.preview.box.example");
    expect(HOSTNAME_MALFORMED, "a-100000.preview.box.example");
    expect(HOSTNAME_MALFORMED, "a-4294967376.preview.box.example");           /* 2^32 + 80 */
    expect(HOSTNAME_MALFORMED, "a-18446744073709551696.preview.box.example"); /* 2^64 + 80 */
    expect(HOSTNAME_MALFORMED, "a-.preview.box.example");
    expect(HOSTNAME_MALFORMED, "a-8o.preview.box.example");
    expect(HOSTNAME_MALFORMED, "a-80a.preview.box.example");
    expect(HOSTNAME_MALFORMED, "a-+80.preview.box.example");
    expect(HOSTNAME_MALFORMED, "a.preview.box.example");
    expect(HOSTNAME_MALFORMED, "80.preview.box.example");
}

static void test_id(void **state)
{
    (void)state;
    expect(HOSTNAME_MALFORMED, "-80.preview.box.example");
    expect(HOSTNAME_MALFORMED, "--80.preview.box.example");
    expect(HOSTNAME_MALFORMED, "-a-80.preview.box.example");
    expect(HOSTNAME_MALFORMED, "a--80.preview.box.example");
    expect(HOSTNAME_MALFORMED, "_a-80.preview.box.example");
    expect(HOSTNAME_MALFORMED, "a_-80.preview.box.example");
    expect(HOSTNAME_MALFORMED, "a.b-80.preview.box.example");
    expect(HOSTNAME_MALFORMED, "a%62-80.preview.box.example");
    expect(HOSTNAME_MALFORMED, "a b-80.preview.box.example");
    expect(HOSTNAME_MALFORMED, "user@a-80.preview.box.example");
    expect(HOSTNAME_MALFORMED, "a\xc3\xa9z-80.preview.box.example");
    hostname_t name;
    assert_int_equal(parse(STR("a\0b-80.preview.box.example"), &name), HOSTNAME_MALFORMED);
}

static void test_lengths(void **state)
{
    (void)state;
    hostname_t name;
    /* 57 + "-" + 5 = 63 */
    assert_int_equal(parse(str_from(repeated('a', 57, "-65535.preview.box.example")), &name),
                     HOSTNAME_PREVIEW);
    assert_int_equal(name.id_len, 57);
    assert_int_equal(strlen(name.id), 57);
    expect(HOSTNAME_MALFORMED, repeated('a', 58, "-65535.preview.box.example")); /* label of 64 */
    expect(HOSTNAME_MALFORMED, repeated('a', 58, "-8080.preview.box.example"));  /* label of 63, id of 58 */
    expect(HOSTNAME_MALFORMED, repeated('a', 61, "-8.preview.box.example"));
    expect(HOSTNAME_MALFORMED, repeated('a', 400, "-8.preview.box.example"));
    expect(HOSTNAME_MALFORMED, repeated('-', 300, "8.preview.box.example"));
}

static void test_domain(void **state)
{
    (void)state;
    expect(HOSTNAME_MALFORMED, "preview.box.example");
    expect(HOSTNAME_MALFORMED, "PREVIEW.box.example.:443");
    expect(HOSTNAME_MALFORMED, ".preview.box.example");
    expect(HOSTNAME_MALFORMED, "..preview.box.example");
    expect(HOSTNAME_MALFORMED, "a-80..preview.box.example");
    expect(HOSTNAME_FOREIGN, "");
    expect(HOSTNAME_FOREIGN, ".");
    expect(HOSTNAME_FOREIGN, ":");
    expect(HOSTNAME_FOREIGN, ":80");
    expect(HOSTNAME_FOREIGN, "box.example");
    expect(HOSTNAME_FOREIGN, "a-80.box.example");
    expect(HOSTNAME_FOREIGN, "a-80.xpreview.box.example");
    expect(HOSTNAME_FOREIGN, "a-80preview.box.example");
    expect(HOSTNAME_FOREIGN, "a-80.preview.box.example..");
    expect(HOSTNAME_FOREIGN, "a-80.preview.box.example.org");
    expect(HOSTNAME_FOREIGN, "a-80.preview.box.exampl");
    expect(HOSTNAME_FOREIGN, "a-80.preview-box.example");
    expect(HOSTNAME_FOREIGN, "127.0.0.1");
    expect(HOSTNAME_FOREIGN, "127.0.0.1:443");
    expect(HOSTNAME_FOREIGN, "[::1]");
    expect(HOSTNAME_FOREIGN, "[::1]:443");
    expect(HOSTNAME_FOREIGN, "[");
    expect(HOSTNAME_FOREIGN, "[a-80.preview.box.example]");
}

static void test_box_id_valid(void **state)
{
    (void)state;
    assert_true(box_id_valid(STR("a")));
    assert_true(box_id_valid(STR("9")));
    assert_true(box_id_valid(STR("a-b_c9")));
    assert_true(box_id_valid(str_from(repeated('a', BOX_ID_MAX, ""))));
    assert_false(box_id_valid(str_from(repeated('a', BOX_ID_MAX + 1, ""))));
    static const char *const bad[] = {"", "-", "_", "-a", "a-", "_a", "a_", "A", "aB", "a.b", "a b", "a/b"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(box_id_valid(str_from(bad[i])));
    assert_false(box_id_valid((str_t){NULL, 0}));
    /* One beside each range of characters. */
    for (const char *c = "`{/:^,"; *c != '\0'; c++) {
        char id[3] = {'a', *c, 'a'};
        assert_false(box_id_valid(str_make(id, 3)));
    }
}

static void test_preview_label_fits(void **state)
{
    (void)state;
    str_t id = str_from(repeated('a', 61, ""));
    assert_true(preview_label_fits(id, 9));
    assert_false(preview_label_fits(id, 10));
    id.n = 60;
    assert_true(preview_label_fits(id, 99));
    assert_false(preview_label_fits(id, 100));
    id.n = 57;
    assert_true(preview_label_fits(id, 65535));
    id.n = 58;
    assert_true(preview_label_fits(id, 9999));
    assert_false(preview_label_fits(id, 10000));
    assert_false(preview_label_fits(str_make(id.p, SIZE_MAX), 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_names),
        cmocka_unit_test(test_case_dot_and_port_are_ignored),
        cmocka_unit_test(test_authority_port_must_be_a_number),
        cmocka_unit_test(test_label_port),
        cmocka_unit_test(test_id),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_domain),
        cmocka_unit_test(test_box_id_valid),
        cmocka_unit_test(test_preview_label_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
