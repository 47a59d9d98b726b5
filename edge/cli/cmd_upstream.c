#include "commands.h"

#include "cli_words.h"
#include "conf.h"

static int usage(FILE *out, int status)
{
    fprintf(out,
            "usage: boxedge upstream list [OPTION]...                     show the servers and their health\n"
            "       boxedge upstream drain UPSTREAM SERVER [OPTION]...    stop sending requests to a server\n"
            "       boxedge upstream undrain UPSTREAM SERVER [OPTION]...  use a server again\n\n"
            "UPSTREAM is the name of one of `upstreams` in the configuration, SERVER the address of one of\n"
            "its servers as written there: api.internal:8080. A drained server finishes its open requests.\n"
            "If its name has several addresses, all of them are drained. It stays drained until `undrain`\n"
            "or a restart of the edge; a reload does not change this.\n\n"
            "  --json             print the answer of the admin API\n");
    fputs(cli_common_help, out);
    return status;
}

/* ---- list ---- */

static const char *state_of(const json_t *server, char out[64])
{
    long long ejected = cli_number(server, "ejected_ms");
    if (json_is_null(json_object_get(server, "address")))
        snprintf(out, 64, "unresolved");
    else if (json_is_true(json_object_get(server, "drained")))
        snprintf(out, 64, cli_number(server, "in_flight") > 0 ? "draining" : "drained");
    else if (!json_is_true(json_object_get(server, "up")))
        snprintf(out, 64, "down");
    else if (ejected > 0)
        snprintf(out, 64, "ejected %llds", (ejected + 999) / 1000);
    else
        snprintf(out, 64, "up");
    return out;
}

static void print_server(const char *upstream, const json_t *server)
{
    char state[64];
    printf("%-16s  %-28s  %-21s  %-12s  %9lld  %10.1f  %10lld  %8lld  %9lld\n", upstream,
           cli_text(server, "server"), cli_text(server, "address"), state_of(server, state),
           cli_number(server, "in_flight"), (double)cli_number(server, "latency_us") / 1000,
           cli_number(server, "requests"), cli_number(server, "failures"), cli_number(server, "ejections"));
}

static void print_list(const json_t *answer)
{
    const json_t *upstreams = json_object_get(answer, "upstreams");
    size_t i, k;
    json_t *upstream, *server;
    if (json_array_size(upstreams) == 0) {
        printf("The configuration has no upstreams.\n");
        return;
    }
    printf("%-16s  %-28s  %-21s  %-12s  %9s  %10s  %10s  %8s  %9s\n", "UPSTREAM", "SERVER", "ADDRESS",
           "STATE", "IN FLIGHT", "LATENCY ms", "REQUESTS", "FAILURES", "EJECTIONS");
    json_array_foreach(upstreams, i, upstream)
    {
        json_array_foreach(json_object_get(upstream, "servers"), k, server)
        {
            print_server(cli_text(upstream, "name"), server);
        }
    }
}

/* ---- drain, undrain ---- */

/* Whether the text may be a name, and so is safe in a path of the admin API, which checks the rest. */
static bool fits_path(const char *name)
{
    size_t n = strlen(name);
    return n >= 1 && n <= CONF_NAME_MAX &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._") == n;
}

static void print_changed(const json_t *answer)
{
    bool drained = json_is_true(json_object_get(answer, "drained"));
    printf("The server %s %s. In flight there: %lld.\n", cli_text(answer, "server"),
           drained ? "gets no new requests" : "is used again", cli_number(answer, "in_flight"));
}

static int change(const cli_t *cli, bool drain)
{
    char target[CONF_NAME_MAX + 32];
    if (!fits_path(cli->args[1])) {
        fprintf(stderr,
                "boxedge: an upstream's name must be 1 to %d letters, digits, \"-\", \".\" and \"_\"\n",
                CONF_NAME_MAX);
        return CLI_USAGE;
    }
    json_t *body = json_pack("{s:s,s:b}", "server", cli->args[2], "drained", drain);
    if (body == NULL) {
        fprintf(stderr, "boxedge: the server is not plain text\n");
        return CLI_USAGE;
    }
    snprintf(target, sizeof(target), "/v1/upstreams/%s", cli->args[1]);
    return cli_show(cli, "PUT", target, body, print_changed);
}

/* Names the wrong word, and prints the usage. */
static int wrong_words(const cli_t *cli)
{
    static const cli_verb_t verbs[] = {
        {"list", ""}, {"drain", "UPSTREAM SERVER"}, {"undrain", "UPSTREAM SERVER"}, {NULL, NULL}};
    cli_explain_words(cli, "upstream", verbs);
    return usage(stderr, CLI_USAGE);
}

int cmd_upstream(int argc, char **argv)
{
    cli_t cli;
    if (!cli_parse(argc, argv, CLI_JSON, &cli))
        return CLI_USAGE;
    if (cli.help)
        return usage(stdout, CLI_OK);
    if (cli.arg_count == 1 && strcmp(cli.args[0], "list") == 0)
        return cli_show(&cli, "GET", "/v1/upstreams", NULL, print_list);
    if (cli.arg_count == 3 && strcmp(cli.args[0], "drain") == 0)
        return change(&cli, true);
    if (cli.arg_count == 3 && strcmp(cli.args[0], "undrain") == 0)
        return change(&cli, false);
    return wrong_words(&cli);
}
