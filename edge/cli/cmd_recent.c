/*
 * `boxedge recent`: the latest access lines that the workers keep in memory, or those about a box, a host, a
 * client, a key, a reason or a request id.
 */
#include "commands.h"

#include "cli.h"
#include "recent_lines.h"

/* Maximum bytes of a text in a line of the table. */
#define TEXT_BYTES 320

static int usage(FILE *out, int status)
{
    fprintf(
        out,
        "usage: boxedge recent [TEXT] [OPTION]...\n\n"
        "Shows the latest ended requests, the newest first: time, status, duration, client, request,\n"
        "reason and id. The workers keep their access lines in memory, 8 MiB in all, which are at least\n"
        "10,000 lines of a usual length, wherever log.access writes them. With log.access: off there are\n"
        "none.\n\n"
        "With TEXT shows only requests whose id, box, client address, API key or reason it is, or whose\n"
        "host begins with it (box-port, or the whole name).\n\n"
        "  -n, --limit NUMBER  at most this number of requests (100; at most 200)\n"
        "  --json             print the answer of the admin API, with all fields of the lines\n");
    fputs(cli_common_help, out);
    return status;
}

/* A text of a stranger, which may have bytes that a terminal obeys. */
static const char *shown(const json_t *line, const char *name, char out[TEXT_BYTES])
{
    const char *text = json_string_value(json_object_get(line, name));
    size_t n = 0;
    for (; text != NULL && text[n] != '\0' && n + 1 < TEXT_BYTES; n++)
        out[n] = text[n] > 0x20 && text[n] < 0x7f ? text[n] : '?';
    out[n] = '\0';
    return n != 0 || text != NULL ? out : "-";
}

static void print_line(const json_t *line)
{
    char time[TEXT_BYTES], client[TEXT_BYTES], method[TEXT_BYTES], host[TEXT_BYTES], path[TEXT_BYTES];
    char reason[TEXT_BYTES], id[TEXT_BYTES];
    printf("%-24s  %6lld  %8.0fms  %-15s  %-24s  %-32s  %s %s%s\n", shown(line, "time", time),
           cli_number(line, "status"), json_number_value(json_object_get(line, "duration_ms")),
           shown(line, "client", client), shown(line, "reason", reason), shown(line, "request_id", id),
           shown(line, "method", method), shown(line, "host", host), shown(line, "path", path));
}

static void print_lines(const json_t *answer)
{
    size_t i;
    json_t *line;
    const json_t *lines = json_object_get(answer, "lines");
    if (json_array_size(lines) == 0) {
        printf("None of the %lld recent requests is of this kind.\n", cli_number(answer, "kept"));
        return;
    }
    printf("%-24s  %6s  %10s  %-15s  %-24s  %-32s  %s\n", "TIME", "STATUS", "TOOK", "CLIENT", "REASON", "ID",
           "REQUEST");
    json_array_foreach(lines, i, line)
    {
        print_line(line);
    }
}

static bool target_of(const cli_t *cli, char *out, size_t len)
{
    uint64_t limit = 100;
    const char *find = cli->arg_count != 0 ? cli->args[0] : "";
    if (cli->limit != NULL && (!str_to_uint(str_from(cli->limit), RECENT_LINES_MAX, &limit) || limit == 0)) {
        fprintf(stderr, "boxedge recent: --limit must be a number from 1 to %d\n", RECENT_LINES_MAX);
        return false;
    }
    if (cli->arg_count != 0 && !recent_find_valid(str_from(find))) {
        fprintf(stderr, "boxedge recent: \"%s\" is no id, host, address, key or reason\n", find);
        return false;
    }
    snprintf(out, len, "/v1/recent?limit=%llu&find=%s", (unsigned long long)limit, find);
    return true;
}

int cmd_recent(int argc, char **argv)
{
    cli_t cli;
    char target[512];
    if (!cli_parse(argc, argv, CLI_JSON | CLI_LIMIT, &cli))
        return CLI_USAGE;
    if (cli.help)
        return usage(stdout, CLI_OK);
    if (cli.arg_count > 1) {
        fprintf(stderr, "boxedge recent: too many arguments\n\n");
        return usage(stderr, CLI_USAGE);
    }
    if (!target_of(&cli, target, sizeof(target)))
        return CLI_USAGE;
    return cli_show_partly(&cli, "GET", target, print_lines);
}
