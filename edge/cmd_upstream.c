#include "cmd_upstream.h"

#include "cli.h"
#include "conf.h"

static int usage(FILE *out, int status)
{
    fprintf(
        out,
        "usage: boxedge upstream list [OPTION]...                     show servers and how they do\n"
        "       boxedge upstream drain UPSTREAM SERVER [OPTION]...    send a server nothing new\n"
        "       boxedge upstream undrain UPSTREAM SERVER [OPTION]...  use it again\n\n"
        "UPSTREAM is the name of one of `upstreams` in the configuration, SERVER the address of one of\n"
        "its servers as it stands there: api.internal:8080. A drained server finishes what it has; where\n"
        "its name has several addresses, all of them are drained. It stays so until it is taken back\n"
        "or the edge is started again, whatever is reloaded meanwhile.\n\n"
        "  --json             the answer of the admin API\n");
    fputs(cli_common_help, out);
    return status;
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "-";
}

static long long number_of(const json_t *object, const char *key)
{
    return (long long)json_integer_value(json_object_get(object, key));
}

/* ---- list ---- */

static const char *state_of(const json_t *server, char out[64])
{
    long long ejected = number_of(server, "ejected_ms");
    if (json_is_null(json_object_get(server, "address")))
        snprintf(out, 64, "unresolved");
    else if (json_is_true(json_object_get(server, "drained")))
        snprintf(out, 64, number_of(server, "in_flight") > 0 ? "draining" : "drained");
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
           text_of(server, "server"), text_of(server, "address"), state_of(server, state),
           number_of(server, "in_flight"), (double)number_of(server, "latency_us") / 1000,
           number_of(server, "requests"), number_of(server, "failures"), number_of(server, "ejections"));
}

static void print_table(const json_t *upstreams)
{
    size_t i, k;
    json_t *upstream, *server;
    printf("%-16s  %-28s  %-21s  %-12s  %9s  %10s  %10s  %8s  %9s\n", "UPSTREAM", "SERVER", "ADDRESS",
           "STATE", "IN FLIGHT", "LATENCY ms", "REQUESTS", "FAILURES", "EJECTIONS");
    json_array_foreach(upstreams, i, upstream)
    {
        json_array_foreach(json_object_get(upstream, "servers"), k, server)
        {
            print_server(text_of(upstream, "name"), server);
        }
    }
}

static int list(const cli_t *cli)
{
    json_t *answer;
    int status = cli_request(cli, "GET", "/v1/upstreams", NULL, &answer);
    if (status != CLI_OK)
        return status;
    const json_t *upstreams = json_object_get(answer, "upstreams");
    if (cli->json)
        cli_print_json(answer);
    else if (json_array_size(upstreams) == 0)
        printf("The configuration has no upstreams.\n");
    else
        print_table(upstreams);
    json_decref(answer);
    return CLI_OK;
}

/* ---- drain, undrain ---- */

/* Whether the text may be a name, and so stand in a path of the admin API, which judges the rest. */
static bool fits_path(const char *name)
{
    size_t n = strlen(name);
    return n >= 1 && n <= CONF_NAME_MAX &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._") == n;
}

static int change(const cli_t *cli, bool drain)
{
    char target[CONF_NAME_MAX + 32];
    json_t *answer;
    if (!fits_path(cli->args[1])) {
        fprintf(stderr,
                "boxedge: that is no name of an upstream: 1 to %d letters, digits, \"-\", \".\" and \"_\"\n",
                CONF_NAME_MAX);
        return CLI_USAGE;
    }
    json_t *body = json_pack("{s:s,s:b}", "server", cli->args[2], "drained", drain);
    if (body == NULL) {
        fprintf(stderr, "boxedge: the server is not plain text\n");
        return CLI_USAGE;
    }
    snprintf(target, sizeof(target), "/v1/upstreams/%s", cli->args[1]);
    int status = cli_request(cli, "PUT", target, body, &answer);
    json_decref(body);
    if (status != CLI_OK)
        return status;
    if (cli->json)
        cli_print_json(answer);
    else
        printf(drain ? "The server %s gets nothing new. In flight there: %lld.\n"
                     : "The server %s is used again. In flight there: %lld.\n",
               text_of(answer, "server"), number_of(answer, "in_flight"));
    json_decref(answer);
    return CLI_OK;
}

int cmd_upstream(int argc, char **argv)
{
    cli_t cli;
    if (!cli_parse(argc, argv, CLI_JSON, &cli))
        return CLI_USAGE;
    if (cli.help)
        return usage(stdout, CLI_OK);
    if (cli.arg_count == 1 && strcmp(cli.args[0], "list") == 0)
        return list(&cli);
    if (cli.arg_count == 3 && strcmp(cli.args[0], "drain") == 0)
        return change(&cli, true);
    if (cli.arg_count == 3 && strcmp(cli.args[0], "undrain") == 0)
        return change(&cli, false);
    return usage(stderr, CLI_USAGE);
}
