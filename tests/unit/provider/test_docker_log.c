/* The log of a container, from an engine's answer in pieces of every size. */
#include "docker_log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* 2026-01-01T00:00:00Z */
#define SECOND            UINT64_C(1767225600)
#define AT(second, count) (((SECOND + (second)) << DOCKER_LOG_COUNT_BITS) | (count))

static char text[BOX_LOG_BYTES + 1];

static docker_log_t *read_in(str_t body, uint64_t from, size_t piece)
{
    docker_log_t *log = docker_log_new(from);
    while (body.n > 0) {
        size_t n = body.n < piece ? body.n : piece;
        docker_log_feed(log, str_make(body.p, n));
        body = str_from_offset(body, n);
    }
    docker_log_finish(log);
    return log;
}

static const char *text_of(const docker_log_t *log)
{
    str_t parts[2];
    box_log_read(docker_log_text(log), 0, parts);
    snprintf(text, sizeof(text), "%.*s%.*s", STR_ARG(parts[0]), STR_ARG(parts[1]));
    return text;
}

static void expect_from(str_t body, uint64_t from, const char *want, uint64_t end)
{
    for (size_t piece = 1; piece <= body.n + 1; piece++) {
        docker_log_t *log = read_in(body, from, piece);
        assert_string_equal(text_of(log), want);
        assert_int_equal(docker_log_end(log), end);
        docker_log_free(&log);
        assert_null(log);
    }
}

static void expect(str_t body, const char *want, uint64_t end)
{
    expect_from(body, 0, want, end);
}

static void of_a_terminal(void **state)
{
    (void)state;
    expect(STR(""), "", 0);
    expect(STR("2026-01-01T00:00:01Z one\r\n2026-01-01T00:00:01Z \r\n2026-01-01T00:00:03Z a b"),
           "one\r\n\r\na b", AT(3, 1));
    expect(STR("2026-01-01T00:00:01.123456789Z one\n2026-01-01T02:00:02.5+02:00 two\n"), "one\ntwo\n",
           AT(2, 1));
    expect(STR("2026-01-01T00:00:01.123456789+00:00 x\n"), "x\n", AT(1, 1)); /* the longest */
}

static void in_frames(void **state)
{
    (void)state;
    expect(STR("\1\0\0\0\0\0\0\0312026-01-01T00:00:00Z one\n\2\0\0\0\0\0\0\0312026-01-01T00:00:00Z two\n"),
           "one\ntwo\n", AT(0, 2));
    /* A line in two parts, each with its time; and a line without an end. */
    expect(STR("\1\0\0\0\0\0\0\0272026-01-01T00:00:00Z on\1\0\0\0\0\0\0\0272026-01-01T00:00:01Z e\n"
               "\2\0\0\0\0\0\0\0262026-01-01T00:00:02Z x"),
           "one\nx", AT(2, 1));
    expect(STR("\1\0\0\0\0\0\0\0\1\0\0\0\0\0\0\4x y\n"), "x y\n", 1); /* an empty one counts for nothing */
    expect(STR("\1\0\0\0\377\377\377\3772026-01-01T00:00:00Z rest"), "rest", AT(0, 1)); /* it was cut */
    expect(STR("\1\0\0\0\0\0\0"), "", 0);
    expect(STR("\1\0\0\0\0\0\0\2a\n\3\0\0\0\0\0\0\2b\n\1\0\0\0\0\0\0\2c\n"), "a\n", 1); /* an invalid head */
    expect(STR("\1\0\0\0\0\0\0\2a\n\1\0\1\0\0\0\0\2b\n"), "a\n", 1);
}

static void without_times(void **state)
{
    (void)state;
    expect(STR("ab\n"), "ab\n", 1);
    expect(STR("abcd"), "abcd", 1);
    expect(STR("\n\n"), "\n\n", 2);
    expect(STR("12:30 x\n2026-01-01 x\n"), "12:30 x\n2026-01-01 x\n", 2);
    expect(STR("2026-01-01T00:00:01Z"), "2026-01-01T00:00:01Z", 1);
    expect(STR("2026-01-01T00:00:01.0000000000000000000000Z x\n"),
           "2026-01-01T00:00:01.0000000000000000000000Z x\n", 1);
    expect(STR("1970-01-01T00:00:00Z x\n"), "1970-01-01T00:00:00Z x\n", 1);
    expect(STR("2107-01-01T00:00:00Z x\n"), "2107-01-01T00:00:00Z x\n", 1); /* no position has room for it */
    expect(STR("2026-01-01T00:00:01Z x\nplain\n"), "x\nplain\n", AT(1, 2));
}

/* Entries are not read twice, in whichever second they were. */
static void from_a_position(void **state)
{
    (void)state;
    static const char body[] = "2026-01-01T00:00:01Z a\n2026-01-01T00:00:01Z b\n2026-01-01T00:00:01Z c\n"
                               "2026-01-01T00:00:02Z d\n2026-01-01T00:00:01Z e\n";
    str_t all = str_make(body, sizeof(body) - 1);
    expect_from(all, 0, "a\nb\nc\nd\ne\n", AT(2, 1));
    expect_from(all, AT(0, 7), "a\nb\nc\nd\ne\n", AT(2, 1));
    expect_from(all, AT(1, 2), "c\nd\ne\n", AT(2, 1));
    expect_from(all, AT(1, 3), "d\ne\n", AT(2, 1));
    expect_from(all, AT(2, 0), "d\n", AT(2, 1));
    expect_from(all, AT(2, 1), "", AT(2, 1));
    expect_from(all, AT(2, 5), "", AT(2, 5)); /* the log was cut in between */
    expect_from(STR(""), AT(2, 5), "", AT(2, 5));
    expect_from(all, INT64_MAX, "", INT64_MAX);
}

/* Whether all entries of the counted second have arrived. */
static void where_the_tail_was_cut(void **state)
{
    (void)state;
    docker_log_t *log = read_in(STR("2026-01-01T00:00:01Z a\n2026-01-01T00:00:01Z b\n"), 0, 100);
    assert_int_equal(docker_log_cut(log, 2, false), SECOND + 1);
    assert_int_equal(docker_log_cut(log, 3, true), 0);
    docker_log_free(&log);
    log = read_in(STR("2026-01-01T00:00:01Z a\n2026-01-01T00:00:02Z b\n"), 0, 100);
    assert_int_equal(docker_log_cut(log, 2, false), 0);
    docker_log_free(&log);
    log = read_in(STR("2026-01-01T00:00:01Z a\n2026-01-01T00:00:02Z b\n"), AT(1, 1), 100);
    assert_int_equal(docker_log_cut(log, 2, false), SECOND + 1);
    docker_log_free(&log);
    log = read_in(STR("2026-01-01T00:00:01Z a\n2026-01-01T00:00:02Z b\n"), AT(0, 1), 100);
    assert_int_equal(docker_log_cut(log, 2, false), 0);
    assert_int_equal(docker_log_cut(log, 2, true), SECOND); /* some of the newer entries may be missing */
    assert_int_equal(docker_log_cut(log, 3, true), 0);
    docker_log_free(&log);
    log = read_in(STR("a\nb\n"), 0, 100);
    assert_int_equal(docker_log_cut(log, 2, false), 0);
    docker_log_free(&log);
}

static void bounds(void **state)
{
    (void)state;
    const size_t size = 3 * BOX_LOG_BYTES, lines = size / 4;
    char *big = malloc(size);
    assert_non_null(big);
    for (size_t i = 0; i < size; i++)
        big[i] = i % 4 == 3 ? '\n' : 'x';
    docker_log_t *log = read_in(str_make(big, size), 0, 16384);
    assert_int_equal(strlen(text_of(log)), BOX_LOG_BYTES - 4); /* whole lines */
    assert_int_equal(docker_log_end(log), lines);
    docker_log_free(&log);
    /* More entries than a position counts. */
    memset(big, '\n', size);
    log = docker_log_new(0);
    for (unsigned i = 0; i < 3; i++)
        docker_log_feed(log, str_make(big, size));
    docker_log_finish(log);
    assert_int_equal(docker_log_end(log), (1u << DOCKER_LOG_COUNT_BITS) - 1);
    docker_log_free(&log);
    /* Many pieces without a line's end: the ring is not searched for each of them. */
    for (size_t i = 0; i + 9 <= size; i += 9)
        memcpy(big + i, "\1\0\0\0\0\0\0\1x", 9);
    log = docker_log_new(0);
    for (unsigned i = 0; i < 8; i++)
        docker_log_feed(log, str_make(big, size - size % 9));
    docker_log_finish(log);
    assert_int_equal(strlen(text_of(log)), BOX_LOG_BYTES);
    docker_log_free(&log);
    free(big);
    docker_log_free(&log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_a_terminal),          cmocka_unit_test(in_frames),
        cmocka_unit_test(without_times),          cmocka_unit_test(from_a_position),
        cmocka_unit_test(where_the_tail_was_cut), cmocka_unit_test(bounds)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
