#include "commands.h"

#include <getopt.h>
#include <stdio.h>

#include "supervisor.h"

#define DEFAULT_CONF "/etc/boxedge/boxedge.yaml"

static void print_help(FILE *out)
{
    fprintf(
        out,
        "usage: boxedge run [-c FILE]\n"
        "\n"
        "Runs the edge in the foreground; messages go to stderr.\n"
        "\n"
        "  -c, --config FILE  the configuration (" DEFAULT_CONF ")\n"
        "      --foreground   the default and only mode; accepted for scripts\n"
        "  -h, --help         print this\n"
        "\n"
        "Signals:\n"
        "  TERM, INT  finish open requests, then end; a second signal ends at once\n"
        "  HUP        reload the configuration and the certificates\n"
        "  USR1       reopen the access log\n"
        "  USR2       start the program's file again, hand it the sockets, finish open requests, then end\n");
}

int cmd_run(int argc, char **argv)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"foreground", no_argument, NULL, 'f'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    const char *path = DEFAULT_CONF;
    int option;

    optind = 1;
    while ((option = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
        switch (option) {
        case 'c':
            path = optarg;
            break;
        case 'f':
            break;
        case 'h':
            print_help(stdout);
            return 0;
        default:
            print_help(stderr);
            return 2;
        }
    }
    if (optind != argc) {
        fprintf(stderr, "boxedge run: \"%s\" is not expected\n", argv[optind]);
        return 2;
    }
    static const supervisor_children_t children = {worker_run, controller_run, runner_run};
    /* The whole command line begins one word earlier (main.c); a new binary starts with it. */
    return supervisor_run(path, argv - 1, &children);
}
