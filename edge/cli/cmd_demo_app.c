#include "cmd_demo_app.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"
#include "demo_app.h"
#include "list.h"
#include "readable.h"

/* Time limit for open connections after SIGTERM. */
#define DRAIN_MS 2000

typedef struct demo {
    loop_t *loop;
    local_server_t *server;
    readable_t *signals;
    int signal_fd;
    bool draining;
    bool ended;
    loop_timer_t deadline;
} demo_t;

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

/* Returns a listening socket, or -1 after an error on stderr. */
static int listen_on(const demo_options_t *options)
{
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(options->port)};
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(options->port)};
    bool is_v4 = inet_pton(AF_INET, options->address, &v4.sin_addr) == 1;
    if (!is_v4 && inet_pton(AF_INET6, options->address, &v6.sin6_addr) != 1) {
        fprintf(stderr, "boxedge demo-app: \"%s\" is not an IPv4 or IPv6 address\n", options->address);
        return -1;
    }
    int fd = socket(is_v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1;
    const struct sockaddr *address = is_v4 ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6;
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
        bind(fd, address, is_v4 ? sizeof v4 : sizeof v6) == 0 && listen(fd, 511) == 0)
        return fd;
    fprintf(stderr, "boxedge demo-app: cannot listen on %s port %u: %s\n", options->address, options->port,
            strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

static void print_where(int fd)
{
    struct sockaddr_storage address;
    socklen_t len = sizeof address;
    char text[INET6_ADDRSTRLEN];
    memset(&address, 0, sizeof address);
    if (getsockname(fd, (struct sockaddr *)&address, &len) != 0)
        return;
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&address;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&address;
    if (address.ss_family == AF_INET)
        printf("demo app on http://%s:%u/\n", inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text),
               ntohs(v4->sin_port));
    else
        printf("demo app on http://[%s]:%u/\n", inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text),
               ntohs(v6->sin6_port));
    fflush(stdout);
}

static void deadline_expired(loop_timer_t *timer)
{
    CONTAINER_OF(demo_t, deadline, timer)->ended = true;
}

/* The first signal drains, the second ends. */
static void on_signal(void *owner)
{
    demo_t *demo = owner;
    struct signalfd_siginfo info;
    if (read(demo->signal_fd, &info, sizeof info) != (ssize_t)sizeof info)
        return;
    demo->ended = demo->draining;
    if (demo->draining)
        return;
    demo->draining = true;
    local_server_drain(demo->server);
    loop_timer_start(demo->loop, &demo->deadline, DRAIN_MS, deadline_expired);
}

static void watch_signals(demo_t *demo)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    demo->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    assert(demo->signal_fd >= 0);
    demo->signals = readable_new(demo->loop, demo->signal_fd, on_signal, demo);
    readable_start(demo->signals);
}

/* The app needs only the default limits and timeouts of a configuration. */
static conf_t *defaults(void)
{
    conf_errors_t *errors = conf_errors_new();
    conf_t *conf = conf_parse("demo-app",
                              STR("preview_domain: demo.localhost\n"
                                  "state_dir: /nonexistent\n"
                                  "listeners: [{address: \"127.0.0.1:1\", kind: tls}]\n"),
                              errors);
    if (conf == NULL)
        conf_errors_print(errors, stderr);
    conf_errors_free(&errors);
    return conf;
}

int cmd_demo_app(int argc, char **argv)
{
    demo_options_t options;
    if (!parse(argc, argv, &options))
        return usage(stderr, CLI_USAGE);
    if (options.help)
        return usage(stdout, CLI_OK);
    wait_before(options.delay_ms);
    conf_t *conf = defaults();
    int fd = conf != NULL ? listen_on(&options) : -1;
    if (fd < 0) {
        conf_release(&conf);
        return CLI_FAILED;
    }
    demo_t demo = {.loop = loop_new()};
    watch_signals(&demo);
    demo.server = local_server_new(demo.loop, conf, fd, demo_app_steps, DEMO_CLIENTS_MAX, NULL);
    conf_release(&conf);
    print_where(fd);
    while (!demo.ended && !(demo.draining && local_server_clients(demo.server) == 0))
        loop_turn(demo.loop, INT32_MAX);
    local_server_free(&demo.server);
    loop_timer_stop(&demo.deadline);
    readable_free(&demo.signals);
    loop_free(&demo.loop);
    return CLI_OK;
}
