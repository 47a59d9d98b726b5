/* scrub.h: known values, forms of credentials, quotes; and tar.h at the bounds of its blocks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scrub.h"
#include "tar.h"

static void assert_scrubs(const scrub_t *scrub, const char *text, const char *wanted)
{
    char *out = scrub_text(scrub, text);
    assert_string_equal(out, wanted);
    free(out);
}

static void known_values_go(void **state)
{
    (void)state;
    scrub_t scrub = {.count = 0};
    scrub_add(&scrub, STR("open"));
    scrub_add(&scrub, STR("open sesame"));
    scrub_add(&scrub, STR("two\nlines"));
    scrub_add(&scrub, STR("12345678"));
    assert_scrubs(&scrub, "say open sesame, open", "say (removed), (removed)");
    assert_scrubs(&scrub, "two lines", "two (removed)");
    assert_scrubs(&scrub, "id=12345678;", "id=(removed);");
    scrub_fini(&scrub);
    assert_scrubs(&scrub, "open", "open");
}

/* They would make the rest unreadable. */
static void short_values_stay(void **state)
{
    (void)state;
    scrub_t scrub = {.count = 0};
    scrub_add(&scrub, STR("-l"));
    scrub_add(&scrub, STR("3000"));
    scrub_add(&scrub, STR("1234567"));
    scrub_add(&scrub, STR(""));
    assert_int_equal(scrub.count, 0);
    scrub_fini(&scrub);
}

/* Messages cut long values. */
static void the_begin_of_a_long_value_goes(void **state)
{
    (void)state;
    scrub_t scrub = {.count = 0};
    char value[201], text[128];
    for (size_t i = 0; i < 200; i++)
        value[i] = (char)('a' + i % 26);
    value[200] = '\0';
    scrub_add(&scrub, str_from(value));
    snprintf(text, sizeof(text), "\"%.64s...\"", value);
    char *out = scrub_text(&scrub, text);
    assert_null(strstr(out, "abcdefghijklm"));
    free(out);
    assert_scrubs(&scrub, value, "(removed)");
    scrub_fini(&scrub);
}

static void credentials_go_by_their_form(void **state)
{
    (void)state;
    const scrub_t none = {.count = 0};
    assert_scrubs(&none, "https://user:pass@host/p", "https://(removed)@host/p");
    assert_scrubs(&none, "https://a@b@host", "https://(removed)@host");
    assert_scrubs(&none, "https://host/a@b", "https://host/a@b");
    assert_scrubs(&none, "http://host http://u@h", "http://host http://(removed)@h");
    assert_scrubs(&none, "Authorization: Bearer abcdefgh.ij", "Authorization: Bearer (removed)");
    assert_scrubs(&none, "authorization: basic dXNlcjpwYXNz", "authorization: basic (removed)");
    assert_scrubs(&none, "a bearer token", "a bearer token");
}

static void quoted_values_of_errors_go(void **state)
{
    (void)state;
    const scrub_t none = {.count = 0};
    assert_scrubs(&none, "f:1:2: key: \"x \"y\" z\" is wrong; allowed: \"a\" or \"b\"\nnext: \"z\"\n",
                  "f:1:2: key: \"(removed)\" is wrong; allowed: \"a\" or \"b\"\nnext: \"z\"\n");
    assert_scrubs(&none, "key: \"x\n\" is; allowed: a", "key: \"x\n\" is; allowed: a");
    assert_scrubs(&none, ": \"; allowed: ", ": \"; allowed: ");
}

/* ---- tar ---- */

static size_t size_of(size_t content, char **out)
{
    size_t len = 0;
    char *bytes = calloc(1, content + 1);
    FILE *file = open_memstream(out, &len);
    tar_add(file, "a/b", str_make(bytes, content), 1700000000);
    tar_end(file);
    fclose(file);
    free(bytes);
    return len;
}

static void files_fill_whole_blocks(void **state)
{
    static const size_t rows[][2] = {{0, 0}, {1, 1}, {511, 1}, {512, 1}, {513, 2}, {1024, 2}};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *out = NULL;
        assert_int_equal(size_of(rows[i][0], &out), (1 + rows[i][1] + 2) * TAR_BLOCK);
        assert_string_equal(out, "a/b");
        assert_string_equal(out + 100, "0000600");
        assert_int_equal(strtoul(out + 124, NULL, 8), rows[i][0]);
        assert_memory_equal(out + 257,
                            "ustar\0"
                            "00",
                            8);
        free(out);
    }
}

static void the_longest_name_fits(void **state)
{
    char name[TAR_NAME_MAX + 1], *out = NULL;
    size_t len = 0;
    (void)state;
    memset(name, 'n', TAR_NAME_MAX);
    name[TAR_NAME_MAX] = '\0';
    FILE *file = open_memstream(&out, &len);
    tar_add(file, name, STR("x"), 0);
    fclose(file);
    assert_string_equal(out, name);
    free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_values_go),
        cmocka_unit_test(short_values_stay),
        cmocka_unit_test(the_begin_of_a_long_value_goes),
        cmocka_unit_test(credentials_go_by_their_form),
        cmocka_unit_test(quoted_values_of_errors_go),
        cmocka_unit_test(files_fill_whole_blocks),
        cmocka_unit_test(the_longest_name_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
