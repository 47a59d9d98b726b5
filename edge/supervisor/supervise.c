/*
 * The supervision of children: their drain, the consequences of a death, messages, and the watchdog.
 * supervise_start.c starts them. See supervisor_internal.h.
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

#include "children.h"
#include "clock.h"
#include "lost_requests.h"
#include "process.h"
#include "process_log.h"
#include "store_made.h"

/* Per-turn message limit, so that one child cannot starve the others. */
#define MESSAGES_A_TURN 64
/* A worker that drains ends by itself; after this much more it is killed. */
#define DRAIN_MARGIN_MS 2000u

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

/* A worker with open requests continues beside its successor: it moves to a slot that no worker of the
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
    if (child->kind == CHILD_WORKER) {
        lost_requests_bury(s, child, status);
        shm_worker_wipe(s->shm, number);
    }
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
    if (result == IPC_CLOSED) { /* it is ending; if it hangs, the heartbeat shows it */
        close(child->fd);
        child->fd = -1;
    }
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
