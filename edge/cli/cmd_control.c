#include "commands.h"

#include "cli_words.h"

static int usage(FILE *out, const char *name, const char *what, int status)
{
    fprintf(out, "usage: boxedge %s [OPTION]...\n\n%s\n\n%s", name, what, cli_common_help);
    return status;
}

/* Posts to the admin API; prints `done` on success. */
static int post(int argc, char **argv, const char *what, const char *target, const char *done)
{
    cli_t cli;
    if (!cli_parse(argc, argv, 0, &cli))
        return CLI_USAGE;
    if (cli.help)
        return usage(stdout, argv[0], what, CLI_OK);
    if (cli.arg_count != 0) {
        static const cli_verb_t none[] = {{"", ""}, {NULL, NULL}};
        cli_explain_words(&cli, argv[0], none);
        return usage(stderr, argv[0], what, CLI_USAGE);
    }
    json_t *answer;
    int status = cli_request(&cli, "POST", target, NULL, &answer);
    if (status != CLI_OK)
        return status;
    size_t i;
    const json_t *line;
    json_array_foreach(json_object_get(answer, "warnings"), i, line)
        fprintf(stderr, "%s\n", json_string_value(line));
    printf("%s\n", done);
    json_decref(answer);
    return CLI_OK;
}

int cmd_reload(int argc, char **argv)
{
    return post(
        argc, argv,
        "Reloads the configuration. If it has errors, they are printed and the old one stays in force.",
        "/v1/reload", "The configuration was reloaded.");
}

int cmd_drain(int argc, char **argv)
{
    return post(argc, argv,
                "Ends the edge gracefully: it accepts no new connections, and open requests have\n"
                "`timeouts.drain` to finish.",
                "/v1/drain",
                "The edge accepts no new connections and ends when the open ones have finished.");
}
