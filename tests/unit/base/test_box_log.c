/* The log of a process box: bounded, in whole lines, and its last words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "box_log.h"

static char text[4096];

static const char *read_from(const box_log_t *log, uint64_t from)
{
    str_t parts[2];
    box_log_read(log, from, parts);
    snprintf(text, sizeof(text), "%.*s%.*s", STR_ARG(parts[0]), STR_ARG(parts[1]));
    return text;
}

static const char *last_words(const box_log_t *log, size_t len)
{
    assert_true(len <= sizeof(text));
    box_log_last_words(log, LAST_WORDS_TRAILER, text, len);
    return text;
}

static void what_fits_stays(void **state)
{
    (void)state;
    box_log_t *log = box_log_new(32);
    assert_string_equal(read_from(log, 0), "");
    assert_string_equal(last_words(log, 100), "");
    box_log_add(log, STR(""));
    box_log_add(log, STR("one\ntw"));
    box_log_add(log, STR("o\nthree"));
    assert_string_equal(read_from(log, 0), "one\ntwo\nthree");
    assert_int_equal(box_log_end(log), 13);
    assert_string_equal(read_from(log, 4), "two\nthree");
    assert_string_equal(read_from(log, 13), "");
    assert_string_equal(read_from(log, 14), "one\ntwo\nthree"); /* never existed */
    box_log_free(&log);
    assert_null(log);
    box_log_free(&log);
}

/* For each size of an addition: at most the bound, and the log begins with a whole line. */
static void the_oldest_lines_go(void **state)
{
    (void)state;
    for (size_t step = 1; step < 40; step++) {
        char all[2000];
        size_t n = 0;
        for (int i = 0; n + 8 < sizeof(all); i++)
            n += (size_t)snprintf(all + n, sizeof(all) - n, "l%d\n", i);
        box_log_t *log = box_log_new(64);
        for (size_t done = 0; done < n;) {
            size_t take = n - done < step ? n - done : step;
            box_log_add(log, str_make(all + done, take));
            done += take;
            const char *kept = read_from(log, 0);
            size_t len = strlen(kept);
            assert_true(len <= 64);
            assert_int_equal(box_log_end(log), done);
            assert_memory_equal(kept, all + done - len, len);
            assert_true(len == done || all[done - len - 1] == '\n');
        }
        box_log_free(&log);
    }
}

static void a_line_longer_than_all_is_cut(void **state)
{
    (void)state;
    box_log_t *log = box_log_new(8);
    box_log_add(log, STR("0123456789abcdef"));
    assert_string_equal(read_from(log, 0), "89abcdef");
    box_log_add(log, STR("g"));
    assert_string_equal(read_from(log, 0), "9abcdefg");
    box_log_add(log, STR("\n"));
    assert_string_equal(read_from(log, 0), "abcdefg\n");
    box_log_add(log, STR("x"));
    assert_string_equal(read_from(log, 0), "x");
    box_log_free(&log);
}

static void notes_have_lines_of_their_own(void **state)
{
    (void)state;
    box_log_t *log = box_log_new(256);
    box_log_note(log, STR("started"));
    box_log_add(log, STR("half"));
    box_log_note(log, STR("ended"));
    box_log_note(log, STR("again"));
    assert_string_equal(read_from(log, 0), "[boxedge] started\nhalf\n[boxedge] ended\n[boxedge] again\n");
    box_log_free(&log);
}

static void last_words_are_the_boxs_own(void **state)
{
    (void)state;
    static const struct {
        const char *output, *words;
    } rows[] = {
        {"", ""},
        {"\n\n  \n", ""},
        {"one", "one"},
        {"one\n", "one"},
        {"one\ntwo\n\n \t\n", "two"},
        {"one\n[boxedge] x: stopped\n", "one"},
        {"\033[31mred\033[0m \033[1;32mgreen\033[m\n", "red green"},
        {"a\033[", "a"},
        {"a\033", "a"},
        {"a\033]0;b\a", "a]0;b"},
        {"a\tb\rc\n", "a b c"},
        {"x.js:1\nthrow new Error('boom')\n^\n\nError: boom\n    at main (x.js:1:7)\n\nNode.js v20.11.0\n",
         "Error: boom"},
        {"Error: listen EADDRINUSE: :::3000\n    at listen {\n  code: 'EADDRINUSE'\n}\n\nNode.js v18.1.0\n",
         "Error: listen EADDRINUSE: :::3000"},
        {"Traceback (most recent call last):\n  File \"a.py\", line 1\nModuleNotFoundError: No module named "
         "'x'\n",
         "ModuleNotFoundError: No module named 'x'"},
        {"panic: boom\n\ngoroutine 1 [running]:\nmain.main()\n\t/a.go:4\nexit status 2\n", "panic: boom"},
        {"sh: 1: vite: not found\nnpm ERR! code ELIFECYCLE\nnpm ERR! errno 127\n", "sh: 1: vite: not found"},
        {"  indented only\n}\n", "indented only"},
        {"ready on 3000\n1.2.3.4 - - [x] \"GET /?token=1 HTTP/1.1\" 200 -\nPOST /a?b=c 201 3 ms\n",
         "ready on 3000"},
        {"Error: GET /orders timed out\nGET /orders 504\n", "Error: GET /orders timed out"},
        {"}\n", ""},
        {"node:internal/modules/cjs/loader:1080\n  throw err;\n  ^\n\nError: Cannot find module "
         "'express'\nRequire "
         "stack:\n- /srv/app.js\n    at a (b:1:2) {\n  code: 'MODULE_NOT_FOUND',\n  requireStack: [ "
         "'/srv/app.js' "
         "]\n}\n\nNode.js v20.11.0\n",
         "Error: Cannot find module 'express'"},
        {"Error: of a run before\n[boxedge] x: started\n    at y\n", "at y"},
        {"panic: of a run before\n[boxedge] x: started\nlast\n[boxedge] x: ended\n", "last"},
        {"\xc3\xa9t\xc3\xa9 \xff\xc3\n", "\xc3\xa9t\xc3\xa9 ??"},
        {"a\xc2\x9b"
         "31mb\n",
         "a 31mb"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        box_log_t *log = box_log_new(256);
        box_log_add(log, str_from(rows[i].output));
        assert_string_equal(last_words(log, 100), rows[i].words);
        box_log_free(&log);
    }
}

/* While the box runs, stack frames and request lines explain nothing. */
static void last_words_of_a_rank(void **state)
{
    (void)state;
    static const struct {
        const char *output, *words;
    } rows[] = {
        {"}\n", ""},
        {"    at main (x.js:1:7)\n\nNode.js v20.11.0\n", ""},
        {"GET /?token=1 200 3 ms\n", ""},
        {"ready\n    at main (x.js:1:7)\n", "ready"},
        {"Error: boom\nready\n}\n", "Error: boom"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char line[100];
        box_log_t *log = box_log_new(256);
        box_log_add(log, str_from(rows[i].output));
        box_log_last_words(log, LAST_WORDS_SENTENCE, line, sizeof(line));
        assert_string_equal(line, rows[i].words);
        box_log_free(&log);
    }
}

/* Cut at every length, never within a character; read across the end of the ring. */
static void last_words_are_cut(void **state)
{
    (void)state;
    for (size_t before = 0; before < 32; before++) {
        box_log_t *log = box_log_new(32);
        for (size_t i = 0; i < before; i++)
            box_log_add(log, STR("\n"));
        box_log_add(log, STR("a\xc3\xa9\xe2\x82\xac\n"));
        static const char *const cut[] = {"",          "",          "a",         "a",
                                          "a\xc3\xa9", "a\xc3\xa9", "a\xc3\xa9", "a\xc3\xa9\xe2\x82\xac"};
        for (size_t len = 2; len < 8; len++)
            assert_string_equal(last_words(log, len), cut[len]);
        box_log_free(&log);
    }
}

static void a_log_goes_on_where_another_one_was(void **state)
{
    (void)state;
    box_log_t *log = box_log_new(32);
    box_log_restore(log, STR("two\nthr"), 1000);
    assert_int_equal(box_log_end(log), 1000);
    assert_string_equal(read_from(log, 0), "two\nthr");
    assert_string_equal(read_from(log, 996), "\nthr");
    box_log_add(log, STR("ee\n"));
    assert_string_equal(read_from(log, 1000), "ee\n");
    box_log_free(&log);
    log = box_log_new(8);
    box_log_restore(log, STR("one\ntwo\nthree\n"), 14); /* too long */
    assert_int_equal(box_log_end(log), 14);
    assert_string_equal(read_from(log, 0), "three\n");
    box_log_free(&log);
    log = box_log_new(8);
    box_log_restore(log, STR("one"), 2); /* no log has such an end */
    assert_int_equal(box_log_end(log), 2);
    assert_string_equal(read_from(log, 0), "");
    box_log_free(&log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_fits_stays),
        cmocka_unit_test(the_oldest_lines_go),
        cmocka_unit_test(a_line_longer_than_all_is_cut),
        cmocka_unit_test(notes_have_lines_of_their_own),
        cmocka_unit_test(last_words_are_the_boxs_own),
        cmocka_unit_test(last_words_of_a_rank),
        cmocka_unit_test(a_log_goes_on_where_another_one_was),
        cmocka_unit_test(last_words_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
