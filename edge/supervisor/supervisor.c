/*
 * The supervisor's start, its loop, its signals and its end. See supervisor.h.
 */
#include "supervisor.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "clock.h"
#include "crash.h"
#include "descriptors.h"
#include "local_ca.h"
#include "lockfile.h"
#include "log_target.h"
#include "process.h"
#include "process_log.h"
#include "sd_notify.h"
#include "start_limits.h"
#include "supervisor_internal.h"

#define TURN_MS            200
#define WATCH_MS           5
#define TICKET_ROTATION_MS (12u * 3600 * 1000)
/* A longer gap between two heartbeat checks: we were stopped, and the others perhaps too. */
#define BLIND_MS 2000

void supervisor_set_state(supervisor_t *s, supervisor_state_t state)
{
    static const unsigned next[] = {
        [SUPERVISOR_STARTING] = 1u << SUPERVISOR_SERVING | 1u << SUPERVISOR_DRAINING,
        [SUPERVISOR_SERVING] = 1u << SUPERVISOR_UPGRADING | 1u << SUPERVISOR_DRAINING,
        [SUPERVISOR_UPGRADING] = 1u << SUPERVISOR_SERVING | 1u << SUPERVISOR_DRAINING,
        [SUPERVISOR_DRAINING] = 1u << SUPERVISOR_ENDED,
        [SUPERVISOR_ENDED] = 0,
    };
    assert((next[s->state] & 1u << state) != 0);
    s->state = state;
}

/* ---- start ---- */

static bool fail(const char *sentence)
{
    process_log(LOG_NOT_STARTED, NULL, "%s", sentence);
    return false;
}

static bool fail_errno(const char *what)
{
    process_log(LOG_NOT_STARTED, NULL, "%s: %s", what, strerror(errno));
    return false;
}

/* All handled signals come through one descriptor. */
static bool open_signals(supervisor_t *s)
{
    static const int ours[] = {SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
        sigaddset(&set, ours[i]);
    signal(SIGPIPE, SIG_IGN);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return false;
    s->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    return s->signal_fd >= 0;
}

/* Sockets would take closed standard descriptors. No process of the edge reads stdin. */
static bool open_standard(void)
{
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return false;
    for (int i = 0; i <= STDERR_FILENO; i++)
        if ((i == STDIN_FILENO || fcntl(i, F_GETFD) < 0) && dup2(fd, i) < 0)
            return false;
    if (fd > STDERR_FILENO)
        close(fd);
    return true;
}

/* Makes a new first ticket key and drops the oldest. */
static bool rotate_tickets(supervisor_t *s, uint64_t now_ms)
{
    tls_ticket_keys_t *keys = &s->tickets;
    const size_t room = sizeof(keys->secret) / sizeof(keys->secret[0]);
    memmove(keys->secret[1], keys->secret[0], sizeof(keys->secret[0]) * (room - 1));
    s->tickets_due_ms = now_ms + TICKET_ROTATION_MS;
    if (RAND_bytes(keys->secret[0], sizeof(keys->secret[0])) != 1)
        return false;
    keys->count = keys->count < room ? keys->count + 1 : keys->count;
    shm_ticket_keys_put(s->shm, keys);
    return true;
}

/* Joins the previous process; NULL, with the reason in the log, if that cannot be. */
static shm_t *join_shm(supervisor_t *s, const uint8_t seed[16])
{
    const char *why = NULL;
    shm_t *shm = shm_attach(s->core_fd, s->segment_fd, seed);
    if (shm == NULL) {
        why = errno == EPROTO ? "it is another version's" : strerror(errno);
        close(s->core_fd);
    } else if (shm_workers_free(shm) < s->snapshot->conf->workers) {
        why = "the workers of old processes fill it";
        s->segment_fd = shm_fd(shm) == s->segment_fd ? dup(s->segment_fd) : s->segment_fd;
        shm_leave(shm);
        shm_free(&shm);
    }
    if (why != NULL)
        process_log(LOG_SHARED_MEMORY_APART, NULL,
                    "the shared memory of the previous process cannot be joined: %s", why);
    return shm;
}

/* More loads than an edge sees. */
#define GENERATION_MOST ((uint64_t)1 << 32)

static bool make_shm(supervisor_t *s)
{
    uint8_t seed[16];
    if (RAND_bytes(seed, sizeof(seed)) != 1)
        return fail("the system provides no random bytes");
    s->shm = s->core_fd >= 0 ? join_shm(s, seed) : NULL;
    s->core_fd = -1; /* the core's, or closed */
    s->shares = s->shm != NULL;
    if (!s->shares)
        s->shm = shm_new(seed);
    OPENSSL_cleanse(seed, sizeof(seed));
    if (s->shm == NULL)
        return fail_errno("no shared memory");
    s->takes_tables = s->predecessor_fd >= 0 && (s->segment_fd < 0 || shm_fd(s->shm) != s->segment_fd);
    if (!s->takes_tables)
        s->segment_fd = -1; /* the segment's */
    uint64_t loads = atomic_load(shm_conf_generation(s->shm));
    s->generation = (loads < GENERATION_MOST ? loads : 0) + 1; /* any worker can write it */
    child_init(&s->controller, s->shm, CHILD_CONTROLLER, 0);
    child_init(&s->runner, s->shm, CHILD_RUNNER, 0);
    for (unsigned i = 0; i < SHM_WORKERS_MAX; i++)
        child_init(&s->workers[i], s->shm, CHILD_WORKER, i);
    return true;
}

static bool load_first(supervisor_t *s)
{
    process_lines_t lines;
    process_lines_open(&lines);
    s->snapshot = snapshot_load(s->conf_path, NULL, lines.out);
    process_lines_log(&lines, s->snapshot != NULL ? LOG_CONF_WARNING : LOG_CONF_ERROR);
    if (s->snapshot != NULL)
        reload_set_messages(s->snapshot->conf);
    return s->snapshot != NULL || fail("not started");
}

static bool limits_suffice(const supervisor_t *s)
{
    process_lines_t lines;
    conf_errors_t *errors = conf_errors_new();
    start_limits(s->snapshot->conf, s->descriptors, errors);
    bool ok = conf_errors_count(errors) == 0;
    process_lines_open(&lines);
    conf_errors_print(errors, lines.out);
    process_lines_log(&lines, LOG_CONF_ERROR);
    conf_errors_free(&errors);
    return ok || fail("not started");
}

static bool check_store(const supervisor_t *s)
{
    return supervisor_check_store(s) || fail("not started");
}

/* Under the lock, because without configured certificates this writes the local authority to
 * state_dir. */
static bool load_keys(supervisor_t *s)
{
    process_lines_t lines;
    process_lines_open(&lines);
    bool ok = snapshot_load_keys(s->snapshot, (uint64_t)time(NULL), lines.out);
    process_lines_log(&lines, ok ? LOG_CONF_WARNING : LOG_CONF_ERROR);
    return ok || fail("not started");
}

static bool is_path(const char *inherited, const char *wanted)
{
    return inherited != NULL && strcmp(inherited, wanted) == 0;
}

/* Keeps an inherited descriptor if its path is `wanted`; otherwise closes it. */
static void keep_inherited(int *fd, const char *inherited, const char *wanted)
{
    if (*fd < 0 || is_path(inherited, wanted))
        return;
    close(*fd);
    *fd = -1;
}

/* Takes the lock file `name` in the directory `dir`, which has the key `key` in the configuration,
 * unless it was inherited. */
static bool take_lock(int *fd, const char *dir, const char *name, const char *key)
{
    char path[PATH_MAX], error[PATH_MAX + 256];
    if (*fd >= 0)
        return true;
    if ((size_t)snprintf(path, sizeof(path), "%s/%s", dir, name) >= sizeof(path)) {
        process_log(LOG_NOT_STARTED, NULL, "%s is too long a path", key);
        return false;
    }
    *fd = lockfile_acquire(path, key, error, sizeof(error));
    return *fd >= 0 || fail(error);
}

/* Each directory belongs to one edge: two edges with one state_dir would not see each other's
 * changes. The names differ, because both may be the same directory. */
static bool take_locks(supervisor_t *s)
{
    const conf_t *conf = s->snapshot->conf;
    /* Workers of the old edge read another store. */
    if (s->shares &&
        (!is_path(s->inherited_run_dir, conf->run_dir) || !is_path(s->inherited_state_dir, conf->state_dir)))
        s->shares = false;
    keep_inherited(&s->lock_fd, s->inherited_run_dir, conf->run_dir);
    keep_inherited(&s->state_lock_fd, s->inherited_state_dir, conf->state_dir);
    return take_lock(&s->lock_fd, conf->run_dir, RUN_LOCK, "run_dir") &&
           take_lock(&s->state_lock_fd, conf->state_dir, STATE_LOCK, "state_dir");
}

static bool open_sockets(supervisor_t *s)
{
    const privileges_t *user = &s->snapshot->privileges;
    char error[512];
    listener_set_t *inherited = s->listeners;
    const listener_sources_t from = {.passed = &s->passed, .old = inherited};
    process_lines_t lines;

    process_lines_open(&lines);
    passed_sockets_warn(&s->passed, s->snapshot->conf, lines.out);
    process_lines_log(&lines, LOG_CONF_WARNING);
    s->listeners =
        listener_set_open(s->snapshot->conf, &from, START_LISTEN_PATIENCE_MS, error, sizeof(error));
    listener_set_free(&inherited);
    if (s->listeners == NULL)
        return fail(error);
    keep_inherited(&s->admin_fd, s->inherited_admin, s->snapshot->conf->admin_socket);
    if (s->admin_fd < 0)
        s->admin_fd = listener_unix_open(s->snapshot->conf->admin_socket, user->drop ? user->uid : (uid_t)-1,
                                         user->drop ? user->gid : (gid_t)-1, error, sizeof(error));
    if (s->admin_fd < 0)
        return fail(error);
    return log_target_open(s->snapshot->conf, &s->log, error, sizeof(error)) || fail(error);
}

void supervisor_check_descriptors(const supervisor_t *s)
{
    uint32_t wanted = s->snapshot->conf->limits.connections;
    uint32_t most = descriptors_for_clients(descriptors_usable(s->descriptors), wanted);
    if (most < wanted)
        process_log(
            LOG_DESCRIPTORS_FEW, NULL,
            "a process may have %zu descriptors: a worker holds %u client connections instead of the %u of "
            "limits.connections (raise LimitNOFILE, or lower limits.connections)",
            s->descriptors, most, wanted);
}

static bool start(supervisor_t *s)
{
    char error[256];
    prctl(PR_SET_NAME, "boxedge", 0, 0, 0);
    privileges_hide_memory();
    if (!open_standard() || !open_signals(s))
        return fail_errno("cannot start");
    if (!logger_start(&s->logger))
        return fail_errno("no process for the log");
    crash_catch(NULL);
    if (!passed_sockets_take(&s->passed, error, sizeof(error)))
        return fail(error);
    if (!start_limits_files(error, sizeof(error)))
        return fail(error);
    s->descriptors = privileges_raise_descriptors();
    if (inherit_handoff(s))
        process_log(LOG_UPGRADE_TAKES_OVER, NULL, "taking over from process %d", (int)getppid());
    if (!load_first(s) || !make_shm(s) || !limits_suffice(s) || !take_locks(s) || !check_store(s) ||
        !load_keys(s) || !open_sockets(s))
        return false;
    supervisor_check_descriptors(s);
    uint64_t now = clock_now_ms();
    /* Inherited keys stay in use until their time. */
    if (s->tickets.count > 0) {
        /* inherited: keep them */
        shm_ticket_keys_put(s->shm, &s->tickets);
        s->tickets_due_ms = now + TICKET_ROTATION_MS;
    } else if (!rotate_tickets(s, now)) {
        return fail("the system provides no random bytes");
    }
    facts_loaded(s, true);
    s->awaits_go = s->predecessor_fd >= 0;
    if (s->awaits_go)
        inherit_prepared(s);
    else
        supervisor_start_children(s);
    return true;
}

/* Our segment has another layout than the predecessor's: copies what both understand. */
static void take_tables(supervisor_t *s)
{
    static const char *const names[SHM_TABLES] = {[SHM_LOCKOUTS] = ", lockouts",
                                                  [SHM_LIMITS] = ", limits",
                                                  [SHM_UPSTREAMS] = ", servers of upstreams",
                                                  [SHM_TABS] = ", forgotten tabs"};
    char missing[96] = "";
    if (!s->takes_tables)
        return;
    unsigned left = shm_tables_copy(s->shm, s->segment_fd);
    for (size_t i = 0; i < SHM_TABLES; i++)
        if ((left & 1u << i) != 0)
            strncat(missing, names[i], sizeof(missing) - strlen(missing) - 1);
    process_log(LOG_SHARED_MEMORY_NEW, NULL,
                "the shared memory of the previous process %s: counters%s start anew",
                s->segment_fd >= 0 ? "has another layout" : "is no file", missing);
    if (s->segment_fd >= 0)
        close(s->segment_fd);
    s->segment_fd = -1;
    s->takes_tables = false;
}

void supervisor_start_children(supervisor_t *s)
{
    uint64_t now = clock_now_ms();
    take_tables(s);
    s->awaits_go = false;
    s->controller.wanted = true;
    s->controller.due_ms = now;
    child_set_state(&s->controller, CHILD_WAITING);
    supervise_runner(s, now);
    supervise_workers(s, now);
}

/* ---- readiness ---- */

static bool all_ready(const supervisor_t *s)
{
    if (s->controller.state != CHILD_READY || (s->runner.wanted && s->runner.state != CHILD_READY))
        return false;
    for (unsigned i = 0; i < s->snapshot->conf->workers; i++)
        if (s->workers[i].state != CHILD_READY)
            return false;
    return true;
}

/* The one line that quickstart and tests wait for. */
static void announce(const supervisor_t *s)
{
    static const char *const kinds[] = {"tls", "redirect", "plain", "health", "metrics"};
    const conf_t *conf = s->snapshot->conf;
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    if (out == NULL)
        return;
    for (size_t i = 0; i < conf->listener_count; i++)
        fprintf(out, "%s%s %s", i > 0 ? ", " : "", kinds[conf->listeners[i].kind], conf->listeners[i].text);
    fclose(out);
    process_log(LOG_READY, NULL, "ready: %u workers, %s", conf->workers, text);
    free(text);
}

/* In the shared segment, for `boxedge status`. */
static void announce_edge(supervisor_t *s)
{
    core_edge_t *edge = shm_own_edge(s->shm);
    uint64_t words[sizeof(edge->version) / 8] = {0};
    const size_t n = sizeof(BOXEDGE_VERSION) - 1;
    memcpy(words, BOXEDGE_VERSION, n < sizeof(words) ? n : sizeof(words));
    for (size_t i = 0; i < sizeof(words) / 8; i++)
        atomic_store(&edge->version[i], words[i]);
    atomic_store(&edge->since_s, (uint64_t)time(NULL));
    atomic_store(shm_conf_generation(s->shm), s->generation);
}

static void check_ready(supervisor_t *s)
{
    char state[64], advice[1024];
    if (s->state != SUPERVISOR_STARTING || !all_ready(s))
        return;
    supervisor_set_state(s, SUPERVISOR_SERVING);
    if (s->snapshot->local_authority) {
        local_ca_advice(s->snapshot->conf->state_dir, advice, sizeof(advice));
        process_log(LOG_LOCAL_AUTHORITY, NULL, "%s", advice);
    }
    if (s->predecessor_fd >= 0)
        reload_log(s); /* a rotation during the start reached the predecessor only */
    lockfile_sign(s->lock_fd);
    lockfile_sign(s->state_lock_fd);
    announce(s);
    snprintf(state, sizeof(state), "MAINPID=%d\nSTATUS=serving\nREADY=1", (int)getpid());
    sd_notify_send(state);
    announce_edge(s);
    inherit_served(s);
}

/* ---- the loop ---- */

static void on_signal(supervisor_t *s, int signal_number)
{
    switch (signal_number) {
    case SIGCHLD:
        break; /* every turn reaps */
    case SIGHUP:
        s->reload_wanted = true;
        break;
    case SIGUSR1:
        reload_log(s);
        break;
    case SIGUSR2:
        upgrade_begin(s, false);
        break;
    default:
        assert(signal_number == SIGTERM || signal_number == SIGINT);
        supervisor_leave(s);
    }
}

static void take_signals(supervisor_t *s)
{
    struct signalfd_siginfo info;
    while (read(s->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
        on_signal(s, (int)info.ssi_signo);
}

/* Waits for signals and messages, and takes them. */
static void wait_for_work(supervisor_t *s, int timeout_ms)
{
    struct pollfd fds[SHM_WORKERS_MAX + 4 + ELDERS_MAX];
    child_slot_t *children[SHM_WORKERS_MAX + 4] = {NULL};
    nfds_t count = 0, first_elder;

    fds[count++] = (struct pollfd){.fd = s->signal_fd, .events = POLLIN};
    fds[count++] = (struct pollfd){.fd = s->upgrade_fd, .events = POLLIN};
    children[count] = &s->controller;
    fds[count++] = (struct pollfd){.fd = s->controller.fd, .events = POLLIN};
    children[count] = &s->runner;
    fds[count++] = (struct pollfd){.fd = s->runner.fd, .events = POLLIN};
    for (unsigned i = 0; i < SHM_WORKERS_MAX; i++) {
        if (s->workers[i].fd < 0)
            continue;
        children[count] = &s->workers[i];
        fds[count++] = (struct pollfd){.fd = s->workers[i].fd, .events = POLLIN};
    }
    first_elder = count;
    for (size_t i = 0; i < s->elder_count; i++)
        fds[count++] = (struct pollfd){.fd = elders_listens(s, i) ? s->elders[i].fd : -1, .events = POLLIN};
    if (poll(fds, count, timeout_ms) <= 0)
        return;
    for (nfds_t i = 2; i < first_elder; i++)
        if (fds[i].revents != 0)
            supervise_receive(s, children[i]);
    /* From the last one: one that has ended leaves the list. */
    for (nfds_t i = count; i-- > first_elder;)
        if (fds[i].revents != 0)
            elders_receive(s, i - first_elder);
    if (fds[1].revents != 0)
        upgrade_receive(s);
    if (fds[0].revents != 0)
        take_signals(s);
}

static void look_after_children(supervisor_t *s)
{
    uint64_t now = clock_now_ms();
    if (now - s->looked_ms > BLIND_MS)
        s->watch_from_ms = now;
    s->looked_ms = now;
    supervise_watch(s, now);
    facts_turn(s, now);
    queues_turn(s, now);
    store_watch_turn(s, now);
}

/* The service manager restarts a supervisor that hangs. After a handover the successor has that duty. */
static void show_life(supervisor_t *s, uint64_t now_ms)
{
    if (s->watchdog_ms == 0 || s->handed_over || now_ms < s->watchdog_due_ms)
        return;
    s->watchdog_due_ms = now_ms + s->watchdog_ms;
    sd_notify_send("WATCHDOG=1");
}

static void turn(supervisor_t *s)
{
    wait_for_work(s,
                  supervisor_timeout(s, clock_now_ms(), supervisor_awaits_workers(s) ? WATCH_MS : TURN_MS));
    uint64_t now = clock_now_ms();
    show_life(s, now);
    supervise_reap(s, now);
    supervise_logger(s, now);
    check_ready(s);
    if (s->reload_wanted && s->state != SUPERVISOR_STARTING)
        reload_conf(s);
    reload_changed_certificates(s, now);
    look_after_children(s);
    lost_repeat(s, now);
    upgrade_watch(s, now);
    if (now >= s->tickets_due_ms && s->state == SUPERVISOR_SERVING) {
        if (!rotate_tickets(s, now))
            process_log(LOG_TICKET_KEYS_KEPT, NULL,
                        "the system provides no random bytes: ticket keys stay as they are");
        reload_local_certificate(s);
    }
    supervisor_leave_turn(s, now);
    if (s->state == SUPERVISOR_DRAINING)
        supervisor_drain_turn(s);
    else
        supervise_start_due(s, clock_now_ms());
}

static void clean_up(supervisor_t *s)
{
    int *fds[] = {&s->lock_fd, &s->state_lock_fd, &s->log.fd, &s->signal_fd, &s->upgrade_fd};
    if (s->admin_fd >= 0) {
        /* The path belongs to another edge while our predecessor or successor serves on it. */
        if (!s->handed_over && s->predecessor_fd < 0 && s->snapshot != NULL)
            (void)unlink(s->snapshot->conf->admin_socket);
        close(s->admin_fd);
    }
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
        if (*fds[i] >= 0)
            close(*fds[i]);
    elders_leave(s);
    free(s->inherited_run_dir);
    free(s->inherited_state_dir);
    free(s->inherited_admin);
    listener_set_free(&s->listeners);
    passed_sockets_close(&s->passed);
    snapshot_free(&s->snapshot);
    if (s->shm != NULL)
        shm_leave(s->shm);
    shm_free(&s->shm);
    OPENSSL_cleanse(&s->tickets, sizeof(s->tickets));
}

int supervisor_run(const char *conf_path, char **argv, const supervisor_children_t *children)
{
    supervisor_t *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return 1;
    s->conf_path = conf_path;
    s->argv = argv;
    s->children = children;
    s->pid = getpid();
    s->watchdog_ms = sd_watchdog_interval_ms();
    s->logger = LOGGER_NONE;
    s->lock_fd = s->state_lock_fd = s->admin_fd = s->log.fd = s->signal_fd = s->upgrade_fd =
        s->predecessor_fd = s->core_fd = s->segment_fd = -1;
    if (!start(s)) {
        s->exit_status = 1;
    } else {
        while (s->state != SUPERVISOR_ENDED)
            turn(s);
        process_log(LOG_ENDED, NULL, "ended");
    }
    clean_up(s);
    logger_finish(&s->logger);
    int status = s->exit_status;
    free(s);
    privileges_before_exit();
    return status;
}
