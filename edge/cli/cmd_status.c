#include "commands.h"

#include <stdlib.h>

#include "cli_words.h"
#include "status_link.h"

static int usage(FILE *out, int status)
{
    fprintf(out,
            "usage: boxedge status [OPTION]...\n\n"
            "Shows the processes of the running edge and their load.\n\n"
            "  --open             serve the status page to a browser of this machine: prints a link to\n"
            "                     127.0.0.1 that works once, and lets the page read the admin socket, until\n"
            "                     Ctrl-C or 15 minutes without a request of the page\n"
            "  --json             print the answer of the admin API\n"
            "  --ready            print only whether the edge can serve: exit status 0 if so, else 1 and\n"
            "                     the reason; for the health check of a container\n");
    fputs(cli_common_help, out);
    return status;
}

static void print_process(const char *name, const json_t *process)
{
    char uptime[32];
    cli_duration(cli_number(process, "uptime_s"), uptime);
    printf("%-11s  %-8lld  %-8s  %-8s  %8lld", name, cli_number(process, "pid"), cli_text(process, "state"),
           uptime, cli_number(process, "restarts"));
}

static void print_worker(const json_t *worker)
{
    char name[32];
    snprintf(name, sizeof name, "worker %lld", cli_number(worker, "worker"));
    print_process(name, worker);
    printf("  %11lld  %9lld  %7lld  %11lld\n", cli_number(worker, "connections_open"),
           cli_number(worker, "exchanges_open"), cli_number(worker, "tunnels_open"),
           cli_number(worker, "exchanges_total"));
}

static bool is_unfiltered(const json_t *worker)
{
    return strcmp(cli_text(worker, "state"), "ready") == 0 &&
           json_is_false(json_object_get(worker, "system_calls_filtered"));
}

/* Prints nothing if the workers have their filter. */
static void print_filters(const json_t *workers)
{
    size_t i, unfiltered = 0;
    json_t *worker;
    json_array_foreach(workers, i, worker)
    {
        unfiltered += is_unfiltered(worker);
    }
    if (unfiltered > 0)
        printf("\nThe system calls of %zu of %zu workers are not filtered: see the edge's own log.\n",
               unfiltered, json_array_size(workers));
}

static void print_store(const json_t *store)
{
    if (!json_is_object(store)) {
        printf("\nThe store cannot be read: see the edge's own log.\n");
        return;
    }
    char used[32], map[32];
    cli_size(cli_number(store, "used_bytes"), used);
    cli_size(cli_number(store, "map_bytes"), map);
    printf("\npreviews: %lld, boxes: %lld, store: %s of %s used\n", cli_number(store, "previews"),
           cli_number(store, "boxes"), used, map);
}

static void print_upstreams(const json_t *upstreams)
{
    size_t i;
    json_t *upstream;
    json_array_foreach(upstreams, i, upstream)
    {
        long long servers = cli_number(upstream, "servers");
        long long usable = cli_number(upstream, "usable");
        printf("upstream %s: %lld of %lld servers usable%s\n", cli_text(upstream, "name"), usable, servers,
               usable < servers ? " (see boxedge upstream list)" : "");
    }
}

/* Only if old ones live. */
static void print_generations(const json_t *generations)
{
    size_t i;
    json_t *generation;
    if (json_array_size(generations) < 2)
        return;
    printf("\n%-11s  %-8s  %-10s  %-17s  %7s  %9s  %7s  %s\n", "GENERATION", "PID", "VERSION", "SINCE (UTC)",
           "WORKERS", "EXCHANGES", "TUNNELS", "UNTIL");
    json_array_foreach(generations, i, generation)
    {
        char since[32], left[32];
        cli_time(generation, "since", since);
        cli_duration(cli_number(generation, "tunnels_left_s"), left);
        bool serves = json_is_true(json_object_get(generation, "serves"));
        printf("%-11lld  %-8lld  %-10s  %-17s  %7lld  %9lld  %7lld  %s%s\n",
               cli_number(generation, "generation"), cli_number(generation, "pid"),
               cli_text(generation, "version"), since, cli_number(generation, "workers"),
               cli_number(generation, "exchanges_open"), cli_number(generation, "tunnels_open"),
               serves ? "" : "in ", serves ? "it serves" : left);
    }
}

static void print_status(const json_t *status)
{
    printf("boxedge %s on %s, configuration %s (load %lld)\n\n", cli_text(status, "version"),
           cli_text(status, "node"), cli_text(status, "configuration"),
           cli_number(status, "configuration_generation"));
    printf("%-11s  %-8s  %-8s  %-8s  %8s  %11s  %9s  %7s  %11s\n", "PROCESS", "PID", "STATE", "UP",
           "RESTARTS", "CONNECTIONS", "EXCHANGES", "TUNNELS", "SERVED");
    printf("%-11s  %lld\n", "supervisor", cli_number(status, "supervisor_pid"));
    print_process("controller", json_object_get(status, "controller"));
    putchar('\n');
    const json_t *runner = json_object_get(status, "runner");
    if (json_is_object(runner)) {
        print_process("runner", runner);
        putchar('\n');
    }
    size_t i;
    json_t *worker;
    json_array_foreach(json_object_get(status, "workers"), i, worker)
    {
        print_worker(worker);
    }
    print_filters(json_object_get(status, "workers"));
    print_generations(json_object_get(status, "generations"));
    print_store(json_object_get(status, "store"));
    print_upstreams(json_object_get(status, "upstreams"));
}

/* Names the wrong word, and prints the usage. */
static int wrong_words(const cli_t *cli)
{
    static const cli_verb_t verbs[] = {{"", ""}, {NULL, NULL}};
    cli_explain_words(cli, "status", verbs);
    return usage(stderr, CLI_USAGE);
}

static int show_ready(const cli_t *cli)
{
    char *text;
    int status = cli_request_text(cli, "/readyz", "the edge is not ready", &text);
    if (status != CLI_OK)
        return status;
    fputs(text, stdout);
    free(text);
    return CLI_OK;
}

/* ---- the page ---- */

/* The socket of the first edge that answers; NULL after an error on stderr. */
static const char *answering_socket(const cli_t *cli, const cli_sockets_t *sockets)
{
    json_t *status;
    for (size_t i = 0; i < sockets->count; i++) {
        const cli_sockets_t one = {.paths = {sockets->paths[i]}, .count = 1};
        if (!cli_peek(&one, "/v1/status", &status))
            continue;
        json_decref(status);
        return sockets->paths[i];
    }
    if (cli_request(cli, "GET", "/v1/status", NULL, &status) == CLI_OK) {
        json_decref(status);
        fprintf(stderr, "boxedge status: the edge has only just begun to answer: try again\n");
    }
    return NULL;
}

static int open_page(const cli_t *cli)
{
    cli_sockets_t sockets;
    if (!cli_sockets_find(&sockets, cli->socket, cli->conf))
        return CLI_FAILED;
    const char *socket = answering_socket(cli, &sockets);
    bool served = socket != NULL && status_link_serve("status", socket, STATUS_LINK_IDLE_MS);
    cli_sockets_free(&sockets);
    return served ? CLI_OK : CLI_FAILED;
}

int cmd_status(int argc, char **argv)
{
    cli_t cli;
    if (!cli_parse(argc, argv, CLI_JSON | CLI_STATUS, &cli))
        return CLI_USAGE;
    if (cli.help)
        return usage(stdout, CLI_OK);
    if (cli.arg_count != 0)
        return wrong_words(&cli);
    if (cli.ready)
        return show_ready(&cli);
    if (cli.open_page)
        return open_page(&cli);
    return cli_show(&cli, "GET", "/v1/status", NULL, print_status);
}
