#include "cmd_box.h"

#include "cli.h"
#include "cmd_box_process.h"

static int usage(FILE *out, int status)
{
    fprintf(out,
            "usage: boxedge box list [OPTION]...          show the boxes that the edge knows\n"
            "       boxedge box logs BOX [OPTION]...      show what a process box wrote lately\n"
            "       boxedge box start BOX [OPTION]...     start or thaw a process box, as a request does\n"
            "       boxedge box stop BOX [OPTION]...      stop a process box; the next request starts it\n\n"
            "Process boxes are those under `processes` in the configuration.\n\n"
            "  -n, --lines N      of logs: the last N lines; by default 200\n"
            "  -f, --follow       of logs: go on with what comes, until Ctrl-C\n"
            "  --json             the answer of the admin API\n");
    fputs(cli_common_help, out);
    return status;
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "-";
}

static void print_table(const json_t *boxes)
{
    size_t i;
    json_t *box;
    int width = 3;
    json_array_foreach(boxes, i, box)
    {
        int len = (int)strlen(text_of(box, "box"));
        width = len > width ? len : width;
    }
    printf("%-*s  %-8s  %s\n", width, "BOX", "STATE", "ADDRESS");
    json_array_foreach(boxes, i, box)
    {
        printf("%-*s  %-8s  %s", width, text_of(box, "box"), text_of(box, "state"), text_of(box, "address"));
        json_int_t port = json_integer_value(json_object_get(box, "port"));
        if (port != 0)
            printf(" port %lld, whatever the preview's", (long long)port);
        putchar('\n');
    }
}

int cmd_box(int argc, char **argv)
{
    cli_t cli;
    if (!cli_parse(argc, argv, CLI_JSON | CLI_LOGS, &cli))
        return CLI_USAGE;
    if (cli.help)
        return usage(stdout, CLI_OK);
    if (cli.arg_count == 2 && cmd_box_process_takes(cli.args[0]))
        return cmd_box_process(&cli);
    if (cli.arg_count != 1 || strcmp(cli.args[0], "list") != 0)
        return usage(stderr, CLI_USAGE);
    json_t *answer;
    int status = cli_request(&cli, "GET", "/v1/boxes", NULL, &answer);
    if (status != CLI_OK)
        return status;
    const json_t *boxes = json_object_get(answer, "boxes");
    if (cli.json)
        cli_print_json(answer);
    else if (json_array_size(boxes) == 0)
        printf(
            "No boxes are known. Boxes of the static provider stand under `boxes` in the configuration.\n");
    else
        print_table(boxes);
    if (!cli.json && json_is_true(json_object_get(answer, "truncated")))
        printf("... and more.\n");
    json_decref(answer);
    return CLI_OK;
}
