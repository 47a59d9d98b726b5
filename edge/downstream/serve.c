#include "serve.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "address.h"
#include "list.h"
#include "readable.h"

/* Time limit for open connections after SIGTERM. */
#define DRAIN_MS 2000

typedef struct serving {
    loop_t *loop;
    local_server_t *server;
    readable_t *signals;
    int signal_fd;
    bool draining;
    bool ended;
    loop_timer_t deadline;
} serving_t;

/* Returns a listening socket, or -1 after an error on stderr. */
static int listen_on(const serve_t *spec)
{
    struct sockaddr_storage at;
    char text[ADDRESS_PORT_BYTES];
    int on = 1;
    socklen_t len = address_make(&spec->address, spec->port, &at);
    int fd = socket(at.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
        bind(fd, (struct sockaddr *)&at, len) == 0 && listen(fd, 511) == 0)
        return fd;
    fprintf(stderr, "boxedge %s: cannot listen on %s: %s\n", spec->command,
            address_port_text(&spec->address, spec->port, text), strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

static void notify_begun(const serve_t *spec, const serving_t *serving, int fd)
{
    struct sockaddr_storage at;
    struct in6_addr address;
    socklen_t len = sizeof at;
    uint16_t port;
    char text[ADDRESS_PORT_BYTES], url[ADDRESS_PORT_BYTES + 16];
    memset(&at, 0, sizeof at);
    if (getsockname(fd, (struct sockaddr *)&at, &len) != 0 ||
        !address_take((struct sockaddr *)&at, &address, &port))
        return;
    snprintf(url, sizeof url, "http://%s/", address_port_text(&address, port, text));
    spec->begun(spec->owner, serving->loop, serving->server, url);
}

/* ---- the end ---- */

static void deadline_expired(loop_timer_t *timer)
{
    CONTAINER_OF(serving_t, deadline, timer)->ended = true;
}

/* The first signal drains, the second ends. */
static void on_signal(void *owner)
{
    serving_t *serving = owner;
    struct signalfd_siginfo info;
    if (read(serving->signal_fd, &info, sizeof info) != (ssize_t)sizeof info)
        return;
    serving->ended = serving->draining;
    if (serving->draining)
        return;
    serving->draining = true;
    local_server_drain(serving->server);
    loop_timer_start(serving->loop, &serving->deadline, DRAIN_MS, deadline_expired);
}

static void watch_signals(serving_t *serving)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    serving->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    assert(serving->signal_fd >= 0);
    serving->signals = readable_new(serving->loop, serving->signal_fd, on_signal, serving);
    readable_start(serving->signals);
}

/* Only the default limits and timeouts of a configuration matter. */
static conf_t *defaults(const char *command)
{
    conf_errors_t *errors = conf_errors_new();
    conf_t *conf = conf_parse(command,
                              STR("preview_domain: demo.localhost\n"
                                  "state_dir: /nonexistent\n"
                                  "listeners: [{address: \"127.0.0.1:1\", kind: tls}]\n"),
                              errors);
    if (conf == NULL)
        conf_errors_print(errors, stderr);
    conf_errors_free(&errors);
    return conf;
}

bool serve(const serve_t *spec)
{
    conf_t *conf = defaults(spec->command);
    int fd = conf != NULL ? listen_on(spec) : -1;
    if (fd < 0) {
        conf_release(&conf);
        return false;
    }
    serving_t serving = {.loop = loop_new()};
    watch_signals(&serving);
    const local_server_spec_t server = {.steps = spec->steps,
                                        .max_requests = spec->requests_max,
                                        .crowded = spec->crowded,
                                        .owner = spec->owner};
    serving.server = local_server_new(serving.loop, conf, fd, &server);
    conf_release(&conf);
    notify_begun(spec, &serving, fd);
    while (!serving.ended && !(serving.draining && local_server_clients(serving.server) == 0))
        loop_turn(serving.loop, INT32_MAX);
    local_server_free(&serving.server);
    if (spec->ended != NULL)
        spec->ended(spec->owner);
    loop_timer_stop(&serving.deadline);
    readable_free(&serving.signals);
    loop_free(&serving.loop);
    return true;
}
