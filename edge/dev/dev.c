/*
 * `boxedge dev`: runs a command, and opens the port on which it listens as a preview, without a
 * configuration.
 */
#include "dev.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "dev_env.h"
#include "dev_session.h"

/* Exit statuses, as of every command. */
#define FAILED 1
#define USAGE  2

/* Intervals, in milliseconds. */
#define SCAN_FIRST_MS 100 /* while no port listens, at first */
#define SCAN_LATER_MS 500
#define SCAN_LIVE_MS  1000
#define EAGER_MS      20000 /* "at first" */
#define RENEW_MS      5000
#define EXTEND_MS     (6 * 3600 * 1000)
#define FOLLOW_LEAST  300
#define FOLLOW_MOST   2000
#define HINT_MS       10000 /* a wait that deserves a word */
#define HINT_AGAIN_MS 30000
#define SEVERAL_MS    5000 /* several ports, and none speaks HTTP */
#define HTTP_MS       500
#define HTTP_TRIES    4 /* ports that one look asks: it blocks signals meanwhile */

typedef struct dev_times {
    uint64_t scan, renew, extend, follow, hint;
    uint64_t follow_ms; /* the present interval */
} dev_times_t;

typedef struct dev_run {
    dev_session_t session;
    dev_times_t due;
    int signal_fd;
    bool keys;  /* stdin is passed on */
    int signal; /* that ends it; 0: none */
    const char *socket, *conf, *lan;
    char **argv; /* of the command */
} dev_run_t;

static int usage(FILE *out, int status)
{
    fputs(
        "usage: boxedge dev [OPTION]... -- COMMAND [ARGUMENT]...\n\n"
        "Runs the command in this directory, finds the port on which it listens, and prints a link that\n"
        "opens it in a browser, over TLS and with a token. Needs no configuration and no rights: starts an\n"
        "edge of this user on loopback if none runs, else uses that. Shows the output of the command, and\n"
        "each request. Ctrl-C ends the command, the preview, and that edge with its last user. Ends with\n"
        "the exit status of the command.\n\n"
        "  --name NAME        the box in the host name (the name of this directory)\n"
        "  --port PORT        the port of the command, which gets it as PORT (any on which it listens)\n"
        "  --public           a preview without a token, for everyone who reaches the edge\n"
        "  --lan DOMAIN       for a phone too: previews below this domain, at this machine's address in the\n"
        "                     local network, and a QR code; names below DOMAIN must lead there\n"
        "  -q, --quiet        show no requests\n"
        "  -c, --config FILE  use the edge that runs with this configuration\n"
        "  --socket PATH      use the edge with this admin socket\n"
        "  -h, --help         print this\n",
        out);
    return status;
}

/* ---- the name ---- */

/* The last part of the directory's name as the id of a box. */
static void name_from_directory(char id[BOX_ID_MAX + 1])
{
    char directory[4096] = "";
    size_t n = 0;
    const char *slash = getcwd(directory, sizeof(directory)) != NULL ? strrchr(directory, '/') : NULL;
    for (const char *c = slash != NULL ? slash + 1 : ""; *c != '\0' && n < 40; c++) {
        char lower = (char)tolower((unsigned char)*c);
        bool plain = (lower >= 'a' && lower <= 'z') || (lower >= '0' && lower <= '9');
        if (plain || (n > 0 && id[n - 1] != '-'))
            id[n++] = plain ? lower : '-';
    }
    while (n > 0 && id[n - 1] == '-')
        n--;
    id[n] = '\0';
    if (!box_id_valid(str_make(id, n)))
        (void)snprintf(id, BOX_ID_MAX + 1, "web");
}

static void make_lease(char lease[DEV_LEASE_BYTES])
{
    unsigned char random[(DEV_LEASE_BYTES - 1) / 2];
    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
        abort(); /* the kernel gives so few bytes always, whole */
    for (size_t i = 0; i < sizeof(random); i++)
        (void)snprintf(lease + 2 * i, 3, "%02x", random[i]);
}

/* ---- ports ---- */

static const dev_port_t *find_port(const dev_port_t *ports, size_t count, uint16_t port)
{
    for (size_t i = 0; i < count; i++)
        if (ports[i].port == port && !ports[i].outside)
            return &ports[i];
    return NULL;
}

/* The port to serve: that of --port, else the one of before, else the only one, else the first that speaks
 * HTTP. */
static const dev_port_t *choose(dev_session_t *s, const dev_port_t *ports, size_t count, uint64_t now)
{
    const dev_port_t *first = NULL;
    size_t reachable = 0;
    if (s->wanted != 0)
        return find_port(ports, count, s->wanted);
    if (s->port != 0 && find_port(ports, count, s->listens.port) != NULL)
        return find_port(ports, count, s->listens.port);
    for (size_t i = count; i-- > 0;)
        if (!ports[i].outside) {
            first = &ports[i];
            reachable++;
        }
    if (reachable < 2) {
        s->several_ms = 0;
        return first;
    }
    s->several_ms = s->several_ms != 0 ? s->several_ms : now;
    for (size_t i = 0, tries = 0; i < count && tries < HTTP_TRIES; i++, tries++)
        if (dev_ports_speaks_http(&ports[i], HTTP_MS))
            return &ports[i];
    return now - s->several_ms > SEVERAL_MS ? first : NULL;
}

/* Says why there is no preview yet, and later that the wait goes on. */
static void hint(dev_run_t *run, const dev_port_t *ports, size_t count, uint64_t now)
{
    dev_session_t *s = &run->session;
    run->due.hint = now + HINT_AGAIN_MS;
    if (s->hinted)
        dev_show_line(&s->show, "Still waiting for a port, %llu s after the start.",
                      (unsigned long long)((now - s->started_ms) / 1000));
    else if (count == 0)
        dev_show_line(&s->show, "The command listens on no TCP port yet. Waiting.");
    else if (s->wanted != 0)
        dev_show_line(&s->show, "The command listens on port %u, not on %u (--port). Waiting.", ports[0].port,
                      s->wanted);
    else
        dev_show_line(&s->show,
                      "The command listens on port %u, but not on loopback: let it listen on 127.0.0.1.",
                      ports[0].port);
    s->hinted = true;
}

static void scan(dev_run_t *run, uint64_t now)
{
    dev_session_t *s = &run->session;
    dev_port_t ports[DEV_PORTS_MAX];
    size_t count = dev_ports_find(s->command.init.pid, ports);
    /* A container that the command starts, say, is no process of its tree; the port was free at the start. */
    if (s->wanted != 0 && find_port(ports, count, s->wanted) == NULL && count < DEV_PORTS_MAX &&
        dev_ports_is_taken(s->wanted, &ports[count]))
        count++;
    bool live = s->state == DEV_LIVE;
    if (live && find_port(ports, count, s->listens.port) == NULL)
        dev_session_lose(s);
    if (s->state == DEV_WAITS) {
        const dev_port_t *port = choose(s, ports, count, now);
        if (port != NULL)
            dev_session_serve(s, port);
        else if (now >= run->due.hint)
            hint(run, ports, count, now);
    }
    run->due.scan = clock_now_ms() + (s->state == DEV_LIVE                             ? SCAN_LIVE_MS
                                      : now - s->started_ms < EAGER_MS || s->port != 0 ? SCAN_FIRST_MS
                                                                                       : SCAN_LATER_MS);
}

/* ---- the loop ---- */

static void take_signal(dev_run_t *run)
{
    struct signalfd_siginfo info;
    if (read(run->signal_fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
        return;
    if (info.ssi_signo == SIGWINCH) {
        dev_command_resize(&run->session.command);
    } else if (run->signal != 0) {
        dev_command_kill(&run->session.command); /* asked twice */
    } else {
        run->signal = (int)info.ssi_signo;
        dev_command_stop(&run->session.command);
    }
}

static void do_due(dev_run_t *run)
{
    dev_session_t *s = &run->session;
    dev_times_t *due = &run->due;
    uint64_t now = clock_now_ms();
    if (now >= due->scan)
        scan(run, now);
    if (now >= due->renew) {
        dev_session_renew(s);
        due->renew = clock_now_ms() + RENEW_MS;
    }
    if (now >= due->extend) {
        dev_session_extend(s);
        due->extend = now + EXTEND_MS;
    }
    if (now >= due->follow && s->port != 0 && !s->show.quiet) {
        /* Less and less often while no request comes. */
        due->follow_ms = dev_session_follow(s, true) != 0 ? FOLLOW_LEAST : due->follow_ms * 5 / 4;
        due->follow_ms = due->follow_ms < FOLLOW_MOST ? due->follow_ms : FOLLOW_MOST;
    }
    if (now >= due->follow)
        due->follow = clock_now_ms() + due->follow_ms;
}

static int until_due(const dev_times_t *due)
{
    uint64_t now = clock_now_ms(), next = due->scan;
    next = due->renew < next ? due->renew : next;
    next = due->follow < next ? due->follow : next;
    return next > now ? (int)(next - now) : 0;
}

static void turn(dev_run_t *run)
{
    dev_command_t *command = &run->session.command;
    struct pollfd fds[4] = {{.fd = run->signal_fd, .events = POLLIN},
                            {.fd = command->init.fd, .events = POLLIN},
                            {.fd = command->output_fd, .events = POLLIN},
                            {.fd = run->keys ? STDIN_FILENO : -1, .events = POLLIN}};
    (void)poll(fds, 4, command->state < DEV_COMMAND_ENDS ? until_due(&run->due) : -1);
    if (fds[0].revents != 0)
        take_signal(run);
    if (fds[2].revents != 0)
        dev_command_show(command);
    if (fds[1].revents != 0)
        dev_command_take(command);
    if (fds[3].revents != 0)
        run->keys = dev_command_type(command);
    if (command->state < DEV_COMMAND_ENDS)
        do_due(run);
}

static int watch_signals(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH};
    sigset_t set;
    (void)sigemptyset(&set);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        (void)sigaddset(&set, numbers[i]);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGTTIN, SIG_IGN);
    (void)signal(SIGTTOU, SIG_IGN);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* ---- the end ---- */

/* The exit status, and a word about it. */
static int conclude(dev_run_t *run)
{
    dev_session_t *s = &run->session;
    const dev_command_t *command = &s->command;
    if (command->failed) {
        fprintf(stderr, "boxedge dev: %s\n", command->why);
        return 127;
    }
    if (run->signal != 0)
        return 128 + run->signal;
    if (WIFSIGNALED(command->status)) {
        dev_show_line(&s->show, "The command was killed by signal %d (%s).", WTERMSIG(command->status),
                      strsignal(WTERMSIG(command->status)));
        return 128 + WTERMSIG(command->status);
    }
    int status = WEXITSTATUS(command->status);
    dev_show_line(&s->show,
                  status == 0 ? "The command has ended." : "The command has ended with exit status %d.",
                  status);
    return status;
}

static int serve(dev_run_t *run)
{
    dev_session_t *s = &run->session;
    bool terminal = isatty(STDOUT_FILENO) != 0;
    char **env = dev_env_make(environ, s->domain, s->wanted, terminal);
    bool started = dev_command_start(&s->command, s->id, run->argv, env, terminal);
    dev_env_free(&env);
    if (!started)
        return FAILED;
    run->keys = s->command.terminal_fd >= 0 && isatty(STDIN_FILENO) != 0;
    uint64_t now = clock_now_ms();
    run->due = (dev_times_t){.scan = now,
                             .renew = now + RENEW_MS,
                             .extend = now + EXTEND_MS,
                             .follow = now + FOLLOW_LEAST,
                             .hint = now + HINT_MS,
                             .follow_ms = FOLLOW_LEAST};
    while (s->command.state != DEV_COMMAND_ENDED)
        turn(run);
    dev_command_fini(&s->command);
    if (s->port != 0)
        (void)dev_session_follow(s, true);
    return conclude(run);
}

static int run_all(dev_run_t *run)
{
    dev_session_t *s = &run->session;
    if (s->wanted != 0 && dev_ports_is_taken(s->wanted, NULL)) {
        fprintf(stderr, "boxedge dev: another program listens on port %u already\n", s->wanted);
        return FAILED;
    }
    if (!dev_edge_join(&s->edge, run->socket, run->conf, run->lan))
        return FAILED;
    if (!dev_session_claim(s)) {
        dev_edge_leave(&s->edge);
        return FAILED;
    }
    run->signal_fd = watch_signals();
    dev_show_line(&s->show, "%s%s",
                  s->edge.started ? "An edge has started for " : "Using the running edge for ", s->id);
    int status = run->signal_fd >= 0 ? serve(run) : FAILED;
    dev_session_leave(s);
    return status;
}

/* ---- options ---- */

/* The domain of --lan: the rest is the edge's to check. */
static bool is_domain(const char *domain)
{
    char address[INET_ADDRSTRLEN];
    if (strspn(domain, "abcdefghijklmnopqrstuvwxyz0123456789.-") == strlen(domain) &&
        strchr(domain, '.') != NULL && strspn(domain, "0123456789.") != strlen(domain))
        return true;
    if (!dev_edge_lan_address(address))
        (void)snprintf(address, sizeof(address), "no address");
    fprintf(
        stderr,
        "boxedge dev: --lan takes a domain in lower case, below which all names lead to this machine (%s): a "
        "wildcard of your own DNS. A public DNS service whose names contain the address, such as "
        "sslip.io, does it too: it learns the names, and sees no traffic.\n",
        address);
    return false;
}

static bool take_option(dev_run_t *run, int option)
{
    dev_session_t *s = &run->session;
    uint64_t port;
    switch (option) {
    case 'n':
        s->can_change = false;
        if (!box_id_valid(str_from(optarg))) {
            fprintf(
                stderr,
                "boxedge dev: --name takes 1 to 57 of a-z 0-9 - _, with a letter or digit at both ends\n");
            return false;
        }
        (void)snprintf(s->id, sizeof(s->id), "%s", optarg);
        return true;
    case 'p':
        if (!str_to_uint(str_from(optarg), 65535, &port) || port == 0) {
            fprintf(stderr, "boxedge dev: --port takes a number from 1 to 65535\n");
            return false;
        }
        s->wanted = (uint16_t)port;
        return true;
    case 'P':
        return s->open = true;
    case 'l':
        run->lan = optarg;
        return true;
    case 'q':
        return s->show.quiet = true;
    case 's':
        run->socket = optarg;
        return true;
    case 'c':
        run->conf = optarg;
        return true;
    default:
        fprintf(stderr, "See boxedge dev --help.\n");
        return false;
    }
}

int cmd_dev(int argc, char **argv)
{
    static const struct option options[] = {{"name", required_argument, NULL, 'n'},
                                            {"port", required_argument, NULL, 'p'},
                                            {"public", no_argument, NULL, 'P'},
                                            {"lan", required_argument, NULL, 'l'},
                                            {"quiet", no_argument, NULL, 'q'},
                                            {"config", required_argument, NULL, 'c'},
                                            {"socket", required_argument, NULL, 's'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    dev_run_t *run = calloc(1, sizeof(*run));
    int option, status;
    if (run == NULL)
        return FAILED;
    dev_show_init(&run->session.show, &run->session.command);
    run->session.command.fresh_line = true;
    run->session.can_change = true;
    run->session.started_ms = clock_now_ms();
    name_from_directory(run->session.id);
    make_lease(run->session.lease);
    optind = 1;
    while ((option = getopt_long(argc, argv, "+c:qh", options, NULL)) != -1)
        if (option == 'h' || !take_option(run, option)) {
            free(run);
            return option == 'h' ? usage(stdout, 0) : USAGE;
        }
    run->argv = argv + optind;
    if (run->lan != NULL && !is_domain(run->lan)) {
        status = USAGE;
    } else if (run->lan != NULL && (run->socket != NULL || run->conf != NULL)) {
        fprintf(stderr, "boxedge dev: --lan starts an edge of its own: it goes without --socket and -c\n");
        status = USAGE;
    } else if (optind == argc) {
        fprintf(stderr, "boxedge dev: which command? For example: boxedge dev -- npm run dev\n");
        status = USAGE;
    } else {
        status = run_all(run);
    }
    free(run);
    return status;
}
