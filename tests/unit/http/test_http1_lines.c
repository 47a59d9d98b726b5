/* The field lines of HTTP/1: every byte at every position of a name and of a value. The rules depend on the
 * refusals of the installed picohttpparser, so this also detects a changed library. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "arena.h"
#include "heads.h"
#include "http1_lines.h"

/* picohttpparser works on blocks of 8 or 16 bytes: longer than two of them. */
#define LONGEST 35

/* Cuts and checks; the number of good lines, or -1. The sanitizer sees reads of `data` beyond its end. */
static int lines_of(str_t data)
{
    char *bytes = NULL;
    arena_t pool;
    arena_init(&pool);
    http1_lines_t lines;
    size_t len = 0;
    int count = -1;
    if (http1_lines_cut(heads_copy(&bytes, data), 0, 100, &pool, &lines, &len) == HTTP1_LINES_OK) {
        field_t field;
        count = (int)lines.count;
        for (size_t i = 0; i < lines.count; i++)
            if (!http1_lines_field(&lines.at[i], &field))
                count = -1;
        assert_true(count == -1 || len == data.n);
    }
    free(bytes);
    arena_clear(&pool);
    return count;
}

static void test_every_byte_of_a_name(void **state)
{
    (void)state;
    static const char tchars[] =
        "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    for (size_t len = 1; len <= LONGEST; len++) {
        for (size_t place = 0; place < len; place++) {
            for (int c = 0; c < 256; c++) {
                char text[LONGEST + 8];
                memset(text, 'n', len);
                memcpy(text + len, ": v\r\n\r\n", 7);
                text[place] = (char)c;
                /* a colon only makes the name shorter; it must not be the first byte */
                bool good = (c != 0 && strchr(tchars, c) != NULL) || (c == ':' && place != 0);
                if (lines_of(str_make(text, len + 7)) != (good ? 1 : -1))
                    fail_msg("byte 0x%02x at %zu of a name of %zu", (unsigned)c, place, len);
            }
        }
    }
}

static void test_every_byte_of_a_value(void **state)
{
    (void)state;
    for (size_t len = 1; len <= LONGEST; len++) {
        for (size_t place = 0; place < len; place++) {
            for (int c = 0; c < 256; c++) {
                char text[LONGEST + 16] = "n: ";
                memset(text + 3, 'v', len);
                memcpy(text + 3 + len, "\r\n\r\n", 4);
                text[3 + place] = (char)c;
                bool good = c == '\t' || (c >= 0x20 && c != 0x7f);
                if (lines_of(str_make(text, len + 7)) != (good ? 1 : -1))
                    fail_msg("byte 0x%02x at %zu of a value of %zu", (unsigned)c, place, len);
            }
        }
    }
}

static void test_lines(void **state)
{
    (void)state;
    static const struct {
        str_t text;
        int count;
    } cases[] = {
        {STR("\r\n"), 0},
        {STR("a:b\r\n\r\n"), 1},
        {STR("a:\r\n\r\n"), 1},
        {STR("a: \t\r\nb:c\r\n\r\n"), 2},
        {STR("a:b:c\r\n\r\n"), 1},
        {STR("\n"), -1},
        {STR("a:b\n\r\n"), -1},
        {STR("a:b\r\n\n"), -1},
        {STR("a:\n\r\n"), -1},
        {STR("a: \t\n\r\n"), -1},
        {STR("a:b\r\n c\r\n\r\n"), -1},
        {STR(" a:b\r\n\r\n"), -1},
        {STR("a :b\r\n\r\n"), -1},
        {STR("a\r\n\r\n"), -1},
        {STR(":\r\n\r\n"), -1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (lines_of(cases[i].text) != cases[i].count)
            fail_msg("not %d lines: %.*s", cases[i].count, STR_ARG(cases[i].text));
}

static void test_white_space_is_cut(void **state)
{
    (void)state;
    arena_t pool;
    arena_init(&pool);
    http1_lines_t lines;
    size_t len = 0;
    field_t field;
    str_t text = STR("hOsT: \t a b \t \r\n\r\n");
    assert_int_equal(http1_lines_cut(text, 0, 1, &pool, &lines, &len), HTTP1_LINES_OK);
    assert_true(http1_lines_field(&lines.at[0], &field));
    assert_true(str_eq(field.name, STR("hOsT")));
    assert_true(str_eq(field.value, STR("a b")));
    assert_int_equal(field.id, FIELD_HOST);
    arena_clear(&pool);
}

/* The answer does not depend on earlier calls. */
static void test_seen_before(void **state)
{
    (void)state;
    static const str_t texts[] = {
        {"\r\n", 2}, {"\r\nnext: request\r\n\r\n", 19}, {"a:b\r\n\r\n", 7}, {"a:b\r\nc:d\r\n\r\n", 12}};
    arena_t pool;
    arena_init(&pool);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        http1_lines_t lines;
        size_t whole = 0, len = 0;
        assert_int_equal(http1_lines_cut(texts[i], 0, 9, &pool, &lines, &whole), HTTP1_LINES_OK);
        for (size_t seen = 0; seen < whole; seen++) {
            assert_int_equal(http1_lines_cut(str_make(texts[i].p, seen), 0, 9, &pool, &lines, &len),
                             HTTP1_LINES_INCOMPLETE);
            assert_int_equal(http1_lines_cut(texts[i], seen, 9, &pool, &lines, &len), HTTP1_LINES_OK);
            assert_int_equal(len, whole);
        }
    }
    arena_clear(&pool);
}

static void test_too_many(void **state)
{
    (void)state;
    arena_t pool;
    arena_init(&pool);
    http1_lines_t lines;
    size_t len = 0;
    for (uint32_t count = 1; count <= 2 * HTTP1_LINES_FEW + 1; count++) {
        text_t text = {NULL, 0, 0};
        for (uint32_t i = 0; i < count; i++)
            text_add(&text, STR("a:b\r\n"));
        text_add(&text, STR("\r\n"));
        str_t section = str_make(text.p, text.n);
        assert_int_equal(http1_lines_cut(section, 0, count, &pool, &lines, &len), HTTP1_LINES_OK);
        assert_int_equal(lines.count, count);
        if (count > 1)
            assert_int_equal(http1_lines_cut(section, 0, count - 1, &pool, &lines, &len),
                             HTTP1_LINES_TOO_MANY);
        free(text.p);
    }
    arena_clear(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_byte_of_a_name),
        cmocka_unit_test(test_every_byte_of_a_value),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_white_space_is_cut),
        cmocka_unit_test(test_seen_before),
        cmocka_unit_test(test_too_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
