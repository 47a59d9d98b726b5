#include "commands.h"

#include "cli_words.h"
#include "cmd_box_process.h"

static int usage(FILE *out, int status)
{
    fprintf(out,
            "usage: boxedge box list [OPTION]...          show the boxes that the edge knows\n"
            "       boxedge box logs BOX [OPTION]...      show the latest output of a box\n"
            "       boxedge box start BOX [OPTION]...     start or thaw a process box, as a request does\n"
            "       boxedge box stop BOX [OPTION]...      stop a process box; the next request starts it\n\n"
            "Process boxes are the entries of `processes` in the configuration. `logs` also shows\n"
            "containers. The edge has no log of other boxes.\n\n"
            "  -n, --lines N      logs: show the last N lines (default 200)\n"
            "  -f, --follow       logs: keep showing new lines, until Ctrl-C\n"
            "  --json             print the answer of the admin API\n");
    fputs(cli_common_help, out);
    return status;
}

/* "3000, 3001"; "all" if every port may have a preview, "none" if no port may; then the box's fixed port. */
static void print_ports(const json_t *box)
{
    const json_t *ports = json_object_get(box, "ports");
    json_int_t fixed = cli_number(box, "port");
    bool none = json_integer_value(json_array_get(ports, 0)) == 0; /* port 0 stands for no port */
    if (none)
        printf("%s", json_array_size(ports) == 0 ? "all" : "none");
    for (size_t i = 0; i < json_array_size(ports) && !none; i++)
        printf("%s%lld", i != 0 ? ", " : "", (long long)json_integer_value(json_array_get(ports, i)));
    if (fixed != 0)
        printf(", at port %lld of the box", (long long)fixed);
}

/* The edge's action on an unused box: its idle time, or "kept". */
static void idle_of(const json_t *box, char out[32])
{
    json_int_t ms = cli_number(box, "idle_ms");
    bool kept = json_is_true(json_object_get(box, "keep_alive"));
    snprintf(out, 32, "%s", kept ? "kept" : "-");
    if (kept || ms == 0)
        return;
    if (ms < 1000)
        snprintf(out, 32, "%lldms", (long long)ms);
    else
        cli_duration(ms / 1000, out);
}

static int longest(const json_t *boxes, const char *key, int width)
{
    size_t i;
    json_t *box;
    json_array_foreach(boxes, i, box)
    {
        int len = (int)strlen(cli_text(box, key));
        width = len > width ? len : width;
    }
    return width;
}

static void print_table(const json_t *boxes)
{
    int ids = longest(boxes, "box", 3), addresses = longest(boxes, "address", 7);
    size_t i;
    json_t *box;
    printf("%-*s  %-7s  %-8s  %-*s  %-16s  %-8s  %-8s  %s\n", ids, "BOX", "STATE", "PROVIDER", addresses,
           "ADDRESS", "GENERATION", "IDLE", "EXPIRES", "PORTS");
    json_array_foreach(boxes, i, box)
    {
        char idle[32], left[32];
        idle_of(box, idle);
        cli_left(box, left);
        printf("%-*s  %-7s  %-8s  %-*s  %-16lld  %-8s  %-8s  ", ids, cli_text(box, "box"),
               cli_text(box, "state"), cli_text(box, "provider"), addresses, cli_text(box, "address"),
               cli_number(box, "generation"), idle, left);
        print_ports(box);
        printf("%s\n", json_is_true(json_object_get(box, "ephemeral")) ? "; ephemeral" : "");
    }
}

static void print_list(const json_t *answer)
{
    const json_t *boxes = json_object_get(answer, "boxes");
    if (json_array_size(boxes) == 0)
        printf("No boxes are known. They are declared under `boxes` or `processes` in the configuration, or "
               "come from `docker` or `control_plane`.\n");
    else
        print_table(boxes);
}

static int list(const cli_t *cli)
{
    json_t *answer;
    int status = cli_request(cli, "GET", "/v1/boxes", NULL, &answer);
    if (status != CLI_OK)
        return status;
    if (cli->json)
        cli_print_json(answer);
    else
        print_list(answer);
    if (json_is_true(json_object_get(answer, "truncated"))) {
        fprintf(stderr, "boxedge: the edge knows more boxes than these %zu.\n",
                json_array_size(json_object_get(answer, "boxes")));
        status = CLI_PARTLY;
    }
    json_decref(answer);
    return status;
}

/* Names the wrong word, and prints the usage. */
static int wrong_words(const cli_t *cli)
{
    static const cli_verb_t verbs[] = {
        {"list", ""}, {"logs", "BOX"}, {"start", "BOX"}, {"stop", "BOX"}, {NULL, NULL}};
    cli_explain_words(cli, "box", verbs);
    return usage(stderr, CLI_USAGE);
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
        return wrong_words(&cli);
    return list(&cli);
}
