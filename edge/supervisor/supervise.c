/*
 * The supervision of children: forks, the consequences of a death, and the watchdog. See
 * supervisor_internal.h.
 */
#include "supervisor_internal.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "children.h"
#include "clock.h"
#include "handover.h"
#include "process.h"
#include "process_log.h"
#include "store_made.h"

/* Per-turn message limit, so that one child cannot starve the others. */
#define MESSAGES_A_TURN 64
/* EX_NOPERM of sysexits.h. */
#define EXIT_NO_PRIVILEGES 77
/* A worker that drains ends by itself; after this much more it is killed. */
#define DRAIN_MARGIN_MS 2000u

/* ---- forking ---- */

/* In a child: the steps of every child before its own function. */
static void enter_child(const supervisor_t *s, const child_slot_t *child)
{
    if (privileges_drop(&s->snapshot->privileges, s->pid))
        return;
    process_log(LOG_RIGHTS_KEPT, child->name, "cannot give up its rights: %s", strerror(errno));
    _exit(EXIT_NO_PRIVILEGES);
}

static _Noreturn void leave_child(int status)
{
    privileges_before_exit();
    exit(status);
}

static _Noreturn void run_worker(supervisor_t *s, child_slot_t *child, int channel, int link)
{
    int listen_fds[PROCESS_LISTENERS_MAX];
    assert(s->listeners->count <= PROCESS_LISTENERS_MAX);
    for (size_t i = 0; i < s->listeners->of_workers; i++)
        listen_fds[i] = s->listeners->at[i].fds[child->index];
    enter_child(s, child);
    const worker_args_t args = {
        .index = child->index,
        .number = child->number,
        .must_open = s->state == SUPERVISOR_STARTING,
        .conf = conf_acquire(s->snapshot->conf),
        .shm = s->shm,
        .supervisor_fd = channel,
        .controller_fd = link,
        .access_log_fd = s->log_fd,
        .tickets = &s->tickets,
        .pems = s->snapshot->pems,
        .pem_count = s->snapshot->pem_count,
        .origin_pems = s->snapshot->origin_pems,
        .listen_fds = listen_fds,
    };
    leave_child(s->children->worker(&args));
}

static _Noreturn void run_controller(supervisor_t *s, child_slot_t *child, int channel, const int *links)
{
    enter_child(s, child);
    snapshot_forget_keys(s->snapshot);
    int metrics_fds[PROCESS_LISTENERS_MAX];
    for (size_t i = s->listeners->of_workers; i < s->listeners->count; i++)
        metrics_fds[i - s->listeners->of_workers] = s->listeners->at[i].fds[0];
    controller_args_t args = {
        .conf = conf_acquire(s->snapshot->conf),
        .shm = s->shm,
        .supervisor_fd = channel,
        .admin_fd = s->admin_fd,
        .metrics_fds = metrics_fds,
        .must_open = !s->controller.ever_ready,
        .runner_lives = child_alive(&s->runner) || s->predecessor_fd >= 0,
    };
    memcpy(args.worker_fds, links, sizeof(args.worker_fds));
    leave_child(s->children->controller(&args));
}

/* Removes the secrets that a child with the supervisor's rights does not need. */
static void forget_secrets(supervisor_t *s)
{
    snapshot_forget_keys(s->snapshot);
    OPENSSL_cleanse(&s->tickets, sizeof(s->tickets));
}

/* Keeps its rights, and otherwise only the resources that it needs. */
static _Noreturn void run_runner(supervisor_t *s, int channel, int predecessor)
{
    forget_secrets(s);
    const runner_args_t args = {.conf = conf_acquire(s->snapshot->conf),
                                .shm = s->shm,
                                .supervisor_fd = channel,
                                .predecessor_fd = predecessor};
    leave_child(s->children->runner(&args));
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* A fork or a pair failed for lack of resources: try again in a second. */
static void start_failed(child_slot_t *child, uint64_t now_ms)
{
    process_log(LOG_PROCESS_NOT_STARTED, NULL, "%s cannot be started: %s; tried again in 1 s", child->name,
                strerror(errno));
    child->due_ms = now_ms + 1000;
    if (child->state != CHILD_WAITING)
        child_set_state(child, CHILD_WAITING);
}

/* In the parent, after child_fork. Keeps our end of the channel; or records the failure, and returns false.
 */
static bool keep_channel(const supervisor_t *s, child_slot_t *child, pid_t pid, int channel[2],
                         uint64_t now_ms)
{
    if (pid < 0) {
        start_failed(child, now_ms);
        return false;
    }
    child->fd = channel[0];
    channel[0] = -1;
    child->generation = s->generation;
    return true;
}

static void start_worker(supervisor_t *s, child_slot_t *child, uint64_t now_ms)
{
    int channel[2] = {-1, -1}, link[2] = {-1, -1};
    int keep[PROCESS_LISTENERS_MAX + 3];
    size_t count = 0;

    if (!child_take_number(child) || !ipc_pair(channel) || (child_alive(&s->controller) && !ipc_pair(link))) {
        start_failed(child, now_ms);
        goto Done;
    }
    keep[count++] = channel[1];
    keep[count++] = link[1];
    keep[count++] = s->log_fd;
    for (size_t i = 0; i < s->listeners->of_workers; i++)
        keep[count++] = s->listeners->at[i].fds[child->index];
    pid_t pid = child_fork(child, now_ms, keep, count);
    if (pid == 0)
        run_worker(s, child, channel[1], link[1]);
    if (keep_channel(s, child, pid, channel, now_ms) && link[0] >= 0)
        child_send(&s->controller, PROCESS_LINK, child->number, STR(""), &link[0], 1);
Done:
    close_fd(&channel[0]);
    close_fd(&channel[1]);
    close_fd(&link[0]);
    close_fd(&link[1]);
}

/* Makes the channel between the controller and the runner, if both exist. If that fails, process
 * boxes do not wake until one of the two is restarted. */
void supervise_join_runner(supervisor_t *s)
{
    int pair[2];
    if (!child_alive(&s->controller) || !child_alive(&s->runner))
        return;
    if (!ipc_pair(pair)) {
        process_log(LOG_PROCESSES_APART, NULL, "controller and runner cannot be joined: %s", strerror(errno));
        return;
    }
    child_send(&s->controller, PROCESS_RUNNER, 0, STR(""), &pair[0], 1);
    child_send(&s->runner, PROCESS_LINK, 0, STR(""), &pair[1], 1);
    close_fd(&pair[0]);
    close_fd(&pair[1]);
}

void supervise_join_worker(supervisor_t *s, child_slot_t *worker)
{
    int pair[2];
    if (!child_alive(&s->controller) || !child_alive(worker))
        return;
    if (!ipc_pair(pair)) {
        process_log(LOG_PROCESSES_APART, NULL, "the controller and %s cannot be joined: %s", worker->name,
                    strerror(errno));
        return;
    }
    child_send(&s->controller, PROCESS_LINK, worker->number, STR(""), &pair[0], 1);
    child_send(worker, PROCESS_LINK, 0, STR(""), &pair[1], 1);
    close_fd(&pair[0]);
    close_fd(&pair[1]);
}

/* Asks the old edge to hand its process boxes on. Returns our runner's end of the channel to the old runner,
 * or -1: none. */
static int request_boxes(const supervisor_t *s)
{
    int pair[2];
    if (s->predecessor_fd < 0 || !ipc_pair(pair))
        return -1;
    if (ipc_send(s->predecessor_fd, HANDOVER_BOXES, 0, STR(""), &pair[1], 1) != IPC_OK)
        close_fd(&pair[0]);
    close(pair[1]);
    return pair[0];
}

static void start_runner(supervisor_t *s, uint64_t now_ms)
{
    child_slot_t *child = &s->runner;
    int channel[2] = {-1, -1}, predecessor = -1;
    pid_t pid = -1;
    if (ipc_pair(channel)) {
        predecessor = request_boxes(s);
        int keep[] = {channel[1], predecessor};
        pid = child_fork(child, now_ms, keep, 2);
    }
    if (pid == 0)
        run_runner(s, channel[1], predecessor);
    close_fd(&predecessor);
    if (keep_channel(s, child, pid, channel, now_ms))
        supervise_join_runner(s);
    close_fd(&channel[0]);
    close_fd(&channel[1]);
}

static void start_controller(supervisor_t *s, uint64_t now_ms)
{
    child_slot_t *child = &s->controller;
    int channel[2] = {-1, -1};
    int ours[SHM_WORKERS_MAX], theirs[SHM_WORKERS_MAX]; /* the workers' ends, the controller's */
    int keep[SHM_WORKERS_MAX + 2 + PROCESS_LISTENERS_MAX];
    pid_t pid = -1;

    memset(ours, 0xff, sizeof(ours));
    memset(theirs, 0xff, sizeof(theirs));
    bool ok = ipc_pair(channel);
    for (unsigned i = 0; ok && i < SHM_WORKERS_MAX; i++) {
        int pair[2];
        if (!child_alive(&s->workers[i]))
            continue;
        ok = ipc_pair(pair);
        ours[i] = ok ? pair[0] : -1;
        theirs[s->workers[i].number] = ok ? pair[1] : -1;
    }
    if (ok) {
        memcpy(keep, theirs, sizeof(theirs));
        keep[SHM_WORKERS_MAX] = channel[1];
        keep[SHM_WORKERS_MAX + 1] = s->admin_fd;
        size_t count = SHM_WORKERS_MAX + 2;
        for (size_t i = s->listeners->of_workers; i < s->listeners->count; i++)
            keep[count++] = s->listeners->at[i].fds[0];
        pid = child_fork(child, now_ms, keep, count);
    }
    if (pid == 0)
        run_controller(s, child, channel[1], theirs);
    if (keep_channel(s, child, pid, channel, now_ms)) {
        for (unsigned i = 0; i < SHM_WORKERS_MAX; i++)
            if (ours[i] >= 0)
                child_send(&s->workers[i], PROCESS_LINK, 0, STR(""), &ours[i], 1);
        supervise_join_runner(s);
        elders_join(s);
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
    if (s->controller.state == CHILD_WAITING && s->controller.due_ms <= now_ms &&
        !store_watch_holds(s, now_ms))
        start_controller(s, now_ms);
    if (s->runner.state == CHILD_WAITING && s->runner.due_ms <= now_ms)
        start_runner(s, now_ms);
    if (!s->controller.ever_ready)
        return;
    for (unsigned i = 0; i < SHM_WORKERS_MAX; i++)
        if (s->workers[i].state == CHILD_WAITING && s->workers[i].due_ms <= now_ms)
            start_worker(s, &s->workers[i], now_ms);
}

static void drain_child(child_slot_t *child, uint64_t within_ms, unsigned how)
{
    child->wanted = false;
    if (child->state == CHILD_WAITING) {
        child_set_state(child, CHILD_EMPTY);
    } else if (child->state == CHILD_STARTING || child->state == CHILD_READY) {
        child_set_state(child, CHILD_DRAINING);
        child->due_ms = clock_now_ms() + within_ms;
        child_send(child, PROCESS_DRAIN, how, STR(""), NULL, 0);
    }
}

void supervise_drain_child(child_slot_t *child, uint64_t within_ms)
{
    drain_child(child, within_ms, 0);
}

void supervise_drain_worker(supervisor_t *s, child_slot_t *child, unsigned how)
{
    const conf_t *conf = s->snapshot->conf;
    uint64_t drain = conf->timeouts.drain, tunnels = conf->timeouts.drain_tunnels;
    bool keeps = (how & PROCESS_DRAIN_KEEPS_OPEN) != 0 && tunnels > drain;
    uint64_t within = (keeps ? tunnels : drain) + DRAIN_MARGIN_MS;
    if (!keeps)
        how &= ~PROCESS_DRAIN_KEEPS_OPEN;

    child->wanted = false;
    if (child->state == CHILD_WAITING)
        child_set_state(child, CHILD_EMPTY);
    else if (child->state == CHILD_STARTING || child->state == CHILD_READY)
        child_set_state(child, CHILD_DRAINING);
    else if (child->state != CHILD_DRAINING || keeps || !child->keeps_open)
        return;
    if (child->state == CHILD_EMPTY)
        return;
    child->keeps_open = keeps;
    child->due_ms = clock_now_ms() + within;
    child_send(child, PROCESS_DRAIN, how, STR(""), NULL, 0);
}

/* A worker with open requests goes on beside its successor: it moves to a slot that no worker of the
 * configuration has, and leaves its own empty. */
static void step_aside(supervisor_t *s, child_slot_t *child)
{
    for (unsigned i = s->snapshot->conf->workers; i < SHM_WORKERS_MAX; i++) {
        child_slot_t *slot = &s->workers[i];
        if (slot->state != CHILD_EMPTY)
            continue;
        unsigned index = child->index;
        *slot = *child;
        shm_worker_retire(s->shm, slot->number);
        child_init(child, s->shm, CHILD_WORKER, index);
        return;
    }
}

void supervise_workers(supervisor_t *s, uint64_t now_ms)
{
    const conf_t *conf = s->snapshot->conf;
    for (unsigned i = conf->workers; i < SHM_WORKERS_MAX; i++)
        supervise_drain_worker(s, &s->workers[i], PROCESS_DRAIN_KEEPS_OPEN);
    for (unsigned i = 0; i < conf->workers; i++) {
        child_slot_t *child = &s->workers[i];
        if (child->keeps_open)
            step_aside(s, child);
        child->index = i; /* without a free slot, the next process here follows the old one */
        if (child->state == CHILD_EMPTY)
            child_init(child, s->shm, CHILD_WORKER, i); /* another index may have been here */
        child->wanted = true;                           /* a draining process is replaced too */
        if (child->state == CHILD_EMPTY) {
            child->due_ms = now_ms;
            child_set_state(child, CHILD_WAITING);
        }
    }
}

void supervise_runner(supervisor_t *s, uint64_t now_ms)
{
    child_slot_t *child = &s->runner;
    if (s->snapshot->conf->process_count == 0) {
        supervise_drain_runner(s);
        return;
    }
    child->wanted = true; /* a draining process is replaced too */
    if (child->state == CHILD_EMPTY) {
        child->due_ms = now_ms;
        child_set_state(child, CHILD_WAITING);
    }
}

void supervise_drain_runner(supervisor_t *s)
{
    drain_child(&s->runner, RUNNER_DRAIN_MS, s->handed_over ? PROCESS_DRAIN_OTHERS_ACCEPT : 0);
}

unsigned supervise_workers_alive(const supervisor_t *s)
{
    unsigned alive = 0;
    for (unsigned i = 0; i < SHM_WORKERS_MAX; i++)
        alive += child_alive(&s->workers[i]);
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

/* Replaces the ended process of `child`, if it is to be replaced. */
static void replace(supervisor_t *s, child_slot_t *child, bool was_draining, uint64_t now_ms)
{
    if (!child->wanted || s->state == SUPERVISOR_DRAINING) {
        child_set_state(child, CHILD_EMPTY);
        return;
    }
    uint32_t delay = was_draining ? 0 : backoff_after_death(&child->backoff, child->started_ms, now_ms);
    if (delay > 0)
        process_log(LOG_PROCESS_DIES_OFTEN, NULL,
                    "%s died three times within 10 s; it is started again in %u s", child->name,
                    (unsigned)(delay / 1000));
    if (!was_draining)
        atomic_fetch_add(&child->slot->restarts, 1);
    child->due_ms = now_ms + delay;
    child_set_state(child, CHILD_WAITING);
}

static void on_death(supervisor_t *s, child_slot_t *child, int status, uint64_t now_ms)
{
    bool was_draining = child->state == CHILD_DRAINING;
    char how[64];
    if (!was_draining || status != 0)
        process_log(LOG_PROCESS_DIED, NULL, "%s (process %d) died: %s", child->name, (int)child->pid,
                    children_end_text(status, how));
    unsigned number = child->number;
    if (child->kind == CHILD_WORKER)
        shm_worker_wipe(s->shm, number);
    child_buried(child);
    if (child->kind == CHILD_WORKER)
        child_send(&s->controller, PROCESS_WORKER_DIED, number, STR(""), NULL, 0);
    if (child->kind == CHILD_WORKER)
        upgrade_note_death(s, number);
    if (s->state == SUPERVISOR_STARTING && WIFEXITED(status) && !was_draining) {
        /* The process gave up by itself and has logged the reason: its successor would do the same. */
        s->exit_status = 1;
        child->wanted = false;
        child_set_state(child, CHILD_EMPTY);
        supervisor_drain(s);
        return;
    }
    store_watch_death(s, child, status);
    replace(s, child, was_draining, now_ms);
    if (child->kind == CHILD_CONTROLLER && s->state == SUPERVISOR_UPGRADING)
        upgrade_controller_gone(s);
    reload_check_done(s);
}

static child_slot_t *find_child(supervisor_t *s, pid_t pid)
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
        child_slot_t *child = find_child(s, pid);
        if (child != NULL)
            on_death(s, child, status, now_ms);
        else if (store_watch_ended(s, pid))
            continue;
        else if (pid == s->upgrade_pid)
            upgrade_ended(s, status);
        else if (pid == s->logger.pid)
            logger_died(&s->logger, now_ms);
        /* Other children belong to other programs (as process 1 of a container). */
    }
}

/* ---- messages ---- */

/* The controller has opened all environments of the store, so a missing one is an error from here on. */
static void note_store(const supervisor_t *s)
{
    char durable[PATH_MAX], fleeting[PATH_MAX];
    if (process_store_dirs(s->snapshot->conf, durable, fleeting, PATH_MAX) && !store_made_note(durable))
        process_log(LOG_STORE_UNMARKED, NULL,
                    "%s.made cannot be written: %s; a store that is removed would count as a new one",
                    durable, strerror(errno));
}

static void on_ready(supervisor_t *s, child_slot_t *child)
{
    if (child->state != CHILD_STARTING)
        return; /* it is being drained */
    if (child->kind == CHILD_CONTROLLER)
        note_store(s);
    child_set_state(child, CHILD_READY);
    if (s->state != SUPERVISOR_STARTING && child->ever_ready)
        process_log(LOG_PROCESS_BACK, NULL, "%s is back (process %d)", child->name, (int)child->pid);
    child->ever_ready = true;
    if (child->kind == CHILD_CONTROLLER)
        upgrade_report(s);
    if (s->leave_due_ms != 0 && child->kind != CHILD_RUNNER)
        child_send(child, PROCESS_LEAVING, 0, STR(""), NULL, 0);
}

static void on_message(supervisor_t *s, child_slot_t *child, const ipc_message_t *message)
{
    switch (message->type) {
    case PROCESS_READY:
        on_ready(s, child);
        break;
    case PROCESS_CONF_DONE:
        child->generation = message->value;
        reload_check_done(s);
        break;
    case PROCESS_RELOAD:
        if (child->kind == CHILD_CONTROLLER)
            s->reload_wanted = true;
        break;
    case PROCESS_UPGRADE:
        if (child->kind == CHILD_CONTROLLER)
            upgrade_begin(s, message->value == 1);
        break;
    case IPC_TYPE_LOST:
        lost_note(s, child, message->value);
        break;
    case PROCESS_DRAIN:
        if (child->kind == CHILD_CONTROLLER && s->state != SUPERVISOR_DRAINING)
            supervisor_leave(s);
        break;
    default:
        process_log(LOG_PROCESS_FAULTY, NULL,
                    "%s (process %d) sent a message of unknown type %u; it is replaced", child->name,
                    (int)child->pid, (unsigned)message->type);
        child_kill(child);
    }
}

void supervise_receive(supervisor_t *s, child_slot_t *child)
{
    ipc_message_t message;
    ipc_result_t result = IPC_OK;
    for (int i = 0; i < MESSAGES_A_TURN && child->fd >= 0 && !child->killed; i++) {
        if ((result = ipc_receive(child->fd, &message)) != IPC_OK)
            break;
        on_message(s, child, &message);
        ipc_message_fini(&message);
    }
    if (result == IPC_CLOSED)
        close_fd(&child->fd); /* it is ending; if it hangs, the heartbeat shows it */
}

/* ---- time ---- */

static void watch_child(supervisor_t *s, child_slot_t *child, uint64_t now_ms)
{
    if (!child_alive(child) || child->killed)
        return;
    uint64_t seen = child_heartbeat_ms(child, now_ms);
    uint64_t limit = s->snapshot->conf->timeouts.heartbeat;
    seen = seen > s->watch_from_ms ? seen : s->watch_from_ms;
    if (now_ms > seen && now_ms - seen > limit) {
        process_log(LOG_PROCESS_HUNG, NULL, "%s (process %d) has shown no life for %u ms; it is killed",
                    child->name, (int)child->pid, (unsigned)(now_ms - seen));
        child_kill(child);
    } else if (child->state == CHILD_DRAINING && now_ms >= child->due_ms) {
        process_log(LOG_PROCESS_LATE, NULL, "%s (process %d) has not finished in time; it is killed",
                    child->name, (int)child->pid);
        child_kill(child);
    }
}

void supervise_watch(supervisor_t *s, uint64_t now_ms)
{
    watch_child(s, &s->controller, now_ms);
    watch_child(s, &s->runner, now_ms);
    for (unsigned i = 0; i < SHM_WORKERS_MAX; i++)
        watch_child(s, &s->workers[i], now_ms);
}

static int sooner(const child_slot_t *child, uint64_t now_ms, int most)
{
    if (child->killed || (child->state != CHILD_WAITING && child->state != CHILD_DRAINING))
        return most;
    uint64_t wait = child->due_ms > now_ms ? child->due_ms - now_ms : 0;
    return wait < (uint64_t)most ? (int)wait : most;
}

int supervise_timeout(const supervisor_t *s, uint64_t now_ms, int most)
{
    most = sooner(&s->controller, now_ms, most);
    most = sooner(&s->runner, now_ms, most);
    for (unsigned i = 0; i < SHM_WORKERS_MAX; i++)
        /* The controller's message starts workers that wait for it. */
        if (s->controller.ever_ready || s->workers[i].state != CHILD_WAITING)
            most = sooner(&s->workers[i], now_ms, most);
    return most;
}
