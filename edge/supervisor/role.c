/*
 * See role.h.
 */
#include "role.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process_log.h"

void role_init(role_t *role, shm_t *shm, role_kind_t kind, unsigned index)
{
    *role = (role_t){.kind = kind, .index = index, .state = ROLE_EMPTY, .fd = -1};
    switch (kind) {
    case ROLE_CONTROLLER:
        role->slot = shm_controller(shm);
        snprintf(role->name, sizeof(role->name), "controller");
        break;
    case ROLE_RUNNER:
        role->slot = shm_runner(shm);
        snprintf(role->name, sizeof(role->name), "runner");
        break;
    case ROLE_WORKER:
        role->slot = shm_worker(shm, index);
        snprintf(role->name, sizeof(role->name), "worker %u", index);
    }
}

void role_set_state(role_t *role, role_state_t state)
{
    /* The permitted next states of each state. */
    static const unsigned next[] = {
        [ROLE_EMPTY] = 1u << ROLE_WAITING | 1u << ROLE_STARTING,
        [ROLE_WAITING] = 1u << ROLE_EMPTY | 1u << ROLE_STARTING,
        [ROLE_STARTING] = 1u << ROLE_READY | 1u << ROLE_DRAINING | 1u << ROLE_WAITING | 1u << ROLE_EMPTY,
        [ROLE_READY] = 1u << ROLE_DRAINING | 1u << ROLE_WAITING | 1u << ROLE_EMPTY,
        [ROLE_DRAINING] = 1u << ROLE_WAITING | 1u << ROLE_EMPTY,
    };
    assert((next[role->state] & 1u << state) != 0);
    /* A role without a process is EMPTY or WAITING, and vice versa. */
    assert((state == ROLE_EMPTY || state == ROLE_WAITING) == (role->pid == 0));
    role->state = state;
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

static void become(const role_t *role, int *keep, size_t keep_count)
{
    char title[16];
    if (role->kind == ROLE_WORKER)
        snprintf(title, sizeof(title), "worker-%u", role->index);
    else
        snprintf(title, sizeof(title), "%s", role->kind == ROLE_RUNNER ? "runner" : "controller");
    prctl(PR_SET_NAME, title, 0, 0, 0);
    ignore_signals();
    close_others(keep, keep_count);
}

pid_t role_fork(role_t *role, uint64_t now_ms, int *keep, size_t keep_count)
{
    assert(role->pid == 0);
    fflush(NULL);
    /* Set before the fork, so that the watchdog never sees the previous process's values. */
    atomic_store(&role->slot->heartbeat_ms, now_ms);
    atomic_store(&role->slot->started_ms, now_ms);
    atomic_store(&role->slot->state, SHM_STARTING);
    pid_t pid = fork();
    if (pid < 0)
        return -1;
    if (pid == 0) {
        become(role, keep, keep_count);
        return 0;
    }
    atomic_store(&role->slot->pid, pid);
    role->pid = pid;
    role->started_ms = now_ms;
    role_set_state(role, ROLE_STARTING);
    return pid;
}

void role_buried(role_t *role)
{
    role->pid = 0;
    role->killed = false;
    role->lost = 0;
    if (role->fd >= 0)
        close(role->fd);
    role->fd = -1;
    atomic_store(&role->slot->pid, 0);
    atomic_store(&role->slot->state, SHM_ABSENT);
}

void role_kill(role_t *role)
{
    if (role->pid == 0)
        return;
    kill(role->pid, SIGKILL);
    role->killed = true;
}

void role_send(role_t *role, uint32_t type, uint64_t value, str_t bytes, const int *fds, size_t fd_count)
{
    if (role->fd < 0 || role->killed)
        return;
    ipc_result_t result = ipc_send(role->fd, type, value, bytes, fds, fd_count);
    if (result == IPC_OK)
        return;
    if (role->pid != 0 && result != IPC_CLOSED)
        process_log(NULL, "%s (process %d) takes no message; it is replaced", role->name, (int)role->pid);
    role_kill(role);
}
