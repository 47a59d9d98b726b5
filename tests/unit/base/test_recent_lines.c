/* The recent access lines: their order, their bound, and what a search finds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "recent_lines.h"

typedef struct walk {
    unsigned count, stop_after;
    unsigned first, last; /* numbers of the newest and the oldest line */
    bool falls;           /* each number is one below that before it */
} walk_t;

static bool take(void *arg, str_t line)
{
    walk_t *walk = arg;
    char text[16] = "";
    assert_in_range(line.n, 1, sizeof(text) - 1);
    memcpy(text, line.p, line.n);
    unsigned number = (unsigned)strtoul(text, NULL, 10);
    if (walk->count++ == 0)
        walk->first = number;
    else
        walk->falls = walk->falls && number == walk->last - 1;
    walk->last = number;
    return walk->count != walk->stop_after;
}

static void add(recent_lines_t *recent, unsigned number)
{
    char text[16];
    int n = snprintf(text, sizeof(text), "%u\n", number);
    recent_lines_add(recent, str_make(text, (size_t)n));
}

static void the_newest_come_first(void **state)
{
    (void)state;
    recent_lines_t *recent = recent_lines_new(800);
    walk_t walk = {.falls = true};
    assert_true(recent_lines_walk(recent, take, &walk));
    assert_int_equal(walk.count, 0);
    recent_lines_add(recent, STR("1\n2\n3\n"));
    add(recent, 4);
    assert_true(recent_lines_walk(recent, take, &walk));
    assert_true(walk.falls && walk.first == 4 && walk.last == 1 && recent_lines_count(recent) == 4);
    walk = (walk_t){.stop_after = 2, .falls = true};
    assert_false(recent_lines_walk(recent, take, &walk));
    assert_int_equal(walk.count, 2);
    recent_lines_free(&recent);
    assert_null(recent);
}

static void the_oldest_go_at_the_bound(void **state)
{
    (void)state;
    recent_lines_t *recent = recent_lines_new(800); /* blocks of 100 bytes: 20 lines of 5 */
    for (unsigned i = 1000; i < 1160; i++)
        add(recent, i);
    walk_t walk = {.falls = true};
    assert_true(recent_lines_walk(recent, take, &walk));
    assert_true(walk.falls && walk.count == 160 && walk.last == 1000);
    add(recent, 1160);
    walk = (walk_t){.falls = true};
    assert_true(recent_lines_walk(recent, take, &walk));
    assert_true(walk.falls && walk.count == 141 && walk.first == 1160 && walk.last == 1020);
    assert_int_equal(recent_lines_count(recent), 141);
    recent_lines_free(&recent);
}

/* Many lines at once fill the rest of a block and go on in the next. */
static void lines_in_large_pieces(void **state)
{
    (void)state;
    char text[5 * 150 + 1];
    recent_lines_t *recent = recent_lines_new(800);
    add(recent, 999);
    for (unsigned i = 0; i < 150; i++)
        snprintf(text + 5 * i, 6, "%u\n", 1000 + i);
    recent_lines_add(recent, str_make(text, 5 * 150));
    walk_t walk = {.falls = true};
    assert_true(recent_lines_walk(recent, take, &walk));
    assert_true(walk.falls && walk.count == 151 && walk.first == 1149 && walk.last == 999);
    recent_lines_free(&recent);
}

static void a_line_longer_than_a_block(void **state)
{
    (void)state;
    char text[102];
    recent_lines_t *recent = recent_lines_new(800);
    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\n';
    add(recent, 1);
    recent_lines_add(recent, str_make(text, sizeof(text)));
    add(recent, 2);
    walk_t walk = {.falls = true};
    assert_true(recent_lines_walk(recent, take, &walk));
    assert_true(walk.falls && walk.count == 2 && walk.first == 2);
    recent_lines_free(&recent);
}

static void shares(void **state)
{
    (void)state;
    assert_int_equal(recent_lines_share(1), RECENT_LINES_BYTES);
    assert_int_equal(recent_lines_share(4), RECENT_LINES_BYTES / 4);
    assert_int_equal(recent_lines_share(64), RECENT_LINES_BYTES_LEAST);
    assert_int_equal(recent_lines_share(0), RECENT_LINES_BYTES);
}

static const char line[] = "{\"time\":\"2026-01-31T23:59:59.000Z\",\"request_id\":\"ab12\",\"client\":\"192."
                           "0.2.7\",\"host\":\"shark-1-3000."
                           "box.test:8443\",\"box\":\"shark-1\",\"port\":3000,\"path\":\"/"
                           "\\\",\\\"box\\\":\\\"other\\\"?shark-1\",\"status\":502,"
                           "\"key\":\"ci\",\"reason\":\"origin_refused\"}";

static bool found(const char *text)
{
    return recent_line_matches(str_from(line), str_from(text));
}

static void what_is_found(void **state)
{
    (void)state;
    static const char *const hits[] = {"ab12",
                                       "shark-1",
                                       "192.0.2.7",
                                       "shark-1-3000",
                                       "shark-1-3000.box.test",
                                       "shark-1-3000.box.test:8443",
                                       "ci",
                                       "origin_refused"};
    static const char *const misses[] = {"ab1", "b12", "shark", "shark-1-300", "192.0.2", "other",
                                         "502", "box", "3000",  "request_id",  "origin",  "c"};
    for (size_t i = 0; i < sizeof(hits) / sizeof(hits[0]); i++)
        if (!found(hits[i]))
            fail_msg("%s is not found", hits[i]);
    for (size_t i = 0; i < sizeof(misses) / sizeof(misses[0]); i++)
        if (found(misses[i]))
            fail_msg("%s is found", misses[i]);
}

static void what_may_be_looked_for(void **state)
{
    (void)state;
    char text[257];
    memset(text, 'a', sizeof(text));
    assert_true(recent_find_valid(STR("aZ09.:_-")));
    assert_true(recent_find_valid(str_make(text, 255)));
    assert_false(recent_find_valid(str_make(text, 256)));
    assert_false(recent_find_valid(STR("")));
    assert_false(recent_find_valid(STR("a\"b")));
    assert_false(recent_find_valid(STR("a\\b")));
    assert_false(recent_find_valid(STR("a b")));
    assert_false(recent_find_valid(str_make("a\0b", 3)));
    assert_false(recent_find_valid(STR("\xc3\xa9")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_newest_come_first),
        cmocka_unit_test(the_oldest_go_at_the_bound),
        cmocka_unit_test(lines_in_large_pieces),
        cmocka_unit_test(a_line_longer_than_a_block),
        cmocka_unit_test(shares),
        cmocka_unit_test(what_is_found),
        cmocka_unit_test(what_may_be_looked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
