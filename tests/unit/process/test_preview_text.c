/* Labels and allowed origins, at their bounds. */
#include "preview_text.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static bool label(const char *text)
{
    return preview_label_valid(str_from(text));
}

static void labels(void **state)
{
    (void)state;
    assert_true(label(""));
    assert_true(label("my app, v2 <beta> \"x\" & ~"));
    assert_true(label("\xc3\xbc\xe2\x82\xac\xf0\x9f\x90\xa6")); /* ü, €, a bird */
    assert_true(label("\xc2\xa0"));                             /* U+00A0, the first after the controls */
    assert_false(label("\n"));
    assert_false(label("a\tb"));
    assert_false(label("\x1b[2J"));
    assert_false(label("\x1f"));
    assert_false(label("\x7f"));
    assert_false(label("\xc2\x80")); /* C1 */
    assert_false(label("\xc2\x9f"));
    assert_false(label("\xe2\x80\xa8")); /* U+2028 */
    assert_false(label("\xe2\x80\xae")); /* U+202E, right-to-left override */
    assert_true(label("\xe2\x80\xaf"));  /* U+202F, a narrow space */
    assert_false(label("\xe2\x81\xa6")); /* U+2066 */
    assert_false(label("\xef\xbb\xbf"));
    assert_false(label("\xff"));
    assert_false(label("\xc3"));
    assert_false(label("\xed\xa0\x80")); /* a surrogate */
    assert_false(preview_label_valid(str_make("a\0b", 3)));
}

static void label_lengths(void **state)
{
    (void)state;
    char text[STORE_LABEL_MAX + 2];
    memset(text, 'x', sizeof(text));
    assert_true(preview_label_valid(str_make(text, STORE_LABEL_MAX)));
    assert_false(preview_label_valid(str_make(text, STORE_LABEL_MAX + 1)));
}

static void expect(const char *text, const char *list_after)
{
    char list[STORE_ORIGINS_MAX + 1] = "";
    if (!preview_origins_add(list, str_from(text)))
        fail_msg("%s is refused", text);
    assert_string_equal(list, list_after);
}

static void refused(const char *text)
{
    char list[STORE_ORIGINS_MAX + 1] = "http://a";
    if (preview_origins_add(list, str_from(text)))
        fail_msg("%s is taken: %s", text, list);
    assert_string_equal(list, "http://a");
}

static void origins(void **state)
{
    (void)state;
    expect("https://app.example", "https://app.example");
    expect("HTTPS://App.Example:8443", "https://app.example:8443");
    expect("https://app.example:443", "https://app.example");
    expect("https://app.example:80", "https://app.example:80");
    expect("http://app.example:80", "http://app.example");
    expect("http://app.example:443", "http://app.example:443");
    expect("http://localhost:1", "http://localhost:1");
    expect("http://localhost:65535", "http://localhost:65535");
    expect("https://a_b-c.x1", "https://a_b-c.x1");
    expect("https://192.0.2.1", "https://192.0.2.1");
    expect("https://[2001:DB8::1]", "https://[2001:db8::1]");
    expect("https://[2001:db8::1]:443", "https://[2001:db8::1]");
    expect("https://[::1]:8443", "https://[::1]:8443");
}

static void refused_origins(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "*",
        "null",
        "app.example",
        "//app.example",
        "ftp://app.example",
        "https://",
        "http://",
        "https://app.example/",
        "https://app.example/path",
        "https://user@app.example",
        "https://app.example?x",
        "https://app.example#x",
        "https://app example",
        "https://a https://b",
        "https://a;script-src",
        "https://a,b",
        "https://a'",
        "https://*.example",
        "https://.a",
        "https://a.",
        "https://a..b",
        "https://a:",
        "https://a:0",
        "https://a:0443",
        "https://a:65536",
        "https://a:x",
        "https://a:1:2",
        "https://:443",
        "https://::1",
        "https://[::1",
        "https://::1]",
        "https://[]",
        "https://[::1]x",
        "https://[::1]:",
        "https://[0:0:0:0:0:0:0:1]",
        "https://[127.0.0.1]",
        "https://\xc3\xbc.example",
        "https://a\x7f",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        refused(texts[i]);
    char list[STORE_ORIGINS_MAX + 1] = "";
    assert_false(preview_origins_add(list, str_make("https://a\0b", 11)));
}

static void lists(void **state)
{
    (void)state;
    char list[STORE_ORIGINS_MAX + 1] = "";
    assert_true(preview_origins_add(list, STR("https://a")));
    assert_true(preview_origins_add(list, STR("http://b:3000")));
    assert_true(preview_origins_add(list, STR("https://A:443"))); /* already there */
    assert_true(preview_origins_add(list, STR("https://aa")));
    assert_string_equal(list, "https://a http://b:3000 https://aa");
}

static void list_lengths(void **state)
{
    (void)state;
    char list[STORE_ORIGINS_MAX + 1] = "", text[STORE_ORIGINS_MAX + 2];
    memset(text, 'x', sizeof(text));
    memcpy(text, "http://", 7);
    assert_false(preview_origins_add(list, str_make(text, STORE_ORIGINS_MAX + 1)));
    assert_string_equal(list, "");
    assert_true(preview_origins_add(list, str_make(text, STORE_ORIGINS_MAX)));
    assert_int_equal(strlen(list), STORE_ORIGINS_MAX);
    assert_false(preview_origins_add(list, STR("http://a")));
    /* With their separators, two fit exactly. */
    list[0] = '\0';
    assert_true(preview_origins_add(list, str_make(text, STORE_ORIGINS_MAX - 9)));
    assert_false(preview_origins_add(list, STR("http://ab")));
    assert_true(preview_origins_add(list, STR("http://a")));
    assert_int_equal(strlen(list), STORE_ORIGINS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(labels),          cmocka_unit_test(label_lengths), cmocka_unit_test(origins),
        cmocka_unit_test(refused_origins), cmocka_unit_test(lists),         cmocka_unit_test(list_lengths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
