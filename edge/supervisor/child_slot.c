/*
 * See child_slot.h.
 */
#include "child_slot.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crash.h"
#include "process_facts.h"
#include "process_log.h"

/* Maximum age of the reader's `now`. */
#define CLOCK_SKEW_MS 1000u

void child_init(child_slot_t *child, shm_t *shm, child_kind_t kind, unsigned index)
{
    *child = (child_slot_t){
        .kind = kind, .index = index, .number = CHILD_NO_NUMBER, .state = CHILD_EMPTY, .fd = -1, .shm = shm};
    switch (kind) {
    case CHILD_CONTROLLER:
        child->slot = shm_controller(shm);
        snprintf(child->name, sizeof(child->name), "controller");
        break;
    case CHILD_RUNNER:
        child->slot = shm_runner(shm);
        snprintf(child->name, sizeof(child->name), "runner");
        break;
    case CHILD_WORKER:
        snprintf(child->name, sizeof(child->name), "worker %u", index);
    }
}

uint64_t child_heartbeat_ms(const child_slot_t *child, uint64_t now_ms)
{
    uint64_t seen = atomic_load(&child->slot->heartbeat_ms);
    return seen <= now_ms || seen - now_ms <= CLOCK_SKEW_MS ? seen : 0;
}

bool child_take_number(child_slot_t *child)
{
    assert(child->kind == CHILD_WORKER);
    if (child->number != CHILD_NO_NUMBER)
        return true;
    if (!shm_worker_take(child->shm, child->index, &child->number)) {
        errno = EUSERS;
        return false;
    }
    child->slot = shm_worker(child->shm, child->number);
    return true;
}

void child_set_state(child_slot_t *child, child_state_t state)
{
    /* The permitted next states of each state. */
    static const unsigned next[] = {
        [CHILD_EMPTY] = 1u << CHILD_WAITING | 1u << CHILD_STARTING,
        [CHILD_WAITING] = 1u << CHILD_EMPTY | 1u << CHILD_STARTING,
        [CHILD_STARTING] = 1u << CHILD_READY | 1u << CHILD_DRAINING | 1u << CHILD_WAITING | 1u << CHILD_EMPTY,
        [CHILD_READY] = 1u << CHILD_DRAINING | 1u << CHILD_WAITING | 1u << CHILD_EMPTY,
        [CHILD_DRAINING] = 1u << CHILD_WAITING | 1u << CHILD_EMPTY,
    };
    assert((next[child->state] & 1u << state) != 0);
    /* A child without a process is EMPTY or WAITING, and vice versa. */
    assert((state == CHILD_EMPTY || state == CHILD_WAITING) == (child->pid == 0));
    child->state = state;
    if (state == CHILD_EMPTY && child->number != CHILD_NO_NUMBER) {
        shm_worker_give(child->shm, child->number);
        child->number = CHILD_NO_NUMBER;
        child->slot = NULL;
    }
}

static int compare_fds(const void *a, const void *b)
{
    int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}

/* Closes all descriptors above 2 except those in `keep`. */
static void close_others(int *keep, size_t count)
{
    unsigned from = 3;
    qsort(keep, count, sizeof(*keep), compare_fds);
    for (size_t i = 0; i < count; i++) {
        if (keep[i] < (int)from)
            continue; /* none, a standard one, or a duplicate */
        if ((unsigned)keep[i] > from)
            (void)close_range(from, (unsigned)keep[i] - 1, 0);
        from = (unsigned)keep[i] + 1;
    }
    (void)close_range(from, ~0u, 0);
}

/* Only the supervisor is signalled. Its orders arrive over the channel, or as SIGKILL. */
static void ignore_signals(void)
{
    static const int ignored[] = {SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGPIPE, SIGQUIT};
    sigset_t none;
    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
        signal(ignored[i], SIG_IGN);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void become(const child_slot_t *child, int *keep, size_t keep_count)
{
    char title[16];
    if (child->kind == CHILD_WORKER)
        snprintf(title, sizeof(title), "worker-%u", child->index);
    else
        snprintf(title, sizeof(title), "%s", child->kind == CHILD_RUNNER ? "runner" : "controller");
    prctl(PR_SET_NAME, title, 0, 0, 0);
    crash_catch(child->name);
    ignore_signals();
    close_others(keep, keep_count);
}

void child_become_helper(const char *title)
{
    prctl(PR_SET_NAME, title, 0, 0, 0);
    crash_catch(title);
    ignore_signals();
    (void)close_range(3, ~0u, 0);
}

pid_t child_fork(child_slot_t *child, uint64_t now_ms, int *keep, size_t keep_count)
{
    assert(child->pid == 0);
    fflush(NULL);
    /* Set before the fork, so that the watchdog never sees the previous process's values. */
    atomic_store(&child->slot->heartbeat_ms, now_ms);
    atomic_store(&child->slot->started_ms, now_ms);
    atomic_store(&child->slot->full, 0);
    atomic_store(&child->slot->state, SHM_STARTING);
    pid_t pid = fork();
    if (pid < 0)
        return -1;
    if (pid == 0) {
        become(child, keep, keep_count);
        return 0;
    }
    atomic_store(&child->slot->pid, pid);
    child->pid = pid;
    child->started_ms = now_ms;
    child_set_state(child, CHILD_STARTING);
    return pid;
}

void child_buried(child_slot_t *child)
{
    child->pid = 0;
    child->killed = false;
    child->keeps_open = false;
    child->lost = 0;
    if (child->fd >= 0)
        close(child->fd);
    child->fd = -1;
    process_facts_wipe(&child->slot->process);
    atomic_store(&child->slot->pid, 0);
    atomic_store(&child->slot->state, SHM_ABSENT);
}

void child_kill(child_slot_t *child)
{
    if (child->pid == 0)
        return;
    kill(child->pid, SIGKILL);
    child->killed = true;
}

void child_send(child_slot_t *child, uint32_t type, uint64_t value, str_t bytes, const int *fds,
                size_t fd_count)
{
    if (child->fd < 0 || child->killed)
        return;
    ipc_result_t result = ipc_send(child->fd, type, value, bytes, fds, fd_count);
    bool is_ending = result == IPC_CLOSED && child->state == CHILD_DRAINING;
    if (result == IPC_OK || is_ending)
        return;
    if (child->pid != 0 && result != IPC_CLOSED)
        process_log(LOG_PROCESS_MUTE, NULL, "%s (process %d) takes no message; it is replaced", child->name,
                    (int)child->pid);
    child_kill(child);
}
