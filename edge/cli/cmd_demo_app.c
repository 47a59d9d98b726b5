#include "commands.h"

#include <stdio.h>
#include <time.h>

#include "address.h"
#include "cli.h"
#include "demo_app.h"
#include "serve.h"

typedef struct demo_options {
    const char *address;
    uint16_t port;
    uint32_t delay_ms;
    bool help;
} demo_options_t;

static int usage(FILE *out, int status)
{
    fprintf(out,
            "usage: boxedge demo-app --port PORT [--address ADDRESS] [--delay MS]\n\n"
            "Serves a small web app to try the edge with: a page that shows its request, server-sent\n"
            "events, a WebSocket, uploads. It ends on SIGTERM and Ctrl-C.\n\n"
            "  --port PORT        port to listen on, 1-65535; 0 takes a free port and prints it\n"
            "  --address ADDRESS  IPv4 or IPv6 address to listen on (default 127.0.0.1)\n"
            "  --delay MS         start to listen after this time, as a slow app does; at most 600000\n");
    return status;
}

/* Prints the wrong word and the reason. Returns false. */
static bool refuse(const char *word, const char *why)
{
    fprintf(stderr, "boxedge demo-app: \"%s\" %s\n\n", word, why);
    return false;
}

static bool parse(int argc, char **argv, demo_options_t *options)
{
    bool have_port = false;
    *options = (demo_options_t){.address = "127.0.0.1"};
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i];
        bool is_port = strcmp(name, "--port") == 0, is_delay = strcmp(name, "--delay") == 0;
        uint64_t value = 0;
        if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
            options->help = true;
            return true;
        }
        if (!is_port && !is_delay && strcmp(name, "--address") != 0)
            return refuse(name, "is not expected");
        if (i + 1 == argc)
            return refuse(name, "needs a value");
        const char *text = argv[++i];
        if (is_port && !str_to_uint(str_from(text), 65535, &value))
            return refuse(text, "is not a port");
        if (is_delay && !str_to_uint(str_from(text), 600000, &value))
            return refuse(text, "is not a number of milliseconds up to 600000");
        if (is_port)
            options->port = (uint16_t)value;
        else if (is_delay)
            options->delay_ms = (uint32_t)value;
        else
            options->address = text;
        have_port |= is_port;
    }
    return have_port || refuse("--port", "is missing");
}

/* Before anything listens; a signal ends the app, as it does later. */
static void wait_before(uint32_t ms)
{
    const struct timespec delay = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    if (ms > 0)
        (void)nanosleep(&delay, NULL);
}

static void print_where(void *owner, loop_t *loop, const local_server_t *server, const char *url)
{
    (void)owner;
    (void)loop;
    (void)server;
    printf("demo app on %s\n", url);
    fflush(stdout);
}

int cmd_demo_app(int argc, char **argv)
{
    demo_options_t options;
    if (!parse(argc, argv, &options))
        return usage(stderr, CLI_USAGE);
    if (options.help)
        return usage(stdout, CLI_OK);
    serve_t spec = {.command = argv[0],
                    .port = options.port,
                    .steps = demo_app_steps,
                    .requests_max = DEMO_CLIENTS_MAX,
                    .begun = print_where};
    if (!address_parse(options.address, &spec.address)) {
        fprintf(stderr, "boxedge demo-app: \"%s\" is not an IPv4 or IPv6 address\n", options.address);
        return CLI_FAILED;
    }
    wait_before(options.delay_ms);
    return serve(&spec) ? CLI_OK : CLI_FAILED;
}
