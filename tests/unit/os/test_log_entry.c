/* log_entry.h: the beginning of a line, its time, and reading it back. log_output.h: JSON and journald. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "log_entry.h"
#include "log_output.h"
#include "process_log.h"

#define TIME "2026-11-30T13:47:08.123Z"

static void every_day_is_written_as_gmtime_has_it(void **state)
{
    (void)state;
    for (uint64_t day = 0; day < 80000; day++) {
        char expected[32], out[LOG_TIME_BYTES];
        time_t when = (time_t)(day * 86400 + day % 86400);
        struct tm tm;
        assert_non_null(gmtime_r(&when, &tm));
        assert_int_equal(strftime(expected, sizeof(expected), "%Y-%m-%dT%H:%M:%S.", &tm), 20);
        snprintf(expected + 20, sizeof(expected) - 20, "%03uZ", (unsigned)(day % 1000));
        log_time_at(out, (uint64_t)when * 1000 + day % 1000);
        assert_memory_equal(out, expected, LOG_TIME_BYTES);
    }
}

static void assert_text(str_t text, const char *expected)
{
    assert_int_equal(text.n, strlen(expected));
    assert_memory_equal(text.p, expected, text.n);
}

static void a_line_is_read_as_it_was_written(void **state)
{
    (void)state;
    char line[LOG_HEAD_MAX + 32];
    log_entry_t entry;
    size_t n = log_head(line, LOG_PROCESS_HUNG, "worker 255");
    memcpy(line + n, "a: [b] c", 8);
    assert_true(log_entry_parse(str_make(line, n + 8), &entry));
    assert_int_equal(entry.level, LOG_LEVEL_ERROR);
    assert_text(entry.code, "process_hung");
    assert_text(entry.process, "worker 255");
    assert_text(entry.text, "a: [b] c");
    n = log_head(line, LOG_READY, NULL);
    assert_true(log_entry_parse(str_make(line, n), &entry));
    assert_text(entry.process, "supervisor");
    assert_int_equal(entry.text.n, 0);
}

/* The longest code and a process name of any length. */
static void every_head_fits(void **state)
{
    (void)state;
    char line[LOG_HEAD_MAX], name[200];
    log_entry_t entry;
    memset(name, 'n', sizeof(name));
    name[sizeof(name) - 1] = '\0';
#define X(symbol, word, level, meaning)                                                                      \
    assert_true(log_entry_parse(str_make(line, log_head(line, LOG_##symbol, name)), &entry));                \
    assert_text(entry.code, word);
    LOG_CODES(X)
#undef X
}

static void other_text_is_no_message(void **state)
{
    (void)state;
    static const char *const others[] = {
        "",
        TIME,
        TIME " ",
        TIME " error ready boxedge",
        TIME " error ready boxedge[",
        TIME " error ready boxedge[worker 0] text",
        TIME " error ready boxedge[]: text",
        TIME " fatal ready boxedge: text",
        TIME " error  boxedge: text",
        TIME " error Ready boxedge: text",
        TIME " error ready nginx: text",
        "2026-11-30T13:47:08,123Z error ready boxedge: text",
        "==12==ERROR: AddressSanitizer: heap-use-after-free on address 0x602000000014",
    };
    log_entry_t entry;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_false(log_entry_parse(str_from(others[i]), &entry));
    /* Every beginning of a message. */
    str_t whole = STR(TIME " warning name_failed boxedge[controller]: t");
    for (size_t n = 0; n + 1 < whole.n; n++)
        assert_false(log_entry_parse(str_make(whole.p, n), &entry));
    assert_true(log_entry_parse(whole, &entry));
}

static void json_has_each_field_and_escapes(void **state)
{
    (void)state;
    char out[LOG_JSON_MAX + 1];
    str_t line = STR(TIME " warning name_failed boxedge[controller]: \"a\"\x01\xff");
    out[log_json_line(out, line)] = '\0';
    assert_string_equal(out, "{\"time\":\"" TIME "\",\"level\":\"warning\",\"code\":\"name_failed\","
                             "\"process\":\"controller\",\"message\":\"\\\"a\\\"\\u0001\xef\xbf\xbd\"}\n");
    size_t n = log_json_line(out, STR("Assertion failed"));
    out[n] = '\0';
    assert_non_null(strstr(out, "\"level\":\"error\",\"code\":\"other_output\",\"process\":\"unknown\","
                                "\"message\":\"Assertion failed\"}\n"));
}

static void the_longest_line_fits_into_a_pipe(void **state)
{
    (void)state;
    char out[LOG_JSON_MAX], *text = malloc(65536);
    assert_non_null(text);
    memset(text, '\x01', 65536); /* six bytes each */
    size_t n = log_json_line(out, str_make(text, 65536));
    assert_true(n <= LOG_JSON_MAX && n > LOG_JSON_MAX - 16);
    assert_memory_equal(out + n - 6, "\xe2\x80\xa6\"}\n", 6);
    char journal[LOG_JOURNAL_MAX];
    assert_true(log_journal_text(journal, str_make(text, 65536)) <= LOG_JOURNAL_MAX);
    free(text);
}

static void journald_gets_fields(void **state)
{
    (void)state;
    char directory[] = "/tmp/boxedge-log-XXXXXX", path[64], text[LOG_JOURNAL_MAX + 1];
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/socket", directory);
    assert_int_equal(log_journal_open(path), -1);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
    int journald = socket(AF_UNIX, SOCK_DGRAM, 0);
    assert_return_code(bind(journald, (struct sockaddr *)&address, sizeof(address)), 0);
    int fd = log_journal_open(path);
    assert_true(fd >= 0);
    size_t n = log_journal_text(text, STR(TIME " error process_died boxedge: worker 0 died"));
    assert_int_equal(send(fd, text, n, 0), n);
    ssize_t got = recv(journald, text, sizeof(text) - 1, 0);
    assert_true(got > 0);
    text[got] = '\0';
    assert_string_equal(text,
                        "MESSAGE=worker 0 died\nPRIORITY=3\nSYSLOG_IDENTIFIER=boxedge\nBOXEDGE_TIME=" TIME
                        "\nBOXEDGE_CODE=process_died\nBOXEDGE_PROCESS=supervisor\n");
    n = log_journal_text(text, STR(TIME " notice name_found boxedge[controller]: found"));
    text[n] = '\0';
    assert_non_null(strstr(text, "MESSAGE=controller: found\nPRIORITY=5\n"));
    close(fd);
    close(journald);
    unlink(path);
    rmdir(directory);
}

static void only_the_named_stream_is_the_journal(void **state)
{
    (void)state;
    struct stat st;
    char value[64];
    assert_return_code(fstat(STDERR_FILENO, &st), 0);
    snprintf(value, sizeof(value), "%llu:%llu", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
    assert_true(log_is_journal(STDERR_FILENO, value));
    snprintf(value, sizeof(value), "%llu:%llu1", (unsigned long long)st.st_dev,
             (unsigned long long)st.st_ino);
    assert_false(log_is_journal(STDERR_FILENO, value));
    assert_false(log_is_journal(STDERR_FILENO, NULL));
    assert_false(log_is_journal(STDERR_FILENO, ""));
    assert_false(log_is_journal(STDERR_FILENO, "1:"));
    assert_false(log_is_journal(-1, value));
}

/* ---- docs/messages.md ---- */

typedef struct row {
    const char *code, *level, *meaning;
} row_t;

static void print_rows(FILE *out, const char *title, const row_t *rows, size_t count)
{
    fprintf(out, "\n## %s\n\n| code | level | meaning |\n|---|---|---|\n", title);
    for (size_t i = 0; i < count; i++) {
        fprintf(out, "| `%s` | ", rows[i].code);
        for (const char *p = rows[i].level; *p != '\0'; p++)
            fputc(*p + ('a' - 'A'), out);
        fprintf(out, " | %s |\n", rows[i].meaning);
    }
}

#define X(symbol, word, level, meaning) {word, #level, meaning},
#define SECTION(title, table)                                                                                \
    do {                                                                                                     \
        static const row_t rows[] = {table(X)};                                                              \
        print_rows(out, title, rows, sizeof(rows) / sizeof(rows[0]));                                        \
    } while (0)

static void print_page(FILE *out)
{
    fputs(
        "# Messages of the edge's own log\n\n"
        "Each message has a time, a level, a code, the process and a sentence\n"
        "([operations.md](operations.md#the-edges-own-log)). Codes stay the same from release to release;\n"
        "sentences may change. `edge/os/log_codes.h` has this table.\n\n"
        "| level | meaning |\n|---|---|\n"
        "| error | something fails for somebody, or will soon, and stays so until a person acts or a process "
        "is replaced |\n"
        "| warning | the edge copes, and a person should look |\n"
        "| notice | a change that matters, as intended |\n"
        "| info | progress |\n",
        out);
    SECTION("The edge", LOG_CODES_EDGE);
    SECTION("Processes", LOG_CODES_PROCESSES);
    SECTION("Upgrades", LOG_CODES_UPGRADE);
    SECTION("The store", LOG_CODES_STORE);
    SECTION("Boxes", LOG_CODES_BOXES);
    SECTION("Traffic", LOG_CODES_TRAFFIC);
    SECTION("Operators", LOG_CODES_ADMIN);
}

static void the_document_has_every_code(void **state)
{
    (void)state;
    static char committed[65536];
    char *now = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&now, &len);
    assert_non_null(out);
    print_page(out);
    fclose(out);
    FILE *in = fopen(SOURCE_DIR "/docs/messages.md", "r");
    if (in == NULL)
        fail_msg("docs/messages.md cannot be read");
    committed[fread(committed, 1, sizeof(committed) - 1, in)] = '\0';
    fclose(in);
    if (strcmp(now, committed) != 0)
        fail_msg("docs/messages.md is stale: unit_os_test_log_entry print > docs/messages.md");
    free(now);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_day_is_written_as_gmtime_has_it),
        cmocka_unit_test(a_line_is_read_as_it_was_written),
        cmocka_unit_test(every_head_fits),
        cmocka_unit_test(other_text_is_no_message),
        cmocka_unit_test(json_has_each_field_and_escapes),
        cmocka_unit_test(the_longest_line_fits_into_a_pipe),
        cmocka_unit_test(journald_gets_fields),
        cmocka_unit_test(only_the_named_stream_is_the_journal),
        cmocka_unit_test(the_document_has_every_code),
    };
    if (argc == 2 && strcmp(argv[1], "print") == 0) {
        print_page(stdout);
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
