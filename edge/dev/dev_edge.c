#include "dev_edge.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "admin_client.h"
#include "conf_environment.h"
#include "conf_errors.h"

/* The first port that it tries, the number of ports, and its time limits. */
#define FIRST_PORT 8443
#define PORTS      100
#define TRIES      4
#define START_MS   60000
#define END_MS     15000
#define STEP_MS    20
#define AGAIN_MS   500
#define ANSWER_S   10

static void pause_ms(long ms)
{
    const struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&time, NULL);
}

/* "<dir>/<name>"; false if it is too long. */
static bool join(char out[DEV_PATH_MAX], const char *dir, const char *name)
{
    int n = snprintf(out, DEV_PATH_MAX, "%s/%s", dir, name);
    return n > 0 && n < DEV_PATH_MAX;
}

int dev_edge_ask(const dev_edge_t *edge, const char *method, const char *target, json_t *body, json_t **out)
{
    admin_answer_t answer = {0};
    admin_client_result_t result =
        admin_client_request(edge->socket, method, target, body, ANSWER_S, &answer);
    int status = result == ADMIN_CLIENT_OK ? answer.status : 0;
    if (out != NULL)
        *out = status != 0 && answer.json != NULL ? json_incref(answer.json) : NULL;
    admin_answer_fini(&answer);
    json_decref(body);
    return status;
}

static bool answers(const dev_edge_t *edge)
{
    return dev_edge_ask(edge, "GET", "/readyz", NULL, NULL) == 200;
}

/* ---- the keeper ---- */

static void on_signal(int number)
{
    (void)number; /* interrupts flock */
}

static void handle(int number, void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler};
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(number, &action, NULL);
}

static _Noreturn void run_edge(const char *conf, const char *log, pid_t keeper)
{
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    int log_fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (null_fd < 0 || log_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0 || dup2(null_fd, STDOUT_FILENO) < 0 ||
        dup2(log_fd, STDERR_FILENO) < 0 || prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0) != 0 ||
        getppid() != keeper)
        _exit(126);
    (void)execl("/proc/self/exe", "boxedge", "run", "-c", conf, (char *)NULL);
    _exit(127);
}

static void end_edge(pid_t edge)
{
    (void)kill(edge, SIGTERM);
    for (long waited = 0; waitpid(edge, NULL, WNOHANG) == 0; waited += STEP_MS) {
        if (waited == END_MS)
            (void)kill(edge, SIGKILL);
        pause_ms(STEP_MS);
    }
}

/* Runs until no command uses the edge, or the edge has ended by itself. */
static _Noreturn void keep(const dev_place_t *place, const char *conf, const char *log)
{
    /* A signal between a look at the edge and flock would be missed: look again each second. */
    static const struct itimerval each_second = {{1, 0}, {1, 0}};
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)setsid();
    (void)prctl(PR_SET_NAME, "boxedge-dev", 0, 0, 0);
    handle(SIGCHLD, on_signal);
    handle(SIGALRM, on_signal);
    handle(SIGINT, SIG_IGN);
    handle(SIGHUP, SIG_IGN);
    handle(SIGPIPE, SIG_IGN);
    handle(SIGTERM, SIG_DFL); /* ends the edge as well, by its parent's death */
    int null_fd = open("/dev/null", O_RDWR);
    for (int fd = 0; fd <= STDERR_FILENO; fd++)
        (void)dup2(null_fd, fd);
    (void)close_range(STDERR_FILENO + 1, ~0u, 0);
    pid_t self = getpid(), edge = fork();
    if (edge == 0)
        run_edge(conf, log, self);
    int lock = open(place->state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    (void)setitimer(ITIMER_REAL, &each_second, NULL);
    bool runs = edge > 0;
    while (runs && flock(lock, LOCK_EX) != 0)
        runs = waitpid(edge, NULL, WNOHANG) == 0;
    if (!runs)
        _exit(1); /* the commands that use it start another one */
    end_edge(edge);
    dev_place_clear(place);
    _exit(0);
}

/* ---- the start of an edge ---- */

static bool can_listen(int family, uint16_t port)
{
    struct sockaddr_in v4 = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 v6 = {
        .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = in6addr_loopback};
    const int on = 1;
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool ok = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
              (family == AF_INET ? bind(fd, (const struct sockaddr *)&v4, sizeof(v4))
                                 : bind(fd, (const struct sockaddr *)&v6, sizeof(v6))) == 0 &&
              listen(fd, 1) == 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

/* A free port of both loopback addresses, the first from `from` on; 0: none. */
static uint16_t find_port(uint16_t from, bool *v6)
{
    *v6 = can_listen(AF_INET6, 0);
    for (uint16_t port = from; port < FIRST_PORT + PORTS; port++)
        if (can_listen(AF_INET, port) && (!*v6 || can_listen(AF_INET6, port)))
            return port;
    return 0;
}

/* Names are quoted as YAML reads them; a path with a quote or a backslash is refused. */
static bool write_conf(const dev_edge_t *edge, const char *path, uint16_t from)
{
    bool v6;
    const dev_place_t *place = &edge->place;
    uint16_t port = find_port(from, &v6);
    if (port == 0 || strpbrk(place->state, "\"\\\n") != NULL || strpbrk(place->run, "\"\\\n") != NULL)
        return false;
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    FILE *out = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (out == NULL)
        return false;
    fprintf(out,
            "# Made by `boxedge dev`, and removed with its edge.\n"
            "preview_domain: %s\n"
            "listeners:\n  - {address: \"127.0.0.1:%u\", kind: tls}\n",
            edge->lan != NULL ? edge->lan : DEV_DOMAIN, port);
    if (edge->lan != NULL)
        fprintf(out, "  - {address: \"%s:%u\", kind: tls}\n", edge->lan_address, port);
    if (v6)
        fprintf(out, "  - {address: \"[::1]:%u\", kind: tls}\n", port);
    fprintf(out,
            "public_port: %u\nworkers: 1\nuser: \"\"\nstate_dir: \"%s\"\nrun_dir: \"%s\"\n"
            "store: {map_size: 256MiB}\nlog: {access: stdout}\ntimeouts: {drain: 500ms, drain_tunnels: 1s}\n",
            port, place->state, place->run);
    bool ok = fflush(out) == 0 && ferror(out) == 0;
    return fclose(out) == 0 && ok;
}

static void print_log(const char *path)
{
    char line[1024];
    FILE *log = fopen(path, "re");
    while (log != NULL && fgets(line, sizeof(line), log) != NULL)
        fprintf(stderr, "  %s", line);
    if (log != NULL)
        fclose(log);
}

/* Waits until the edge serves. False if its keeper has ended. */
static bool await(dev_edge_t *edge, pid_t keeper)
{
    for (long waited = 0; keeper > 0 && waited < START_MS; waited += STEP_MS) {
        if (answers(edge))
            return true;
        if (waitpid(keeper, NULL, WNOHANG) == keeper)
            return false;
        pause_ms(STEP_MS);
    }
    return false;
}

/* Makes the files that the edge needs. Returns false after a sentence on stderr. */
static bool prepare(dev_edge_t *edge, const char *conf, uint16_t from)
{
    char error[512] = "";
    bool ok =
        dev_place_make(&edge->place, error, sizeof(error)); /* first: it refuses what belongs to others */
    if (ok)
        dev_place_clear(&edge->place); /* of an edge that was killed */
    if (ok && dev_place_make(&edge->place, error, sizeof(error)) && write_conf(edge, conf, from))
        return true;
    fprintf(stderr, "boxedge dev: no edge can be started: %s\n",
            error[0] != '\0' ? error : "its directory cannot be written, or ports 8443 to 8542 are taken");
    return false;
}

/* Starts a keeper with an edge. False if that does not serve. */
static bool run(dev_edge_t *edge, const char *conf, const char *log)
{
    pid_t keeper = fork();
    if (keeper == 0)
        keep(&edge->place, conf, log);
    if (!await(edge, keeper))
        return false;
    return edge->started = true;
}

/* Starts the keeper with the edge. `again`: first with the files of the edge of before, which has the
 * previews. An edge of another user may take the port in the meantime. */
static bool start(dev_edge_t *edge, bool again)
{
    char conf[DEV_PATH_MAX], log[DEV_PATH_MAX];
    if (!join(conf, edge->place.run, "edge.yaml") || !join(log, edge->place.run, "edge.log"))
        return false;
    /* The edge of before may still be ending, and has its locks and ports until then. */
    for (long waited = 0; again && waited < END_MS && access(conf, R_OK) == 0; waited += AGAIN_MS) {
        if (run(edge, conf, log))
            return true;
        pause_ms(AGAIN_MS);
    }
    for (int i = 0; i < TRIES; i++) {
        uint16_t from = (uint16_t)(FIRST_PORT + (i == 0 ? 0 : (getpid() + i) % (PORTS / 2)));
        if (!prepare(edge, conf, from))
            return false;
        if (run(edge, conf, log))
            return true;
    }
    fprintf(stderr, "boxedge dev: its edge does not start:\n");
    print_log(log);
    dev_place_clear(&edge->place);
    return false;
}

/* Locks the directory, and waits while a keeper ends an edge. */
static bool lock_users(dev_edge_t *edge)
{
    edge->users_fd = open(edge->place.state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (long waited = 0; edge->users_fd >= 0 && waited < 2 * END_MS; waited += STEP_MS) {
        if (flock(edge->users_fd, LOCK_SH | LOCK_NB) == 0)
            return true;
        pause_ms(STEP_MS);
    }
    fprintf(stderr, "boxedge dev: %s cannot be locked: %s\n", edge->place.state, strerror(errno));
    return false;
}

/* Joins the own edge, or starts it; one command at a time. */
static bool join_own(dev_edge_t *edge, bool again)
{
    char ca[DEV_PATH_MAX];
    edge->own = true;
    if (!join(ca, edge->place.state, "ca"))
        return false;
    int lock = open(ca, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (lock < 0 || flock(lock, LOCK_EX) != 0) {
        fprintf(stderr, "boxedge dev: %s cannot be locked: %s\n", ca, strerror(errno));
        if (lock >= 0)
            close(lock);
        return false;
    }
    bool ok = answers(edge) || start(edge, again);
    close(lock);
    return ok;
}

bool dev_edge_restart(dev_edge_t *edge)
{
    return edge->own && join_own(edge, true);
}

/* ---- edges that run already ---- */

/* The socket of the user that an edge with this configuration (NULL: the defaults of this user) has. */
static bool conf_socket(const char *path, char out[DEV_PATH_MAX])
{
    static const char nothing[] = "preview_domain: preview.example\n"
                                  "listeners: [{address: \"127.0.0.1:8443\", kind: tls}]\n";
    conf_environment_t env;
    conf_errors_t *errors = conf_errors_new();
    conf_environment_read(&env);
    conf_t *conf = path != NULL ? conf_load_in(&env, path, errors)
                                : conf_parse_in(&env, "defaults", str_from(nothing), errors);
    if (conf == NULL && path != NULL)
        conf_errors_print(errors, stderr);
    conf_errors_free(&errors);
    int n = conf != NULL ? snprintf(out, DEV_PATH_MAX, "%s", conf->admin_socket) : -1;
    conf_release(&conf);
    return n > 0 && n < DEV_PATH_MAX;
}

/* An edge gives a port of this machine to visitors: only its own user may ask for that. */
static bool is_of_this_user(const char *socket, unsigned *uid)
{
    struct stat st;
    *uid = stat(socket, &st) == 0 ? (unsigned)st.st_uid : (unsigned)geteuid();
    return *uid == (unsigned)geteuid();
}

/* Joins the edge that the options name. */
static bool join_named(dev_edge_t *edge, const char *socket, const char *conf)
{
    unsigned uid;
    int n = socket != NULL ? snprintf(edge->socket, DEV_PATH_MAX, "%s", socket) : 0;
    if (n < 0 || n >= DEV_PATH_MAX || (socket == NULL && !conf_socket(conf, edge->socket))) {
        fprintf(stderr, "boxedge dev: the admin socket of that edge is not known\n");
        return false;
    }
    if (!is_of_this_user(edge->socket, &uid)) {
        fprintf(stderr,
                "boxedge dev: the edge at %s belongs to user %u, and you are user %u. It gives ports of this "
                "machine "
                "to visitors, so only its own user may add one. Without --socket and -c, an edge of your own "
                "starts.\n",
                edge->socket, uid, (unsigned)geteuid());
        return false;
    }
    if (answers(edge))
        return true;
    fprintf(stderr, "boxedge dev: no edge serves at %s\n", edge->socket);
    return false;
}

/* Joins the edge at this user's default socket, if any. */
static bool join_default(dev_edge_t *edge)
{
    unsigned uid;
    return conf_socket(NULL, edge->socket) && access(edge->socket, F_OK) == 0 &&
           is_of_this_user(edge->socket, &uid) && answers(edge);
}

/* The address from which packets to other networks would leave: connect sends none for UDP. */
bool dev_edge_lan_address(char out[INET_ADDRSTRLEN])
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(9)};
    socklen_t len = sizeof(at);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool ok = fd >= 0 && inet_pton(AF_INET, "192.0.2.1", &at.sin_addr) == 1 && /* RFC 5737: of nobody */
              connect(fd, (const struct sockaddr *)&at, sizeof(at)) == 0 &&
              getsockname(fd, (struct sockaddr *)&at, &len) == 0 &&
              ntohl(at.sin_addr.s_addr) >> 24 != IN_LOOPBACKNET &&
              inet_ntop(AF_INET, &at.sin_addr, out, INET_ADDRSTRLEN) != NULL;
    if (fd >= 0)
        close(fd);
    return ok;
}

bool dev_edge_join(dev_edge_t *edge, const char *socket, const char *conf, const char *lan)
{
    char error[512];
    const char *environment = getenv("BOXEDGE_SOCKET");
    *edge = (dev_edge_t){.users_fd = -1, .lan = lan};
    if (lan != NULL && !dev_edge_lan_address(edge->lan_address)) {
        fprintf(stderr, "boxedge dev: this machine has no IPv4 address that other machines reach\n");
        return false;
    }
    if (lan == NULL && socket == NULL && conf == NULL && environment != NULL && environment[0] != '\0')
        socket = environment;
    if (socket != NULL || conf != NULL)
        return join_named(edge, socket, conf);
    if (lan == NULL && join_default(edge))
        return true;
    if (!dev_place_find(&edge->place, lan != NULL, error, sizeof(error)) ||
        !dev_place_make(&edge->place, error, sizeof(error))) {
        fprintf(stderr, "boxedge dev: %s\n", error);
        return false;
    }
    if (!join(edge->socket, edge->place.run, "admin.sock") || !lock_users(edge))
        return false;
    if (join_own(edge, false))
        return true;
    dev_edge_leave(edge);
    return false;
}

/* Whether the keeper still has work: it waits for the lock, or holds it. */
static bool is_ending(const dev_edge_t *edge)
{
    int fd = open(edge->place.state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool alone = flock(fd, LOCK_EX | LOCK_NB) == 0;
    bool others = !alone && flock(fd, LOCK_SH | LOCK_NB) == 0; /* else the keeper has it */
    close(fd);
    return !others && access(edge->place.run, F_OK) == 0;
}

void dev_edge_leave(dev_edge_t *edge)
{
    if (edge->users_fd < 0)
        return;
    close(edge->users_fd);
    edge->users_fd = -1;
    for (long waited = 0; waited < END_MS && is_ending(edge); waited += STEP_MS)
        pause_ms(STEP_MS);
}
