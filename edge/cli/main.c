/*
 * The command line: the first word selects a command, which has a file of its own (cmd_<name>.c) and gets the
 * rest, with its own name first.
 */
#include <stdio.h>
#include <string.h>

#include "cmd_block.h"
#include "cmd_box.h"
#include "cmd_check.h"
#include "cmd_control.h"
#include "cmd_demo_app.h"
#include "cmd_key.h"
#include "cmd_preview.h"
#include "cmd_run.h"
#include "cmd_status.h"
#include "cmd_upstream.h"
#include "cmd_version.h"

typedef struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} command_t;

static int cmd_help(int argc, char **argv);

/* In the order of the help. */
static const command_t commands[] = {
    {"run", cmd_run, "run the edge"},
    {"check", cmd_check, "report everything that is wrong with a configuration file"},
    {"preview", cmd_preview, "create, change, list and delete previews"},
    {"block", cmd_block, "refuse a box, a preview or a network at once; list what is refused"},
    {"unblock", cmd_unblock, "take a block back"},
    {"box", cmd_box, "list boxes; logs of process boxes, starting and stopping them"},
    {"key", cmd_key, "create, list and revoke API keys, change their plans"},
    {"upstream", cmd_upstream, "list servers of the API, take them out of the rotation and back"},
    {"status", cmd_status, "show how the running edge does"},
    {"reload", cmd_reload, "have the running edge read its configuration again"},
    {"drain", cmd_drain, "have the running edge finish what it has and end"},
    {"demo-app", cmd_demo_app, "serve a small app to try the edge with"},
    {"version", cmd_version, "print the version"},
    {"help", cmd_help, "print this"},
};

#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

static void print_help(FILE *out)
{
    fprintf(out, "usage: boxedge COMMAND [OPTION]...\n\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].help);
    fprintf(out, "\n`boxedge COMMAND --help` says what a command takes.\n");
}

static int cmd_help(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    print_help(stdout);
    return 0;
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
            return commands[i].run(argc - 1, argv + 1);
    fprintf(stderr, "boxedge: there is no command \"%s\"; see boxedge --help\n", name);
    return 2;
}
