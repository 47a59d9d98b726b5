/*
 * The process between the runner and one process box: it starts the box's command, freezes, stops and kills
 * it, and takes with it whatever the command left behind when it ends. The kernel gives it all orphans of the
 * box, so that nothing escapes by leaving the process group, also where no control group can be made. It has
 * a session of its own, so that it is still there to end the box when everything else of the edge was killed:
 * the end of its channel to the runner is the order to kill.
 *
 * The command runs in a session and process group of its own with: the rights of its user and no new ones,
 * a pipe that stays open and empty as stdin, stdout and stderr into another, no other descriptor, no signal
 * blocked or ignored, the limits of descriptors that systemd gives (1,024, to be raised to 524,288), no core
 * files, and SIGKILL when the keeper dies.
 */
#ifndef BOXEDGE_KEEPER_H
#define BOXEDGE_KEEPER_H

#include "ipc.h"
#include "privileges.h"

/* Over the channel (ipc.h); `value` is 0 and there are no bytes where nothing is said. */
typedef enum keeper_message {
    /* to the keeper */
    KEEPER_STOP = 1, /* SIGTERM to the group, and thaws it; after grace_ms SIGKILL to all */
    KEEPER_FREEZE,
    KEEPER_THAW,
    /* from it */
    KEEPER_STARTED, /* the command runs. value: its process id */
    KEEPER_FAILED,  /* it could not be run; bytes: a sentence without its end ("node: No such file") */
    KEEPER_ENDED, /* nothing of the box is left. value: the status of waitpid of the command. The last one */
} keeper_message_t;

typedef struct keeper_spec {
    const char *id; /* of the box */
    char **argv;
    char **env;
    const char *directory;
    const privileges_t *privileges;
    uint32_t grace_ms;
} keeper_spec_t;

typedef struct keeper {
    pid_t pid;
    int fd;        /* the runner's end of the channel, non-blocking */
    int output_fd; /* where the box's output is read, non-blocking */
} keeper_t;

/* A keeper was killed before its box: kills what is in the box's control group, and removes that. False where
 * it has to be tried again. What is in none is among the orphans of the caller (children.h). */
MUST_USE bool keeper_clean_up(pid_t keeper, const char *id);

/* Forks a keeper. All of `spec` is only read until this returns. False with errno. The caller reaps it, or
 * ignores SIGCHLD. */
MUST_USE bool keeper_start(const keeper_spec_t *spec, keeper_t *out);

#endif
