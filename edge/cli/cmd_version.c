#include "commands.h"

#include "cli_words.h"

int cmd_version(int argc, char **argv)
{
    cli_t cli;
    if (!cli_parse(argc, argv, 0, &cli))
        return CLI_USAGE;
    if (!cli.help && cli.arg_count != 0) {
        static const cli_verb_t none[] = {{"", ""}, {NULL, NULL}};
        cli_explain_words(&cli, "version", none);
    }
    if (cli.help || cli.arg_count != 0) {
        fprintf(cli.help ? stdout : stderr, "usage: boxedge version\n");
        return cli.help ? CLI_OK : CLI_USAGE;
    }
    printf("boxedge %s\n", BOXEDGE_VERSION);
    return CLI_OK;
}
