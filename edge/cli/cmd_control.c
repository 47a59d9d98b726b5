#include "commands.h"

#include <errno.h>
#include <poll.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "cli_words.h"

static int usage(FILE *out, const char *name, const char *what, int status)
{
    fprintf(out, "usage: boxedge %s [OPTION]...\n\n%s\n\n%s", name, what, cli_common_help);
    return status;
}

/* Parses the options of a command without arguments. False if no work is left, and *status is set. */
static bool parse(int argc, char **argv, unsigned takes, const char *what, cli_t *cli, int *status)
{
    *status = CLI_USAGE;
    if (!cli_parse(argc, argv, takes, cli))
        return false;
    if (cli->help) {
        *status = usage(stdout, argv[0], what, CLI_OK);
        return false;
    }
    if (cli->arg_count != 0) {
        static const cli_verb_t none[] = {{"", ""}, {NULL, NULL}};
        cli_explain_words(cli, argv[0], none);
        *status = usage(stderr, argv[0], what, CLI_USAGE);
        return false;
    }
    return true;
}

/* Posts to the admin API; prints `done` on success. */
static int post(const cli_t *cli, const char *target, const char *done)
{
    json_t *answer;
    int status = cli_request(cli, "POST", target, NULL, &answer);
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
    static const char what[] =
        "Reloads the configuration. If it has errors, they are printed and the old one stays in force.";
    cli_t cli;
    int status;
    if (!parse(argc, argv, 0, what, &cli, &status))
        return status;
    return post(&cli, "/v1/reload", "The configuration was reloaded.");
}

/* A descriptor of the edge's first process, or -1 with *status set. */
static int find_edge(const cli_t *cli, int *status)
{
    json_t *answer;
    *status = cli_request(cli, "GET", "/v1/status", NULL, &answer);
    if (*status != CLI_OK)
        return -1;
    long long pid = cli_number(answer, "supervisor_pid");
    json_decref(answer);
    int fd = pidfd_open((pid_t)pid, 0);
    if (fd < 0) {
        fprintf(stderr, "boxedge: the end of process %lld cannot be awaited from here: %s\n", pid,
                strerror(errno));
        *status = CLI_FAILED;
    }
    return fd;
}

static void await_end(int process)
{
    fflush(stdout);
    struct pollfd end = {.fd = process, .events = POLLIN};
    while (poll(&end, 1, -1) < 0 && errno == EINTR)
        ;
    puts("The edge has ended.");
}

int cmd_drain(int argc, char **argv)
{
    static const char what[] =
        "Ends the edge gracefully: it accepts no new connections, and open requests have\n"
        "`timeouts.drain` to finish.\n\n"
        "  --wait             return once the edge has ended";
    cli_t cli;
    int status, process = -1;
    if (!parse(argc, argv, CLI_WAIT, what, &cli, &status) ||
        (cli.wait && (process = find_edge(&cli, &status)) < 0))
        return status;
    status = post(&cli, "/v1/drain",
                  "The edge accepts no new connections and ends when the open ones have finished.");
    if (status == CLI_OK && process >= 0)
        await_end(process);
    if (process >= 0)
        close(process);
    return status;
}
