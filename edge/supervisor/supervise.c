/*
 * The supervision of roles: forks, the consequences of a death, and the watchdog. See
 * supervisor_internal.h.
 */
#include "supervisor_internal.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "children.h"
#include "clock.h"
#include "process.h"
#include "process_log.h"

/* Per-turn message limit, so that one role cannot starve the others. */
#define MESSAGES_A_TURN 64
/* EX_NOPERM of sysexits.h. */
#define EXIT_NO_PRIVILEGES 77
/* Boxes have 10 s to end by themselves (runner_box.h). */
#define RUNNER_DRAIN_MS 13000

/* ---- forking ---- */

/* In a child: the steps of every role before its own function. */
static void enter_role(const supervisor_t *s, const role_t *role)
{
    if (privileges_drop(&s->snapshot->privileges, s->pid))
        return;
    process_log(role->name, "cannot give up its rights: %s", strerror(errno));
    _exit(EXIT_NO_PRIVILEGES);
}

static _Noreturn void leave_role(int status)
{
    privileges_before_exit();
    exit(status);
}

static _Noreturn void run_worker(supervisor_t *s, role_t *role, int channel, int peer)
{
    int listen_fds[PROCESS_LISTENERS_MAX];
    assert(s->listeners->count <= PROCESS_LISTENERS_MAX);
    for (size_t i = 0; i < s->listeners->count; i++)
        listen_fds[i] = s->listeners->at[i].fds[role->index];
    enter_role(s, role);
    const worker_args_t args = {
        .index = role->index,
        .conf = conf_acquire(s->snapshot->conf),
        .shm = s->shm,
        .supervisor_fd = channel,
        .controller_fd = peer,
        .access_log_fd = s->log_fd,
        .pems = s->snapshot->pems,
        .pem_count = s->snapshot->pem_count,
        .origin_pems = s->snapshot->origin_pems,
        .listen_fds = listen_fds,
    };
    leave_role(s->roles->worker(&args));
}

static _Noreturn void run_controller(supervisor_t *s, role_t *role, int channel, const int *peers)
{
    enter_role(s, role);
    snapshot_forget_keys(s->snapshot);
    controller_args_t args = {
        .conf = conf_acquire(s->snapshot->conf),
        .shm = s->shm,
        .supervisor_fd = channel,
        .admin_fd = s->admin_fd,
        .runner_lives = role_alive(&s->runner),
    };
    memcpy(args.worker_fds, peers, sizeof(args.worker_fds));
    leave_role(s->roles->controller(&args));
}

/* Removes the secrets that a child with the supervisor's rights does not need. */
static void forget_secrets(supervisor_t *s)
{
    snapshot_forget_keys(s->snapshot);
    OPENSSL_cleanse(&s->tickets, sizeof(s->tickets));
}

/* Keeps its rights, and otherwise only the resources that it needs. */
static _Noreturn void run_runner(supervisor_t *s, int channel)
{
    forget_secrets(s);
    const runner_args_t args = {
        .conf = conf_acquire(s->snapshot->conf), .shm = s->shm, .supervisor_fd = channel};
    leave_role(s->roles->runner(&args));
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* A fork or a pair failed for lack of resources: try again in a second. */
static void start_failed(role_t *role, uint64_t now_ms)
{
    process_log(NULL, "%s cannot be started: %s; tried again in 1 s", role->name, strerror(errno));
    role->due_ms = now_ms + 1000;
    if (role->state != ROLE_WAITING)
        role_set_state(role, ROLE_WAITING);
}

static void start_worker(supervisor_t *s, role_t *role, uint64_t now_ms)
{
    int channel[2] = {-1, -1}, peer[2] = {-1, -1};
    int keep[PROCESS_LISTENERS_MAX + 3];
    size_t count = 0;

    if (!ipc_pair(channel) || (role_alive(&s->controller) && !ipc_pair(peer))) {
        start_failed(role, now_ms);
        goto Done;
    }
    keep[count++] = channel[1];
    keep[count++] = peer[1];
    keep[count++] = s->log_fd;
    for (size_t i = 0; i < s->listeners->count; i++)
        keep[count++] = s->listeners->at[i].fds[role->index];
    pid_t pid = role_fork(role, now_ms, keep, count);
    if (pid < 0) {
        start_failed(role, now_ms);
        goto Done;
    }
    if (pid == 0)
        run_worker(s, role, channel[1], peer[1]);
    role->fd = channel[0];
    channel[0] = -1;
    role->generation = s->generation;
    if (peer[0] >= 0)
        role_send(&s->controller, PROCESS_PEER, role->index, STR(""), &peer[0], 1);
Done:
    close_fd(&channel[0]);
    close_fd(&channel[1]);
    close_fd(&peer[0]);
    close_fd(&peer[1]);
}

/* Makes the channel between the controller and the runner, if both exist. If that fails, process
 * boxes do not wake until one of the two is restarted. */
void supervise_join_runner(supervisor_t *s)
{
    int pair[2];
    if (!role_alive(&s->controller) || !role_alive(&s->runner))
        return;
    if (!ipc_pair(pair)) {
        process_log(NULL, "the controller and the runner cannot be joined: %s", strerror(errno));
        return;
    }
    role_send(&s->controller, PROCESS_RUNNER, 0, STR(""), &pair[0], 1);
    role_send(&s->runner, PROCESS_PEER, 0, STR(""), &pair[1], 1);
    close_fd(&pair[0]);
    close_fd(&pair[1]);
}

void supervise_join_worker(supervisor_t *s, role_t *worker)
{
    int pair[2];
    if (!role_alive(&s->controller) || !role_alive(worker))
        return;
    if (!ipc_pair(pair)) {
        process_log(NULL, "the controller and %s cannot be joined: %s", worker->name, strerror(errno));
        return;
    }
    role_send(&s->controller, PROCESS_PEER, worker->index, STR(""), &pair[0], 1);
    role_send(worker, PROCESS_PEER, 0, STR(""), &pair[1], 1);
    close_fd(&pair[0]);
    close_fd(&pair[1]);
}

static void start_runner(supervisor_t *s, uint64_t now_ms)
{
    role_t *role = &s->runner;
    int channel[2] = {-1, -1};
    pid_t pid = -1;
    if (ipc_pair(channel)) {
        int keep[] = {channel[1]};
        pid = role_fork(role, now_ms, keep, 1);
    }
    if (pid == 0)
        run_runner(s, channel[1]);
    if (pid < 0) {
        start_failed(role, now_ms);
    } else {
        role->fd = channel[0];
        channel[0] = -1;
        role->generation = s->generation;
        supervise_join_runner(s);
    }
    close_fd(&channel[0]);
    close_fd(&channel[1]);
}

static void start_controller(supervisor_t *s, uint64_t now_ms)
{
    role_t *role = &s->controller;
    int channel[2] = {-1, -1};
    int ours[SHM_WORKERS_MAX], theirs[SHM_WORKERS_MAX]; /* the workers' ends, the controller's */
    int keep[SHM_WORKERS_MAX + 2];
    pid_t pid = -1;

    memset(ours, 0xff, sizeof(ours));
    memset(theirs, 0xff, sizeof(theirs));
    bool ok = ipc_pair(channel);
    for (unsigned i = 0; ok && i < SHM_WORKERS_MAX; i++) {
        int pair[2];
        if (!role_alive(&s->workers[i]))
            continue;
        ok = ipc_pair(pair);
        ours[i] = ok ? pair[0] : -1;
        theirs[i] = ok ? pair[1] : -1;
    }
    if (ok) {
        memcpy(keep, theirs, sizeof(theirs));
        keep[SHM_WORKERS_MAX] = channel[1];
        keep[SHM_WORKERS_MAX + 1] = s->admin_fd;
        pid = role_fork(role, now_ms, keep, SHM_WORKERS_MAX + 2);
    }
    if (pid == 0)
        run_controller(s, role, channel[1], theirs);
    if (pid < 0) {
        start_failed(role, now_ms);
    } else {
        role->fd = channel[0];
        channel[0] = -1;
        role->generation = s->generation;
        for (unsigned i = 0; i < SHM_WORKERS_MAX; i++)
            if (ours[i] >= 0)
                role_send(&s->workers[i], PROCESS_PEER, 0, STR(""), &ours[i], 1);
        supervise_join_runner(s);
    }
    close_fd(&channel[0]);
    close_fd(&channel[1]);
    for (unsigned i = 0; i < SHM_WORKERS_MAX; i++) {
        close_fd(&ours[i]);
        close_fd(&theirs[i]);
    }
}

void supervise_start_due(supervisor_t *s, uint64_t now_ms)
{
    if (s->controller.state == ROLE_WAITING && s->controller.due_ms <= now_ms)
        start_controller(s, now_ms);
    if (s->runner.state == ROLE_WAITING && s->runner.due_ms <= now_ms)
        start_runner(s, now_ms);
    if (!s->controller.ever_ready)
        return;
    for (unsigned i = 0; i < SHM_WORKERS_MAX; i++)
        if (s->workers[i].state == ROLE_WAITING && s->workers[i].due_ms <= now_ms)
            start_worker(s, &s->workers[i], now_ms);
}

void supervise_drain_role(supervisor_t *s, role_t *role, uint64_t within_ms)
{
    role->wanted = false;
    if (role->state == ROLE_WAITING) {
        role_set_state(role, ROLE_EMPTY);
    } else if (role->state == ROLE_STARTING || role->state == ROLE_READY) {
        role_set_state(role, ROLE_DRAINING);
        role->due_ms = clock_now_ms() + within_ms;
        role_send(role, PROCESS_DRAIN, s->handed_over, STR(""), NULL, 0);
    }
}

void supervise_workers(supervisor_t *s, uint64_t now_ms)
{
    const conf_t *conf = s->snapshot->conf;
    for (unsigned i = 0; i < SHM_WORKERS_MAX; i++) {
        role_t *role = &s->workers[i];
        if (i >= conf->workers) {
            supervise_drain_role(s, role, conf->timeouts.drain + 2000u);
            continue;
        }
        role->wanted = true; /* a draining process is replaced too */
        if (role->state == ROLE_EMPTY) {
            role->due_ms = now_ms;
            role_set_state(role, ROLE_WAITING);
        }
    }
}

void supervise_runner(supervisor_t *s, uint64_t now_ms)
{
    role_t *role = &s->runner;
    if (s->snapshot->conf->process_count == 0) {
        supervise_drain_runner(s);
        return;
    }
    role->wanted = true; /* a draining process is replaced too */
    if (role->state == ROLE_EMPTY) {
        role->due_ms = now_ms;
        role_set_state(role, ROLE_WAITING);
    }
}

void supervise_drain_runner(supervisor_t *s)
{
    supervise_drain_role(s, &s->runner, RUNNER_DRAIN_MS);
}

unsigned supervise_workers_alive(const supervisor_t *s)
{
    unsigned alive = 0;
    for (unsigned i = 0; i < SHM_WORKERS_MAX; i++)
        alive += role_alive(&s->workers[i]);
    return alive;
}

void supervise_logger(supervisor_t *s, uint64_t now_ms)
{
    if (logger_start_again(&s->logger, now_ms) != 0)
        return;
    forget_secrets(s);
    logger_run(&s->logger);
}

/* ---- deaths ---- */

/* Replaces the ended process of `role`, if it is to be replaced. */
static void replace(supervisor_t *s, role_t *role, bool was_draining, uint64_t now_ms)
{
    if (!role->wanted || s->state == SUPERVISOR_DRAINING) {
        role_set_state(role, ROLE_EMPTY);
        return;
    }
    uint32_t delay = was_draining ? 0 : backoff_after_death(&role->backoff, role->started_ms, now_ms);
    if (delay > 0)
        process_log(NULL, "%s died three times within 10 s; it is started again in %u s", role->name,
                    (unsigned)(delay / 1000));
    if (!was_draining)
        atomic_fetch_add(&role->slot->restarts, 1);
    role->due_ms = now_ms + delay;
    role_set_state(role, ROLE_WAITING);
}

static void on_death(supervisor_t *s, role_t *role, int status, uint64_t now_ms)
{
    bool was_draining = role->state == ROLE_DRAINING;
    char how[64];
    if (!was_draining || status != 0)
        process_log(NULL, "%s (process %d) died: %s", role->name, (int)role->pid,
                    children_end_text(status, how));
    role_buried(role);
    if (role->kind == ROLE_WORKER) {
        shm_worker_wipe(s->shm, role->index);
        role_send(&s->controller, PROCESS_WORKER_DIED, role->index, STR(""), NULL, 0);
    }
    if (s->state == SUPERVISOR_STARTING && WIFEXITED(status) && !was_draining) {
        /* The process gave up by itself and has logged the reason: its successor would do the same. */
        s->exit_status = 1;
        role->wanted = false;
        role_set_state(role, ROLE_EMPTY);
        supervisor_drain(s);
        return;
    }
    replace(s, role, was_draining, now_ms);
    if (role->kind == ROLE_CONTROLLER && s->state == SUPERVISOR_UPGRADING)
        upgrade_controller_gone(s);
    reload_check_done(s);
}

static role_t *find_role(supervisor_t *s, pid_t pid)
{
    if (s->controller.pid == pid)
        return &s->controller;
    if (s->runner.pid == pid)
        return &s->runner;
    for (unsigned i = 0; i < SHM_WORKERS_MAX; i++)
        if (s->workers[i].pid == pid)
            return &s->workers[i];
    return NULL;
}

void supervise_reap(supervisor_t *s, uint64_t now_ms)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        role_t *role = find_role(s, pid);
        if (role != NULL)
            on_death(s, role, status, now_ms);
        else if (pid == s->upgrade_pid)
            upgrade_ended(s, status);
        else if (pid == s->logger.pid)
            logger_died(&s->logger, now_ms);
        /* Other children belong to other programs (as process 1 of a container). */
    }
}

/* ---- messages ---- */

static void on_ready(supervisor_t *s, role_t *role)
{
    if (role->state != ROLE_STARTING)
        return; /* it is being drained */
    role_set_state(role, ROLE_READY);
    if (s->state != SUPERVISOR_STARTING && role->ever_ready)
        process_log(NULL, "%s is back (process %d)", role->name, (int)role->pid);
    role->ever_ready = true;
}

static void on_message(supervisor_t *s, role_t *role, const ipc_message_t *message)
{
    switch (message->type) {
    case PROCESS_READY:
        on_ready(s, role);
        break;
    case PROCESS_CONF_DONE:
        role->generation = message->value;
        reload_check_done(s);
        break;
    case PROCESS_RELOAD:
        if (role->kind == ROLE_CONTROLLER)
            s->reload_wanted = true;
        break;
    case IPC_TYPE_LOST:
        lost_note(s, role, message->value);
        break;
    case PROCESS_DRAIN:
        if (role->kind == ROLE_CONTROLLER && s->state != SUPERVISOR_DRAINING)
            supervisor_drain(s);
        break;
    default:
        process_log(NULL, "%s (process %d) sent a message of unknown type %u; it is replaced", role->name,
                    (int)role->pid, (unsigned)message->type);
        role_kill(role);
    }
}

void supervise_receive(supervisor_t *s, role_t *role)
{
    ipc_message_t message;
    ipc_result_t result = IPC_OK;
    for (int i = 0; i < MESSAGES_A_TURN && role->fd >= 0 && !role->killed; i++) {
        if ((result = ipc_receive(role->fd, &message)) != IPC_OK)
            break;
        on_message(s, role, &message);
        ipc_message_fini(&message);
    }
    if (result == IPC_CLOSED)
        close_fd(&role->fd); /* it is ending; if it hangs, the heartbeat shows it */
}

/* ---- time ---- */

static void watch_role(supervisor_t *s, role_t *role, uint64_t now_ms)
{
    if (!role_alive(role) || role->killed)
        return;
    uint64_t seen = atomic_load(&role->slot->heartbeat_ms);
    uint64_t limit = s->snapshot->conf->timeouts.heartbeat;
    seen = seen > s->watch_from_ms ? seen : s->watch_from_ms;
    if (now_ms > seen && now_ms - seen > limit) {
        process_log(NULL, "%s (process %d) has shown no life for %u ms; it is killed", role->name,
                    (int)role->pid, (unsigned)(now_ms - seen));
        role_kill(role);
    } else if (role->state == ROLE_DRAINING && now_ms >= role->due_ms) {
        process_log(NULL, "%s (process %d) has not finished in time; it is killed", role->name,
                    (int)role->pid);
        role_kill(role);
    }
}

void supervise_watch(supervisor_t *s, uint64_t now_ms)
{
    watch_role(s, &s->controller, now_ms);
    watch_role(s, &s->runner, now_ms);
    for (unsigned i = 0; i < SHM_WORKERS_MAX; i++)
        watch_role(s, &s->workers[i], now_ms);
}

static int sooner(const role_t *role, uint64_t now_ms, int most)
{
    if (role->killed || (role->state != ROLE_WAITING && role->state != ROLE_DRAINING))
        return most;
    uint64_t wait = role->due_ms > now_ms ? role->due_ms - now_ms : 0;
    return wait < (uint64_t)most ? (int)wait : most;
}

int supervise_timeout(const supervisor_t *s, uint64_t now_ms, int most)
{
    most = sooner(&s->controller, now_ms, most);
    most = sooner(&s->runner, now_ms, most);
    for (unsigned i = 0; i < SHM_WORKERS_MAX; i++)
        /* The controller's message starts workers that wait for it. */
        if (s->controller.ever_ready || s->workers[i].state != ROLE_WAITING)
            most = sooner(&s->workers[i], now_ms, most);
    return most;
}
