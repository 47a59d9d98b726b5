/*
 * A slot that the supervisor keeps filled with a process: the controller, the runner, or a worker
 * by its number. The process changes when one dies; the slot, its number and its part of the shared
 * memory stay.
 */
#ifndef BOXEDGE_ROLE_H
#define BOXEDGE_ROLE_H

#include <sys/types.h>

#include "backoff.h"
#include "ipc.h"
#include "shm.h"

typedef enum role_state {
    ROLE_EMPTY,    /* no process, and none is to come */
    ROLE_WAITING,  /* no process; one is forked at due_ms */
    ROLE_STARTING, /* forked, not serving yet */
    ROLE_READY,
    ROLE_DRAINING, /* ordered to finish */
} role_state_t;

typedef enum role_kind { ROLE_WORKER, ROLE_CONTROLLER, ROLE_RUNNER } role_kind_t;

typedef struct role {
    role_kind_t kind;
    unsigned index; /* of a worker */
    char name[24];  /* "controller", "runner", "worker 3" */
    role_state_t state;
    bool wanted;         /* a process that ends is replaced */
    pid_t pid;           /* 0: none */
    int fd;              /* our end of its channel; -1: none */
    uint64_t started_ms; /* of the process, or the last one */
    uint64_t due_ms;     /* ROLE_WAITING */
    uint64_t generation; /* of its configuration */
    bool killed;         /* SIGKILL was sent to the process */
    uint32_t lost;       /* types of messages that it could not take, one bit each: to be repeated */
    uint64_t lost_due_ms;
    bool ever_ready; /* a process of this role once served */
    backoff_t backoff;
    shm_role_t *slot;
} role_t;

/* `index` is that of a worker, else 0. */
void role_init(role_t *role, shm_t *shm, role_kind_t kind, unsigned index);
/* The only function that changes role->state; it asserts the transition. */
void role_set_state(role_t *role, role_state_t state);
static inline bool role_alive(const role_t *role)
{
    return role->pid != 0;
}

/*
 * Forks the process of `role`. In the parent returns its id, with the state ROLE_STARTING, or -1
 * with errno. In the child returns 0, after it ignored signals, named the process and closed
 * descriptors. It keeps 0, 1, 2 and `keep` (entries below 0 are skipped; sorted in place).
 */
pid_t role_fork(role_t *role, uint64_t now_ms, int *keep, size_t keep_count);

/* After the end of the process: closes the channel and clears `slot`. The caller sets the state. */
void role_buried(role_t *role);

/* Sends over the role's channel. If that fails, or the channel is full, kills the process: a
 * replacement is better than a process that missed a message. */
void role_send(role_t *role, uint32_t type, uint64_t value, str_t bytes, const int *fds, size_t fd_count);
void role_kill(role_t *role);

#endif
