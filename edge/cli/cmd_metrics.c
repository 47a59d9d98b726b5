/*
 * Prints the metrics of the running edge. Prometheus reads them from a listener of kind metrics.
 */
#include "commands.h"

#include <stdlib.h>

#include "cli.h"
#include "cli_words.h"
#include "metrics.h"

static int usage(FILE *out, int status)
{
    fprintf(out, "usage: boxedge metrics [OPTION]...\n"
                 "       boxedge metrics reference\n\n"
                 "Prints the metrics of the running edge in the text format of Prometheus. For Prometheus\n"
                 "itself, give the edge a listener: {kind: metrics} in `listeners`. `reference` prints what\n"
                 "each metric means, as a table in Markdown.\n\n");
    fputs(cli_common_help, out);
    return status;
}

int cmd_metrics(int argc, char **argv)
{
    cli_t cli;
    char *text;
    if (!cli_parse(argc, argv, 0, &cli))
        return CLI_USAGE;
    if (cli.help)
        return usage(stdout, CLI_OK);
    if (cli.arg_count == 1 && strcmp(cli.args[0], "reference") == 0)
        return metrics_print_reference(stdout) ? CLI_OK : CLI_FAILED;
    if (cli.arg_count != 0) {
        static const cli_verb_t none[] = {{"reference", ""}, {NULL, NULL}};
        cli_explain_words(&cli, "metrics", none);
        return usage(stderr, CLI_USAGE);
    }
    int status = cli_request_text(&cli, "/metrics", "the edge has no metrics", &text);
    if (status != CLI_OK)
        return status;
    fputs(text, stdout);
    free(text);
    return CLI_OK;
}
