/*
 * `boxedge top`: the table of GET /v1/traffic, once or live. A live table takes the terminal's other screen
 * and leaves the terminal as it was, however it ends.
 */
#include "commands.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli_words.h"
#include "terminal.h"
#include "traffic_message.h"

/* Interval of a live table, and of the questions before the first figures. */
#define REFRESH_MS 1000
/* Questions until the first figures come, which takes two seconds of a worker's. */
#define BEGIN_TRIES 10
/* Columns beside the name. */
#define FIGURES_WIDTH 65
#define NAME_MIN      14
/* Maximum bytes of a screen. */
#define ROW_BYTES 256

static const char *const bys[] = {"box", "preview", "key", "upstream"};
static const char *const sorts[] = {"requests", "in", "out", "errors", "own", "latency", "open"};
#define BYS   (sizeof(bys) / sizeof(bys[0]))
#define SORTS (sizeof(sorts) / sizeof(sorts[0]))

static int usage(FILE *out, int status)
{
    fprintf(
        out,
        "usage: boxedge top [OPTION]...\n\n"
        "Shows who makes the requests of the last five seconds, each second anew: requests, bytes of\n"
        "the bodies from (IN) and to the clients (OUT), errors, durations, and requests that are open.\n"
        "5XX are responses with such a status and cut ones, OWN are refusals and failures that the edge\n"
        "answers by itself. Open requests and WebSockets count with their bytes while they last. Prints\n"
        "once if the output is no terminal.\n\n"
        "The workers count while somebody watches, and for a minute after that. Each has room for 256\n"
        "names. If there are more, it keeps those with most requests, and \"~\" marks a row whose figures\n"
        "may lack some of the last seconds.\n\n"
        "Keys: q ends, b, p, k and u count by box, preview, key or upstream, s sorts by the next column.\n\n"
        "  --by box|preview|key|upstream\n"
        "                     count by this (box)\n"
        "  --sort requests|in|out|errors|own|latency|open\n"
        "                     sort by this, the highest first (requests)\n"
        "  -n, --limit NUMBER  show at most this number of rows (100; live: as fit)\n"
        "  --once             print once\n"
        "  --json             print the answer of the admin API once\n");
    fputs(cli_common_help, out);
    return status;
}

/* ---- the table ---- */

/* "0.2", "15", "1.2k", "3.4M": at most 5 characters. */
static const char *short_number(double value, char out[16])
{
    static const char units[] = "kMGTP";
    size_t unit = 0;
    if (value < 1000) {
        snprintf(out, 16, value < 9.95 && value != (double)(int)value ? "%.1f" : "%.0f", value);
        return out;
    }
    for (value /= 1000; value >= 999.5 && unit + 2 < sizeof(units); unit++)
        value /= 1000;
    snprintf(out, 16, value < 9.95 ? "%.1f%c" : "%.0f%c", value, units[unit]);
    return out;
}

/* "0.4ms", "12ms", "1.2s"; "-" without one. */
static const char *duration(const json_t *row, const char *name, char out[16])
{
    const json_t *value = json_object_get(row, name);
    double ms = json_number_value(value);
    if (value == NULL)
        snprintf(out, 16, "-");
    else if (ms < 999.5)
        snprintf(out, 16, ms < 9.95 ? "%.1fms" : "%.0fms", ms);
    else
        snprintf(out, 16, ms < 99950 ? "%.1fs" : "%.0fs", ms / 1000);
    return out;
}

static double rate(const json_t *row, const char *name)
{
    return json_number_value(json_object_get(row, name));
}

static void row_text(const char *name, const json_t *row, int name_width, char out[ROW_BYTES])
{
    char text[8][16];
    snprintf(out, ROW_BYTES, "%-*.*s  %s%6s  %5s  %5s  %5s  %5s  %5s  %5s  %5s  %5s", name_width, name_width,
             name, json_is_true(json_object_get(row, "approximate")) ? "~" : " ",
             short_number(rate(row, "requests_per_s"), text[0]),
             short_number(rate(row, "request_bytes_per_s"), text[1]),
             short_number(rate(row, "response_bytes_per_s"), text[2]),
             short_number(rate(row, "errors_per_s"), text[3]),
             short_number(rate(row, "own_errors_per_s"), text[4]), duration(row, "mean_ms", text[5]),
             duration(row, "p50_ms", text[6]), duration(row, "p95_ms", text[7]),
             short_number((double)cli_number(row, "open"), (char[16]){""}));
}

static void head_text(const char *by, int name_width, char out[ROW_BYTES])
{
    char name[16];
    size_t n = 0;
    for (; by[n] != '\0' && n + 1 < sizeof(name); n++)
        name[n] = (char)(by[n] - 'a' + 'A');
    name[n] = '\0';
    snprintf(out, ROW_BYTES, "%-*s  %7s  %5s  %5s  %5s  %5s  %5s  %5s  %5s  %5s", name_width, name, "REQ/s",
             "IN/s", "OUT/s", "5XX/s", "OWN/s", "MEAN", "P50", "P95", "OPEN");
}

static bool has_begun(const json_t *answer)
{
    return cli_number(answer, "window_ms") > 0;
}

/* The width that the longest name needs, at most `room`. */
static int name_width_of(const json_t *rows, int room)
{
    int width = NAME_MIN;
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        int n = (int)json_string_length(json_object_get(row, "name"));
        width = n > width ? n : width;
    }
    return width > room ? room > NAME_MIN ? room : NAME_MIN : width;
}

typedef struct lines {
    int room;  /* lines that may still come */
    int width; /* columns; 0: no bound */
    bool live;
} lines_t;

static void put_line(lines_t *lines, const char *text)
{
    if (lines->room == 0)
        return;
    lines->room--;
    size_t n = strlen(text);
    if (lines->width != 0 && n > (size_t)lines->width)
        n = (size_t)lines->width;
    printf("%.*s%s", (int)n, text, lines->live ? lines->room != 0 ? "\x1b[K\r\n" : "\x1b[K" : "\n");
}

/* The rows, and the number of those without room. */
static void put_rows(lines_t *lines, const json_t *answer)
{
    char text[ROW_BYTES];
    const json_t *rows = json_object_get(answer, "rows");
    int name_width = name_width_of(rows, lines->width != 0 ? lines->width - FIGURES_WIDTH : 63);
    size_t i, shown = 0;
    json_t *row;
    head_text(cli_text(answer, "by"), name_width, text);
    put_line(lines, text);
    row_text("(all requests)", json_object_get(answer, "all"), name_width, text);
    put_line(lines, text);
    json_array_foreach(rows, i, row)
    {
        if (lines->room < 2 && i + 1 < json_array_size(rows))
            break;
        row_text(cli_text(row, "name"), row, name_width, text);
        put_line(lines, text);
        shown++;
    }
    long long left_out = cli_number(answer, "left_out") + (long long)(json_array_size(rows) - shown);
    if (left_out != 0) {
        snprintf(text, sizeof(text), "%lld more rows are left out%s", left_out,
                 lines->live ? "" : " (--limit, at most 1000)");
        put_line(lines, text);
    }
}

static void put_table(lines_t *lines, const json_t *answer)
{
    char text[ROW_BYTES];
    if (!has_begun(answer)) {
        put_line(lines, "The workers count from now on: the first figures come in a second.");
        return;
    }
    double seconds = (double)cli_number(answer, "window_ms") / 1000;
    snprintf(text, sizeof(text), "by %s, last %.*f s, sorted by %s", cli_text(answer, "by"), seconds < 1,
             seconds, cli_text(answer, "sort"));
    put_line(lines, text);
    const char *note = json_string_value(json_object_get(answer, "note"));
    if (note != NULL && lines->live)
        put_line(lines, note);
    put_line(lines, "");
    put_rows(lines, answer);
}

/* ---- once ---- */

typedef struct view {
    const cli_t *cli;
    size_t by, sort;
    unsigned long long limit;
} view_t;

static void target_of(const view_t *view, char out[128])
{
    snprintf(out, 128, "/v1/traffic?by=%s&sort=%s&limit=%llu", bys[view->by], sorts[view->sort], view->limit);
}

/* Asks until figures of a second are there. */
static int ask_begun(const view_t *view, json_t **answer)
{
    char target[128];
    target_of(view, target);
    for (int tries = 0;; tries++) {
        int status = cli_request(view->cli, "GET", target, NULL, answer);
        if (status != CLI_OK || has_begun(*answer) || tries == BEGIN_TRIES)
            return status;
        json_decref(*answer);
        if (tries == 0)
            fprintf(stderr, "boxedge: the workers count from now on: the first figures come in a second\n");
        (void)poll(NULL, 0, REFRESH_MS + 100);
    }
}

static int show_once(const view_t *view)
{
    json_t *answer;
    int status = ask_begun(view, &answer);
    if (status != CLI_OK)
        return status;
    if (view->cli->json) {
        cli_print_json(answer);
    } else {
        lines_t lines = {.room = INT32_MAX};
        put_table(&lines, answer);
    }
    status = cli_print_note(answer);
    json_decref(answer);
    return status;
}

/* ---- live ---- */

static void draw(const view_t *view, const json_t *answer, const char *why)
{
    lines_t lines = {.live = true};
    terminal_size(&lines.width, &lines.room);
    fputs("\x1b[H", stdout);
    char text[ROW_BYTES];
    snprintf(text, sizeof(text),
             "boxedge top   q: end   b, p, k, u: by box, preview, key, upstream   s: sort");
    put_line(&lines, text);
    if (answer != NULL) {
        put_table(&lines, answer);
    } else {
        snprintf(text, sizeof(text), "by %s: %.200s", bys[view->by], why);
        put_line(&lines, text);
    }
    fputs("\x1b[J", stdout);
    fflush(stdout);
}

static void refresh(const view_t *view)
{
    char target[128], why[256];
    target_of(view, target);
    char *text = cli_fetch(view->cli, target, why, sizeof(why));
    json_t *answer = text != NULL ? json_loads(text, 0, NULL) : NULL;
    draw(view, answer, text != NULL ? "the answer is not understood" : why);
    json_decref(answer);
    free(text);
}

/* False: the key ends the table. */
static bool take_key(view_t *view, char key)
{
    static const char keys[] = "bpku";
    const char *by = key != '\0' ? strchr(keys, key) : NULL;
    if (by != NULL)
        view->by = (size_t)(by - keys);
    else if (key == 's')
        view->sort = (view->sort + 1) % SORTS;
    return key != 'q' && key != 'Q' && key != TERMINAL_INTERRUPT;
}

/* Waits for the next refresh. False: the table ends. */
static bool wait_for_key(view_t *view)
{
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
    int ready = poll(&in, 1, REFRESH_MS);
    if (terminal_is_ending())
        return false;
    if (ready <= 0) /* time, or another size */
        return true;
    char keys[16];
    ssize_t n = read(STDIN_FILENO, keys, sizeof(keys));
    if (n <= 0)
        return n < 0 && errno == EINTR;
    for (ssize_t i = 0; i < n; i++)
        if (!take_key(view, keys[i]))
            return false;
    return true;
}

static int show_live(view_t *view)
{
    char target[128];
    json_t *answer;
    target_of(view, target);
    int status =
        cli_request(view->cli, "GET", target, NULL, &answer); /* an edge that does not run is an error */
    if (status != CLI_OK)
        return status;
    json_decref(answer);
    if (!terminal_begin()) {
        fprintf(stderr, "boxedge top: the terminal cannot be set: %s\n", strerror(errno));
        return CLI_FAILED;
    }
    do
        refresh(view);
    while (wait_for_key(view));
    terminal_end();
    return CLI_OK;
}

/* ---- the command ---- */

static bool take_word(const char *option, const char *word, const char *const *words, size_t count,
                      size_t *out)
{
    *out = 0;
    if (word == NULL)
        return true;
    for (size_t i = 0; i < count; i++)
        if (strcmp(word, words[i]) == 0) {
            *out = i;
            return true;
        }
    fprintf(stderr, "boxedge top: %s must be one of", option);
    for (size_t i = 0; i < count; i++)
        fprintf(stderr, "%s %s", i == 0 ? "" : ",", words[i]);
    fputc('\n', stderr);
    return false;
}

static bool take_limit(const cli_t *cli, unsigned long long *out)
{
    uint64_t limit = 100;
    if (cli->limit != NULL && (!str_to_uint(str_from(cli->limit), TRAFFIC_ROWS_MAX, &limit) || limit == 0)) {
        fprintf(stderr, "boxedge top: --limit must be a number from 1 to %d\n", TRAFFIC_ROWS_MAX);
        return false;
    }
    *out = limit;
    return true;
}

int cmd_top(int argc, char **argv)
{
    static const cli_verb_t verbs[] = {{"", ""}, {NULL, NULL}};
    cli_t cli;
    if (!cli_parse(argc, argv, CLI_JSON | CLI_LIMIT | CLI_TOP, &cli))
        return CLI_USAGE;
    if (cli.help)
        return usage(stdout, CLI_OK);
    if (cli.arg_count != 0) {
        cli_explain_words(&cli, "top", verbs);
        return usage(stderr, CLI_USAGE);
    }
    view_t view = {.cli = &cli};
    if (!take_word("--by", cli.by, bys, BYS, &view.by) ||
        !take_word("--sort", cli.sort, sorts, SORTS, &view.sort) || !take_limit(&cli, &view.limit))
        return CLI_USAGE;
    bool live = !cli.json && !cli.once && isatty(STDOUT_FILENO) && isatty(STDIN_FILENO);
    return live ? show_live(&view) : show_once(&view);
}
