/*
 * `boxedge box logs|start|stop`.
 */
#include "cmd_box_process.h"

#include <assert.h>
#include <time.h>

#include "box_id.h"

/* Interval of requests while a log is followed. */
#define FOLLOW_MS 300

bool cmd_box_process_takes(const char *verb)
{
    return strcmp(verb, "logs") == 0 || strcmp(verb, "start") == 0 || strcmp(verb, "stop") == 0;
}

/* The length of "ESC [ digits and ; m" at the start of `s`; 0: none. */
static size_t colour_length(str_t s)
{
    size_t n = 2;
    if (s.n < 3 || s.p[0] != 0x1b || s.p[1] != '[')
        return 0;
    while (n < s.n && ((s.p[n] >= '0' && s.p[n] <= '9') || s.p[n] == ';'))
        n++;
    return n < s.n && s.p[n] == 'm' ? n + 1 : 0;
}

/* C0 and DEL, and C1, which is two bytes in UTF-8. */
static bool is_control(str_t s)
{
    unsigned char c = (unsigned char)s.p[0];
    if (c == 0xc2 && s.n > 1 && (unsigned char)s.p[1] < 0xa0)
        return true;
    return (c < 0x20 && c != '\n' && c != '\t') || c == 0x7f;
}

/*
 * Takes the next piece of a box's output off `*rest` that is safe for a terminal. Of control characters it
 * keeps only tabs, line ends and sequences that set colours; others become '?'.
 */
static str_t take_piece(str_t *rest)
{
    size_t n = 0;
    while (n < rest->n && !is_control(str_from_offset(*rest, n)))
        n++;
    str_t piece = str_make(rest->p, n);
    if (n == 0 && rest->n > 0) {
        n = colour_length(*rest);
        piece = n > 0 ? str_make(rest->p, n) : STR("?");
        if (rest->p[0] == '\r' && rest->n > 1 && rest->p[1] == '\n') {
            piece = STR("\n");
            n = 2;
        }
        if (n == 0)
            n = (unsigned char)rest->p[0] == 0xc2 ? 2 : 1;
    }
    *rest = str_from_offset(*rest, n);
    return piece;
}

static void print_log(const json_t *answer)
{
    const json_t *text = json_object_get(answer, "text");
    str_t rest = str_make(json_string_value(text), json_string_length(text));
    while (rest.n > 0) {
        str_t piece = take_piece(&rest);
        fwrite(piece.p, 1, piece.n, stdout);
    }
    fflush(stdout);
}

static int follow(const cli_t *cli, const char *box, json_int_t end)
{
    for (;;) {
        static const struct timespec pause = {.tv_nsec = FOLLOW_MS * 1000000L};
        char target[128];
        json_t *answer;
        (void)nanosleep(&pause, NULL);
        (void)snprintf(target, sizeof(target), "/v1/boxes/%s/log?from=%lld", box, (long long)end);
        int status = cli_request(cli, "GET", target, NULL, &answer);
        if (status != CLI_OK)
            return status;
        print_log(answer);
        end = json_integer_value(json_object_get(answer, "end"));
        json_decref(answer);
        if (ferror(stdout))
            return CLI_OK; /* the reader of stdout has gone, or its disk is full: main reports it */
    }
}

static int logs(const cli_t *cli, const char *box)
{
    char target[128];
    uint64_t lines = 200;
    json_t *answer;
    if (cli->lines != NULL && (!str_to_uint(str_from(cli->lines), INT32_MAX, &lines) || lines == 0)) {
        fprintf(stderr, "boxedge box: --lines takes a number of 1 or more\n");
        return CLI_USAGE;
    }
    (void)snprintf(target, sizeof(target), "/v1/boxes/%s/log?lines=%llu", box, (unsigned long long)lines);
    int status = cli_request(cli, "GET", target, NULL, &answer);
    if (status != CLI_OK)
        return status;
    json_int_t end = json_integer_value(json_object_get(answer, "end"));
    if (cli->json)
        cli_print_json(answer);
    else
        print_log(answer);
    if (!cli->json && end == 0 && !cli->follow)
        fprintf(stderr, "%s has written nothing%s.\n", box,
                strcmp(cli_text(answer, "provider"), "process") == 0
                    ? ": it has not run since the edge started"
                    : "");
    json_decref(answer);
    return cli->follow && !cli->json ? follow(cli, box, end) : CLI_OK;
}

static void print_started(const json_t *answer)
{
    printf("%s runs.\n", cli_text(answer, "box"));
}

static void print_stopped(const json_t *answer)
{
    printf("%s is stopped.\n", cli_text(answer, "box"));
}

static int act(const cli_t *cli, const char *verb, const char *box)
{
    char target[128];
    (void)snprintf(target, sizeof(target), "/v1/processes/%s/%s", box, verb);
    return cli_show(cli, "POST", target, NULL, strcmp(verb, "start") == 0 ? print_started : print_stopped);
}

int cmd_box_process(const cli_t *cli)
{
    const char *verb = cli->args[0], *box = cli->args[1];
    assert(cmd_box_process_takes(verb));
    if (!box_id_valid(str_from(box))) {
        fprintf(stderr, "boxedge box: \"%s\" is not a box id\n", box);
        return CLI_USAGE;
    }
    return strcmp(verb, "logs") == 0 ? logs(cli, box) : act(cli, verb, box);
}
