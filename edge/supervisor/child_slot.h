/*
 * A slot that the supervisor keeps filled with a process: the controller, the runner, or a worker
 * by its number. The process changes when one dies; the slot, its number and its part of the shared
 * memory stay.
 */
#ifndef BOXEDGE_CHILD_SLOT_H
#define BOXEDGE_CHILD_SLOT_H

#include <sys/types.h>

#include "backoff.h"
#include "ipc.h"
#include "shm.h"

typedef enum child_state {
    CHILD_EMPTY,    /* no process, and none is to come */
    CHILD_WAITING,  /* no process; one is forked at due_ms */
    CHILD_STARTING, /* forked, not serving yet */
    CHILD_READY,
    CHILD_DRAINING, /* ordered to finish */
} child_state_t;

typedef enum child_kind { CHILD_WORKER, CHILD_CONTROLLER, CHILD_RUNNER } child_kind_t;

typedef struct child {
    child_kind_t kind;
    unsigned index;  /* of a worker: its listening sockets, its name */
    unsigned number; /* of a worker: its slot in the shared segment (shm.h); CHILD_NO_NUMBER: none */
    char name[24];   /* "controller", "runner", "worker 3" */
    child_state_t state;
    bool wanted;         /* a process that ends is replaced */
    bool keeps_open;     /* CHILD_DRAINING: lives until its requests and tunnels end */
    pid_t pid;           /* 0: none */
    int fd;              /* our end of its channel; -1: none */
    uint64_t started_ms; /* of the process, or the last one */
    uint64_t due_ms;     /* CHILD_WAITING */
    uint64_t generation; /* of its configuration */
    bool killed;         /* SIGKILL was sent to the process */
    uint32_t lost;       /* types of messages that it could not take, one bit each: to be repeated */
    uint64_t lost_due_ms;
    bool ever_ready; /* a process of this child once served */
    backoff_t backoff;
    shm_t *shm;
    shm_child_t *slot; /* NULL for a worker without a number */
} child_slot_t;

#define CHILD_NO_NUMBER SHM_WORKERS_MAX

/* `index` is that of a worker, else 0. A worker has no number yet. */
void child_init(child_slot_t *child, shm_t *shm, child_kind_t kind, unsigned index);
/* The only function that changes child->state; it asserts the transition. An empty slot gives its number
 * back. */
void child_set_state(child_slot_t *child, child_state_t state);
static inline bool child_alive(const child_slot_t *child)
{
    return child->pid != 0;
}

/* Time of the last sign of life of a child with a slot. 0 if the slot has a time that is yet to come, which
 * no process writes about itself. */
uint64_t child_heartbeat_ms(const child_slot_t *child, uint64_t now_ms);

/* Takes a number for a worker that has none. False: the segment has no free slot (errno is EUSERS). */
MUST_USE bool child_take_number(child_slot_t *child);

/*
 * Forks the process of `child`. In the parent returns its id, with the state CHILD_STARTING, or -1
 * with errno. In the child returns 0, after it ignored signals, named the process and closed
 * descriptors. It keeps 0, 1, 2 and `keep` (entries below 0 are skipped; sorted in place).
 */
pid_t child_fork(child_slot_t *child, uint64_t now_ms, int *keep, size_t keep_count);

/* In a process that the supervisor forked for a moment and that has no slot: names it, ignores signals, and
 * closes all descriptors above 2. */
void child_become_helper(const char *title);

/* After the end of the process: closes the channel and clears `slot`. The caller sets the state. */
void child_buried(child_slot_t *child);

/* Sends over the child's channel. If that fails, or the channel is full, kills the process: a
 * replacement is better than a process that missed a message. One that drains and has closed its end
 * is about to exit, and is left alone. */
void child_send(child_slot_t *child, uint32_t type, uint64_t value, str_t bytes, const int *fds,
                size_t fd_count);
void child_kill(child_slot_t *child);

#endif
