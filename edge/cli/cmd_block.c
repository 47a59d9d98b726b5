#include "commands.h"

#include <assert.h>

#include "cli_words.h"

static int usage(FILE *out, const char *command, int status)
{
    static const char block[] =
        "usage: boxedge block box BOX [OPTION]...            refuse every request for a box\n"
        "       boxedge block preview BOX PORT [OPTION]...   refuse requests for one of its ports\n"
        "       boxedge block cidr NETWORK [OPTION]...       refuse a client or a network\n"
        "       boxedge block list [OPTION]...               list the blocks\n\n"
        "Every worker answers blocked requests with 403 at once and closes their open WebSockets.\n"
        "NETWORK is an address or a network: 192.0.2.7, 192.0.2.0/24, 2001:db8::/32. A block stays\n"
        "until `boxedge unblock` removes it, even if the box or preview is deleted and made again.\n\n";
    static const char unblock[] =
        "usage: boxedge unblock box BOX [OPTION]...            remove the block of a box\n"
        "       boxedge unblock preview BOX PORT [OPTION]...   remove the block of one of its ports\n"
        "       boxedge unblock cidr NETWORK [OPTION]...       remove the block of a client or a network\n\n"
        "`boxedge block list` shows the blocks. Write NETWORK as that list does.\n\n";
    fputs(strcmp(command, "block") == 0 ? block : unblock, out);
    fputs("  --json             print the answer of the admin API\n", out);
    fputs(cli_common_help, out);
    return status;
}

#define VALUE_BYTES 128

/* The value of "box BOX", "preview BOX PORT" (or BOX-PORT, as in lists), or "cidr NETWORK". False for too
 * few, too many or too long words. */
static bool take_value(const cli_t *cli, char value[VALUE_BYTES])
{
    bool two = cli->arg_count == 3 && strcmp(cli->args[0], "preview") == 0;
    if (cli->arg_count != 2 && !two)
        return false;
    int n = snprintf(value, VALUE_BYTES, "%s%s%s", cli->args[1], two ? "-" : "", two ? cli->args[2] : "");
    return n >= 0 && n < VALUE_BYTES;
}

static void print_blocked(const json_t *answer)
{
    printf("The %s %s is blocked.\n", cli_text(answer, "kind"), cli_text(answer, "value"));
}

static int block(const cli_t *cli, const char *value)
{
    json_t *body = json_pack("{s:s,s:s}", "kind", cli->args[0], "value", value);
    if (body == NULL) {
        fprintf(stderr, "boxedge: the value to block is not plain text\n");
        return CLI_USAGE;
    }
    return cli_show(cli, "POST", "/v1/blocks", body, print_blocked);
}

/* Whether the text is safe in a path of the admin API, which checks the rest. */
static bool fits_path(const char *text)
{
    for (const char *c = text; *c != '\0'; c++)
        if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:/", *c) == NULL)
            return false;
    return strlen(text) < VALUE_BYTES;
}

static void print_unblocked(const json_t *answer)
{
    printf("The %s %s is no longer blocked.\n", cli_text(answer, "kind"), cli_text(answer, "value"));
}

static int unblock(const cli_t *cli, const char *value)
{
    char target[320];
    if (!fits_path(cli->args[0]) || !fits_path(value)) {
        fprintf(stderr, "boxedge: \"%s %s\" cannot be blocked\n", cli->args[0], value);
        return CLI_USAGE;
    }
    int n = snprintf(target, sizeof target, "/v1/blocks/%s/%s", cli->args[0], value);
    assert(n > 0 && (size_t)n < sizeof target);
    return cli_show(cli, "DELETE", target, NULL, print_unblocked);
}

static void print_list(const json_t *answer)
{
    const json_t *blocks = json_object_get(answer, "blocks");
    size_t i;
    json_t *one;
    if (json_array_size(blocks) == 0) {
        printf("Nothing is blocked.\n");
        return;
    }
    printf("%-8s  %-16s  %s\n", "KIND", "SINCE (UTC)", "VALUE");
    json_array_foreach(blocks, i, one)
    {
        char when[32];
        cli_time(one, "created_at", when);
        printf("%-8s  %-16s  %s\n", cli_text(one, "kind"), when, cli_text(one, "value"));
    }
}

/* Names the wrong word, and prints the usage. */
static int wrong_words(const cli_t *cli, const char *command)
{
    static const cli_verb_t block[] = {
        {"box", "BOX"}, {"preview", "BOX PORT"}, {"cidr", "NETWORK"}, {"list", ""}, {NULL, NULL}};
    static const cli_verb_t unblock[] = {
        {"box", "BOX"}, {"preview", "BOX PORT"}, {"cidr", "NETWORK"}, {NULL, NULL}};
    cli_explain_words(cli, command, strcmp(command, "block") == 0 ? block : unblock);
    return usage(stderr, command, CLI_USAGE);
}

/* Runs `act` on the value of the command line. `lists`: the command also has the verb `list`. */
static int run(int argc, char **argv, bool lists, int (*act)(const cli_t *cli, const char *value))
{
    cli_t cli;
    char value[VALUE_BYTES];
    if (!cli_parse(argc, argv, CLI_JSON, &cli))
        return CLI_USAGE;
    if (cli.help)
        return usage(stdout, argv[0], CLI_OK);
    if (lists && cli.arg_count == 1 && strcmp(cli.args[0], "list") == 0)
        return cli_show(&cli, "GET", "/v1/blocks", NULL, print_list);
    return take_value(&cli, value) ? act(&cli, value) : wrong_words(&cli, argv[0]);
}

int cmd_block(int argc, char **argv)
{
    return run(argc, argv, true, block);
}

int cmd_unblock(int argc, char **argv)
{
    return run(argc, argv, false, unblock);
}
