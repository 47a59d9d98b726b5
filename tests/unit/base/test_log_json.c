/* JSON written by hand: any input gives valid JSON of a bounded length. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <jansson.h>

#include "log_json.h"

static char out[512];

/* Escapes `s` into at most `max` bytes; returns the output, NUL-terminated. */
static const char *escaped(str_t s, size_t max)
{
    assert_true(max + LOG_JSON_CUT_BYTES < sizeof out);
    memset(out, '#', sizeof out);
    log_json_text_t text = {.at = out, .limit = out + max};
    log_json_text(&text, s);
    assert_true(text.at <= out + max + LOG_JSON_CUT_BYTES);
    *text.at = '\0';
    return out;
}

static void plain_text_stays(void **state)
{
    (void)state;
    assert_string_equal(escaped(STR("GET /a?b=c HTTP"), 100), "GET /a?b=c HTTP");
    assert_string_equal(escaped(STR("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80"), 100),
                        "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80");
    assert_string_equal(escaped(STR(""), 0), "");
}

static void special_characters_are_escaped(void **state)
{
    (void)state;
    assert_string_equal(escaped(STR("a\"b\\c\nd\re\tf"), 100), "a\\\"b\\\\c\\nd\\re\\tf");
    assert_string_equal(escaped(STR("\x01\x1f\x7f"), 100), "\\u0001\\u001f\\u007f");
    assert_string_equal(escaped(str_make("a\0b", 3), 100), "a\\u0000b");
    /* U+009B starts a control sequence in a terminal. */
    assert_string_equal(escaped(STR("\xc2\x9b"), 100), "\\u009b");
    assert_string_equal(escaped(STR("\xc2\xa0"), 100), "\xc2\xa0");
}

static void broken_utf8_is_replaced(void **state)
{
    (void)state;
    static const str_t broken[] = {
        {"\x80", 1},
        {"\xc2", 1},
        {"\xc0\xaf", 2},
        {"\xe2\x82", 2},
        {"\xe0\x9f\xbf", 3},
        {"\xed\xa0\x80", 3},
        {"\xf4\x90\x80\x80", 4},
        {"\xf0\x8f\xbf\xbf", 4},
        {"\xff", 1},
        {"\xf5\x80\x80\x80", 4},
    };
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        char want[64] = "";
        for (size_t k = 0; k < broken[i].n; k++)
            memcpy(want + 3 * k, "\xef\xbf\xbd", 4);
        assert_string_equal(escaped(broken[i], 100), want);
    }
    assert_string_equal(escaped(STR("a\xc3(b"), 100), "a\xef\xbf\xbd(b");
}

static void every_byte_pair_is_valid_json(void **state)
{
    (void)state;
    for (unsigned a = 0; a < 256; a++)
        for (unsigned b = 0; b < 256; b++) {
            char pair[2] = {(char)a, (char)b};
            const char *text = escaped(str_make(pair, 2), 100);
            char json[128];
            int n = snprintf(json, sizeof json, "\"%s\"", text);
            json_t *value = json_loadb(json, (size_t)n, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
            assert_non_null(value);
            json_decref(value);
        }
}

/* Plain text is taken eight bytes at a time: every special character is found at every position. */
static void every_character_at_every_place(void **state)
{
    (void)state;
    for (unsigned c = 0; c < 128; c++)
        for (size_t at = 0; at < 17; at++) {
            char text[17], json[160];
            memset(text, 'a', sizeof text);
            text[at] = (char)c;
            int n = snprintf(json, sizeof json, "\"%s\"", escaped(str_make(text, sizeof text), 100));
            json_t *value = json_loadb(json, (size_t)n, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
            assert_non_null(value);
            assert_int_equal(json_string_length(value), sizeof text);
            assert_memory_equal(json_string_value(value), text, sizeof text);
            json_decref(value);
        }
}

static void what_does_not_fit_is_cut_at_a_character(void **state)
{
    (void)state;
    assert_string_equal(escaped(STR("abcd"), 4), "abcd");
    assert_string_equal(escaped(STR("abcde"), 4), "abcd\xe2\x80\xa6");
    assert_string_equal(escaped(STR("abc\n"), 5), "abc\\n");
    assert_string_equal(escaped(STR("abc\n"), 4), "abc\xe2\x80\xa6");
    assert_string_equal(escaped(STR("ab\xe2\x82\xac"), 4), "ab\xe2\x80\xa6");
    assert_string_equal(escaped(STR("a\x01"), 6), "a\xe2\x80\xa6");
    assert_string_equal(escaped(STR("a"), 0), "\xe2\x80\xa6");
    /* After a cut no more text is added. */
    log_json_text_t text = {.at = out, .limit = out + 2};
    log_json_text(&text, STR("abc"));
    log_json_text(&text, STR("d"));
    *text.at = '\0';
    assert_string_equal(out, "ab\xe2\x80\xa6");
}

static void numbers(void **state)
{
    (void)state;
    *log_json_ms(out, 7) = '\0';
    assert_string_equal(out, "0.007");
    *log_json_ms(out, 1234560) = '\0';
    assert_string_equal(out, "1234.560");
    assert_true(log_json_ms(out, UINT64_MAX) - out <= LOG_JSON_MS_BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_text_stays),
        cmocka_unit_test(special_characters_are_escaped),
        cmocka_unit_test(broken_utf8_is_replaced),
        cmocka_unit_test(every_byte_pair_is_valid_json),
        cmocka_unit_test(every_character_at_every_place),
        cmocka_unit_test(what_does_not_fit_is_cut_at_a_character),
        cmocka_unit_test(numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
