/* line_text.h and line_output.h: chosen fields, datagrams for journald and syslog, and destinations that take
 * nothing, or not all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "line_output.h"

#define LINE                                                                                                 \
    "{\"time\":\"2026-11-30T13:47:08.123Z\",\"request_id\":\"r1\",\"client\":\"10.0.0.1\",\"host\":\"a\\\"," \
    "b\\\\\",\"path\":\"/x?y={},\\\"z\\\"\",\"tls\":true,\"status\":200,\"duration_ms\":1.250,"              \
    "\"end\":\"complete\"}\n"
#define SECOND "{\"time\":\"2026-11-30T13:47:09.000Z\",\"request_id\":\"r2\",\"status\":404}\n"

#define BIT(name) ACCESS_FIELD_BIT(ACCESS_FIELD_##name)

static void assert_chosen(const char *text, access_fields_t fields, const char *expected)
{
    char *copy = strdup(text);
    assert_non_null(copy);
    size_t n = line_choose(copy, strlen(copy), fields);
    assert_int_equal(n, strlen(expected));
    assert_memory_equal(copy, expected, n);
    /* Choosing again changes nothing. */
    assert_int_equal(line_choose(copy, n, fields), n);
    assert_memory_equal(copy, expected, n);
    free(copy);
}

static void fields_are_chosen(void **state)
{
    (void)state;
    assert_chosen(LINE SECOND, ACCESS_FIELDS_ALL, LINE SECOND);
    assert_chosen(LINE SECOND, BIT(STATUS), "{\"status\":200}\n{\"status\":404}\n");
    assert_chosen(
        LINE SECOND, BIT(TIME) | BIT(HOST) | BIT(PATH),
        "{\"time\":\"2026-11-30T13:47:08.123Z\",\"host\":\"a\\\",b\\\\\",\"path\":\"/x?y={},\\\"z\\\"\"}\n"
        "{\"time\":\"2026-11-30T13:47:09.000Z\"}\n");
    assert_chosen(LINE SECOND, BIT(TLS) | BIT(DURATION_MS) | BIT(END),
                  "{\"tls\":true,\"duration_ms\":1.250,\"end\":\"complete\"}\n{}\n");
    assert_chosen(LINE, BIT(WAKE), "{}\n");
}

/* No other process writes such lines. They must not lead out of the buffer. */
static void nonsense_stays_inside(void **state)
{
    (void)state;
    static const char *const cases[] = {"",
                                        "\n",
                                        "x\n",
                                        "{}\n",
                                        "{\"\n",
                                        "{\"a\":\n",
                                        "{\"a\":\"\\\n",
                                        "{\"time\":\"",
                                        "{\"time\":1",
                                        "{\"time\":1}",
                                        "abc\ndef",
                                        "{\"a\" :1}\n",
                                        "[[[[\n"};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t n = strlen(cases[i]);
        char *exact = malloc(n + 1), out[LINE_DATAGRAM_MAX];
        assert_non_null(exact);
        memcpy(exact, cases[i], n);
        assert_true(line_choose(exact, n, BIT(TIME)) <= n);
        str_t line = str_make(cases[i], n);
        assert_true(line_journal(out, line, BIT(TIME)) > 0 && line_syslog(out, line, BIT(TIME), "n", 1) > 0);
        free(exact);
    }
}

static void assert_text(const char *text, size_t n, const char *expected)
{
    assert_int_equal(n, strlen(expected));
    assert_memory_equal(text, expected, n);
}

static void a_line_for_journald(void **state)
{
    (void)state;
    char out[LINE_DATAGRAM_MAX];
    assert_text(out, line_journal(out, STR(SECOND), ACCESS_FIELDS_ALL),
                "MESSAGE={\"time\":\"2026-11-30T13:47:09.000Z\",\"request_id\":\"r2\",\"status\":404}\n"
                "PRIORITY=6\nSYSLOG_IDENTIFIER=boxedge-access\nBOXEDGE_TIME=2026-11-30T13:47:09.000Z\n"
                "BOXEDGE_REQUEST_ID=r2\nBOXEDGE_STATUS=404\n");
    assert_text(out, line_journal(out, STR(LINE), BIT(HOST) | BIT(CLIENT)),
                "MESSAGE={\"client\":\"10.0.0.1\",\"host\":\"a\\\",b\\\\\"}\nPRIORITY=6\n"
                "SYSLOG_IDENTIFIER=boxedge-access\nBOXEDGE_CLIENT=10.0.0.1\nBOXEDGE_HOST=a\\\",b\\\\\n");
}

static void a_line_for_syslog(void **state)
{
    (void)state;
    char out[LINE_DATAGRAM_MAX];
    assert_text(out, line_syslog(out, STR(SECOND), BIT(STATUS), "edge-1", 77),
                "<134>1 2026-11-30T13:47:09.000Z edge-1 boxedge 77 access - {\"status\":404}");
    /* The longest line fits. */
    char *line = malloc(LINE_TEXT_MAX);
    assert_non_null(line);
    memset(line, 'x', LINE_TEXT_MAX);
    memcpy(line, "{\"host\":\"", 9);
    memcpy(line + LINE_TEXT_MAX - 3, "\"}\n", 3);
    size_t n = line_syslog(out, str_make(line, LINE_TEXT_MAX), ACCESS_FIELDS_ALL, "n", 1);
    assert_memory_equal(out, "<134>1 - n boxedge 1 access - {\"host\":\"xx", 40);
    assert_memory_equal(out + n - LINE_TEXT_MAX + 1, line, LINE_TEXT_MAX - 1);
    n = line_journal(out, str_make(line, LINE_TEXT_MAX), ACCESS_FIELDS_ALL);
    assert_true(n > 2 * (LINE_TEXT_MAX - 40) && n <= LINE_DATAGRAM_MAX);
    free(line);
}

/* ---- destinations ---- */

static line_output_t output_to(int fd, line_form_t form, access_fields_t fields)
{
    const line_style_t style = {.fields = fields, .node = "n"};
    line_output_t output;
    line_output_init(&output, &style);
    line_output_set(&output, (line_target_t){fd, form});
    return output;
}

static uint64_t put(line_output_t *output, const char *lines)
{
    char *copy = strdup(lines);
    assert_non_null(copy);
    uint64_t lost = line_output_write(output, copy, strlen(copy));
    free(copy);
    return lost;
}

static void assert_received(int fd, const char *expected)
{
    char text[LINE_DATAGRAM_MAX];
    ssize_t n = recv(fd, text, sizeof(text), MSG_DONTWAIT);
    assert_true(n >= 0);
    assert_text(text, (size_t)n, expected);
}

static void each_line_is_a_datagram(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends), 0);
    line_output_t output = output_to(ends[0], LINE_JOURNAL, BIT(STATUS));
    assert_int_equal(put(&output, LINE SECOND), 0);
    assert_received(
        ends[1],
        "MESSAGE={\"status\":200}\nPRIORITY=6\nSYSLOG_IDENTIFIER=boxedge-access\nBOXEDGE_STATUS=200\n");
    assert_received(
        ends[1],
        "MESSAGE={\"status\":404}\nPRIORITY=6\nSYSLOG_IDENTIFIER=boxedge-access\nBOXEDGE_STATUS=404\n");
    close(ends[1]);
    assert_int_equal(put(&output, LINE SECOND), 2); /* nobody receives */
    line_output_set(&output, LINE_TARGET_NONE);
    assert_int_equal(put(&output, SECOND), 1);
}

typedef struct stall {
    line_output_t *output;
    line_target_t next; /* fd -1: none */
    unsigned waits;
} stall_t;

static bool wait_once(void *arg)
{
    stall_t *stall = arg;
    if (stall->waits++ == 0 && stall->next.fd >= 0)
        line_output_set(stall->output, stall->next);
    return stall->waits < 3;
}

/* Sends until nothing more fits. Returns the number of datagrams. */
static unsigned fill(int fd)
{
    unsigned count = 0;
    while (send(fd, "x", 1, MSG_DONTWAIT) == 1)
        count++;
    assert_int_equal(errno, EAGAIN);
    return count;
}

static void a_receiver_that_stands_still_loses_lines(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends), 0);
    line_output_t output = output_to(ends[0], LINE_SYSLOG, BIT(STATUS));
    stall_t stall = {.output = &output, .next = LINE_TARGET_NONE};
    output.may_wait = wait_once;
    output.arg = &stall;
    unsigned count = fill(ends[0]);
    assert_int_equal(put(&output, LINE SECOND), 2);
    assert_int_equal(stall.waits, 3);
    while (count-- > 0)
        assert_received(ends[1], "x");
    line_output_set(&output, LINE_TARGET_NONE);
    close(ends[1]);
}

/* All lines that it has not taken, in the form of the new one. */
static void lines_go_to_the_next_destination(void **state)
{
    (void)state;
    int ends[2], pipe_ends[2];
    char text[512];
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends), 0);
    assert_int_equal(pipe(pipe_ends), 0);
    line_output_t output = output_to(ends[0], LINE_SYSLOG, BIT(STATUS));
    stall_t stall = {.output = &output, .next = {pipe_ends[1], LINE_STREAM}};
    output.may_wait = wait_once;
    output.arg = &stall;
    (void)fill(ends[0]);
    assert_int_equal(put(&output, LINE SECOND), 0);
    ssize_t n = read(pipe_ends[0], text, sizeof(text));
    assert_true(n > 0);
    assert_text(text, (size_t)n, "{\"status\":200}\n{\"status\":404}\n");
    line_output_set(&output, LINE_TARGET_NONE);
    close(ends[1]);
    close(pipe_ends[0]);
}

/* A socket that took a part of a line: the new destination gets the whole line. */
static void a_torn_line_is_written_again(void **state)
{
    (void)state;
    int ends[2], stream[2];
    size_t len = 4 << 20; /* more than the socket takes */
    char *lines = malloc(len + sizeof(SECOND)), text[LINE_DATAGRAM_MAX];
    assert_non_null(lines);
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, ends), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, stream), 0);
    memset(lines, 'x', len); /* one line, longer than any of the edge: it is written in parts */
    lines[len - 1] = '\n';
    memcpy(lines + len, SECOND, sizeof(SECOND));
    line_output_t output = output_to(stream[0], LINE_STREAM, ACCESS_FIELDS_ALL);
    stall_t stall = {.output = &output, .next = {dup(ends[0]), LINE_STREAM}};
    output.may_wait = wait_once;
    output.arg = &stall;
    assert_int_equal(line_output_write(&output, lines, len + sizeof(SECOND) - 1), 2);
    ssize_t n = recv(ends[1], text, sizeof(text), MSG_DONTWAIT);
    assert_true(n == PIPE_BUF && text[0] == 'x'); /* from the beginning, until it takes no more either */
    assert_true(stall.waits >= 2);
    line_output_set(&output, LINE_TARGET_NONE);
    close(ends[0]);
    close(ends[1]);
    close(stream[1]);
    free(lines);
}

static void bytes_go_to_a_file(void **state)
{
    (void)state;
    char path[] = "/tmp/boxedge-lines-XXXXXX", text[512];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    line_output_t output = output_to(dup(fd), LINE_STREAM, ACCESS_FIELDS_ALL);
    assert_int_equal(put(&output, LINE SECOND), 0);
    line_output_set(&output, LINE_TARGET_NONE);
    ssize_t n = pread(fd, text, sizeof(text), 0);
    assert_true(n > 0);
    assert_text(text, (size_t)n, LINE SECOND);
    close(fd);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_chosen),
        cmocka_unit_test(nonsense_stays_inside),
        cmocka_unit_test(a_line_for_journald),
        cmocka_unit_test(a_line_for_syslog),
        cmocka_unit_test(each_line_is_a_datagram),
        cmocka_unit_test(a_receiver_that_stands_still_loses_lines),
        cmocka_unit_test(lines_go_to_the_next_destination),
        cmocka_unit_test(a_torn_line_is_written_again),
        cmocka_unit_test(bytes_go_to_a_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
