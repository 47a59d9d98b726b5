#include "commands.h"

#include "cli_words.h"

/* Longest host with its port; the edge checks the rest. */
#define HOST_MAX 300

static int usage(FILE *out, int status)
{
    fprintf(out, "usage: boxedge explain HOST [OPTION]...\n\n"
                 "Explains the edge's answer to a request for HOST right now: blocks, the preview and its\n"
                 "access, the box. Sends no request and wakes no box, and looks at no certificate (boxedge\n"
                 "check does). HOST may be a whole URL.\n\n"
                 "  --client ADDRESS   compare blocked networks with this address of a client\n"
                 "  --json             print the answer of the admin API\n");
    fputs(cli_common_help, out);
    return status;
}

static void print_outcome(const json_t *answer)
{
    const char *code = json_string_value(json_object_get(answer, "code"));
    const char *origin = json_string_value(json_object_get(answer, "origin"));
    const char *upstream = json_string_value(json_object_get(answer, "upstream"));
    const char *who = json_is_false(json_object_get(answer, "public")) ? "with its credentials " : "";
    if (code != NULL)
        printf("A request gets %lld %s from the edge.\n", cli_number(answer, "status"), code);
    else if (upstream != NULL)
        printf("A request goes to a server of the upstream %s, within the limits of its key.\n", upstream);
    else if (json_is_true(json_object_get(answer, "wakes")))
        printf("A request %swakes the box, waits for its port, and goes there.\n", who);
    else
        printf("A request %sgoes to %s.\n", who, origin != NULL ? origin : "the box");
}

static void print_answer(const json_t *answer)
{
    size_t i;
    json_t *finding;
    printf("%s\n\n", cli_text(answer, "host"));
    json_array_foreach(json_object_get(answer, "findings"), i, finding)
    {
        printf("  %-9s %s\n", cli_text(finding, "subject"), cli_text(finding, "finding"));
    }
    putchar('\n');
    print_outcome(answer);
}

/* The host and port of a URL, or all of another text. */
static str_t host_of(const char *text)
{
    const char *scheme = strstr(text, "://");
    const char *host = scheme != NULL ? scheme + 3 : text;
    return str_make(host, strcspn(host, "/?#"));
}

/* Letters, digits and the marks of hosts and addresses, which need no encoding in a query. */
static bool is_plain(str_t text)
{
    static const char marks[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-_:[]";
    return text.n != 0 && text.n <= HOST_MAX && strspn(text.p, marks) >= text.n;
}

static int explain(const cli_t *cli)
{
    str_t host = host_of(cli->args[0]);
    char target[2 * HOST_MAX + 64];
    if (!is_plain(host)) {
        fprintf(stderr, "boxedge explain: \"%s\" is not a host\n", cli->args[0]);
        return CLI_USAGE;
    }
    if (cli->client != NULL && !is_plain(str_from(cli->client))) {
        fprintf(stderr, "boxedge explain: \"%s\" is not an address\n", cli->client);
        return CLI_USAGE;
    }
    snprintf(target, sizeof target, "/v1/explain?host=%.*s%s%s", STR_ARG(host),
             cli->client != NULL ? "&client=" : "", cli->client != NULL ? cli->client : "");
    return cli_show(cli, "GET", target, NULL, print_answer);
}

int cmd_explain(int argc, char **argv)
{
    static const cli_verb_t verbs[] = {{"", "HOST"}, {NULL, NULL}};
    cli_t cli;
    if (!cli_parse(argc, argv, CLI_JSON | CLI_CLIENT, &cli))
        return CLI_USAGE;
    if (cli.help)
        return usage(stdout, CLI_OK);
    if (cli.arg_count == 1)
        return explain(&cli);
    cli_explain_words(&cli, "explain", verbs);
    return usage(stderr, CLI_USAGE);
}
