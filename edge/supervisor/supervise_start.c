/*
 * The start of children: the parts that each gets, and its channels. See supervisor_internal.h.
 */
#include "supervisor_internal.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "children.h"
#include "clock.h"
#include "handover.h"
#include "process.h"
#include "process_log.h"

/* EX_NOPERM of sysexits.h. */
#define EXIT_NO_PRIVILEGES 77

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
        .access_log = s->log,
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
    keep[count++] = s->log.fd;
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

void supervise_logger(supervisor_t *s, uint64_t now_ms)
{
    if (logger_start_again(&s->logger, now_ms) != 0)
        return;
    forget_secrets(s);
    logger_run(&s->logger);
}
