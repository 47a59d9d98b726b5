/*
 * The command line: the first word selects a command, which has its own file (cmd_<name>.c) and gets the
 * rest, with its own name first.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "commands.h"
#include "dev.h"

typedef struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} command_t;

static int cmd_help(int argc, char **argv);

/* In the order of the help. */
static const command_t commands[] = {
    {"run", cmd_run, "run the edge"},
    {"check", cmd_check, "list all errors of a configuration file"},
    {"preview", cmd_preview, "create, change, list and delete previews"},
    {"block", cmd_block, "block a box, a preview or a network at once; list the blocks"},
    {"unblock", cmd_unblock, "remove a block"},
    {"box", cmd_box, "list boxes; show their logs, start and stop process boxes"},
    {"key", cmd_key, "create, list and revoke API keys, change their plans"},
    {"upstream", cmd_upstream, "list the API's servers, take them out of rotation and back"},
    {"store", cmd_store, "check the store, back it up and restore it"},
    {"explain", cmd_explain, "explain the edge's answer to a request for a host"},
    {"status", cmd_status, "show the state of the running edge"},
    {"top", cmd_top, "show who makes the requests, live in the terminal"},
    {"requests", cmd_requests, "list the requests in flight, end one of them"},
    {"recent", cmd_recent, "show the latest requests, search among them"},
    {"metrics", cmd_metrics, "print the metrics of the running edge"},
    {"support-bundle", cmd_support_bundle, "collect the parts of a report, without secrets"},
    {"reload", cmd_reload, "reload the configuration of the running edge"},
    {"upgrade", cmd_upgrade, "start the program anew, without a lost request"},
    {"drain", cmd_drain, "finish open requests, then end the running edge"},
    {"dev", cmd_dev, "run a dev server, and open it in a browser"},
    {"trust", cmd_trust, "make browsers and this system trust the local authority"},
    {"untrust", cmd_untrust, "undo trust"},
    {"demo-app", cmd_demo_app, "serve a small app to try the edge with"},
    {"version", cmd_version, "print the version"},
    {"help", cmd_help, "print this"},
};

#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

static void print_help(FILE *out)
{
    fprintf(out, "usage: boxedge COMMAND [OPTION]...\n\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        fprintf(out, "  %-14s %s\n", commands[i].name, commands[i].help);
    fprintf(out, "\n`boxedge COMMAND --help` describes a command.\n");
}

static int cmd_help(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    print_help(stdout);
    return 0;
}

/* A command whose output is lost, as on a full disk, has not done all of it. */
static int check_output(const char *name, int status)
{
    bool flushed = fflush(stdout) == 0;
    if (flushed && ferror(stdout) == 0)
        return status;
    fprintf(stderr, "boxedge %s: not all of its output could be written%s%s; a change that it made stays\n",
            name, flushed ? "" : ": ", flushed ? "" : strerror(errno));
    return status == CLI_OK ? CLI_PARTLY : status;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return 2;
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        name = "help";
    else if (strcmp(name, "--version") == 0)
        name = "version";
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(name, commands[i].name) == 0)
            return check_output(name, commands[i].run(argc - 1, argv + 1));
    fprintf(stderr, "boxedge: unknown command \"%s\"; see boxedge --help\n", name);
    return 2;
}
