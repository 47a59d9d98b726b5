#include "commands.h"

#include <time.h>

#include "cli_words.h"

/* The edge gives a new binary 60 s to load and 15 s to serve. */
#define WITHIN_S  90
#define LOOK_MS   100
#define SECOND_NS 1000000000L

static int usage(FILE *out, int status)
{
    fprintf(out,
            "usage: boxedge upgrade [OPTION]...\n\n"
            "Starts the program file of the running edge anew, for example after an installation, and waits\n"
            "until it serves. No request is lost: open requests and WebSockets stay in the old workers\n"
            "until they end, at most for `timeouts.drain_tunnels`. If the new program fails, the old one\n"
            "continues.\n\n"
            "  --now              end open requests and WebSockets within `timeouts.drain`, for a repair\n"
            "                     that must not wait\n");
    fputs(cli_common_help, out);
    return status;
}

static long long failures(const json_t *status)
{
    return cli_number(json_object_get(status, "failed_upgrade"), "number");
}

/* The version of the edge that serves. */
static const char *version_of(const json_t *status)
{
    return cli_text(status, "version");
}

/* Whether the edge of that process serves. Its controller answers before its workers do, and the list has
 * no edge that still starts. */
static bool serves(const json_t *status, long long pid)
{
    const json_t *generations = json_object_get(status, "generations");
    for (size_t i = 0; i < json_array_size(generations); i++)
        if (cli_number(json_array_get(generations, i), "pid") == pid)
            return true;
    return false;
}

/* Whether the upgrade that began at `before` has ended; *status is then its exit status. */
static bool judge(const json_t *before, const json_t *now, int *status)
{
    if (failures(now) > failures(before)) {
        fprintf(stderr, "boxedge: the new program did not take over: %s. The old one continues.\n",
                cli_text(json_object_get(now, "failed_upgrade"), "reason"));
        *status = CLI_FAILED;
        return true;
    }
    long long pid = cli_number(now, "supervisor_pid");
    if (pid == cli_number(before, "supervisor_pid") || !serves(now, pid))
        return false;
    printf("Process %lld serves now (version %s, before %s).\n", pid, version_of(now), version_of(before));
    *status = CLI_OK;
    return true;
}

/* Looks until the edge that serves is another, or reports a failure. */
static int await(const cli_sockets_t *sockets, const json_t *before)
{
    const struct timespec pause = {.tv_nsec = LOOK_MS * (SECOND_NS / 1000)};
    struct timespec start, now;
    int status = CLI_FAILED;
    clock_gettime(CLOCK_MONOTONIC, &start);
    do {
        json_t *answer = NULL;
        if (cli_peek(sockets, "/v1/status", &answer)) {
            bool over = judge(before, answer, &status);
            json_decref(answer);
            if (over)
                return status;
        }
        nanosleep(&pause, NULL);
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while (now.tv_sec - start.tv_sec < WITHIN_S);
    fprintf(stderr, "boxedge: no result within %d s: see the edge's own log.\n", WITHIN_S);
    return CLI_FAILED;
}

/* Asks for the upgrade, and awaits its end. The sockets are found before: nothing about the file of the
 * configuration may stand in the way of the result. */
static int request_upgrade(const cli_t *cli, const cli_sockets_t *sockets, const json_t *before)
{
    json_t *answer;
    json_t *body = json_pack("{s:b}", "now", cli->now);
    int status = cli_request(cli, "POST", "/v1/upgrade", body, &answer);
    json_decref(body);
    if (status != CLI_OK)
        return status;
    json_decref(answer);
    return await(sockets, before);
}

static int upgrade(const cli_t *cli)
{
    json_t *before;
    cli_sockets_t sockets;
    if (cli_request(cli, "GET", "/v1/status", NULL, &before) != CLI_OK)
        return CLI_FAILED;
    int status = CLI_FAILED;
    if (cli_sockets_find(&sockets, cli->socket, cli->conf)) {
        status = request_upgrade(cli, &sockets, before);
        cli_sockets_free(&sockets);
    }
    json_decref(before);
    return status;
}

int cmd_upgrade(int argc, char **argv)
{
    cli_t cli;
    if (!cli_parse(argc, argv, CLI_NOW, &cli))
        return CLI_USAGE;
    if (cli.help)
        return usage(stdout, CLI_OK);
    if (cli.arg_count != 0) {
        static const cli_verb_t none[] = {{"", ""}, {NULL, NULL}};
        cli_explain_words(&cli, "upgrade", none);
        return usage(stderr, CLI_USAGE);
    }
    return upgrade(&cli);
}
