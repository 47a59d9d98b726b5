#include "cmd_status.h"

#include "cli.h"

static int usage(FILE *out, int status)
{
    fprintf(out, "usage: boxedge status [OPTION]...\n\n"
                 "Shows the processes of the running edge and what they do.\n\n"
                 "  --json             the answer of the admin API\n");
    fputs(cli_common_help, out);
    return status;
}

static json_int_t number_of(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "-";
}

static void print_process(const char *name, const json_t *role)
{
    char uptime[32];
    cli_duration(number_of(role, "uptime_s"), uptime);
    printf("%-11s  %-8lld  %-8s  %-8s  %8lld", name, (long long)number_of(role, "pid"),
           text_of(role, "state"), uptime, (long long)number_of(role, "restarts"));
}

static void print_worker(const json_t *worker)
{
    char name[32];
    snprintf(name, sizeof name, "worker %lld", (long long)number_of(worker, "worker"));
    print_process(name, worker);
    printf("  %11lld  %9lld  %7lld  %11lld\n", (long long)number_of(worker, "connections_open"),
           (long long)number_of(worker, "exchanges_open"), (long long)number_of(worker, "tunnels_open"),
           (long long)number_of(worker, "exchanges_total"));
}

static void print_store(const json_t *store)
{
    if (!json_is_object(store)) {
        printf("\nThe store cannot be read: see the edge's own log.\n");
        return;
    }
    char used[32], map[32];
    cli_size(number_of(store, "used_bytes"), used);
    cli_size(number_of(store, "map_bytes"), map);
    printf("\npreviews: %lld, boxes: %lld, store: %s of %s used\n", (long long)number_of(store, "previews"),
           (long long)number_of(store, "boxes"), used, map);
}

static void print_upstreams(const json_t *upstreams)
{
    size_t i;
    json_t *upstream;
    json_array_foreach(upstreams, i, upstream)
    {
        long long servers = (long long)number_of(upstream, "servers");
        long long usable = (long long)number_of(upstream, "usable");
        printf("upstream %s: %lld of %lld servers usable%s\n", text_of(upstream, "name"), usable, servers,
               usable < servers ? " (see boxedge upstream list)" : "");
    }
}

static void print_status(const json_t *status)
{
    printf("boxedge %s on %s, configuration %s (load %lld)\n\n", text_of(status, "version"),
           text_of(status, "node"), text_of(status, "configuration"),
           (long long)number_of(status, "configuration_generation"));
    printf("%-11s  %-8s  %-8s  %-8s  %8s  %11s  %9s  %7s  %11s\n", "PROCESS", "PID", "STATE", "UP",
           "RESTARTS", "CONNECTIONS", "EXCHANGES", "TUNNELS", "SERVED");
    printf("%-11s  %lld\n", "supervisor", (long long)number_of(status, "supervisor_pid"));
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
    print_store(json_object_get(status, "store"));
    print_upstreams(json_object_get(status, "upstreams"));
}

int cmd_status(int argc, char **argv)
{
    cli_t cli;
    if (!cli_parse(argc, argv, CLI_JSON, &cli))
        return CLI_USAGE;
    if (cli.help)
        return usage(stdout, CLI_OK);
    if (cli.arg_count != 0)
        return usage(stderr, CLI_USAGE);
    json_t *answer;
    int status = cli_request(&cli, "GET", "/v1/status", NULL, &answer);
    if (status != CLI_OK)
        return status;
    if (cli.json)
        cli_print_json(answer);
    else
        print_status(answer);
    json_decref(answer);
    return CLI_OK;
}
