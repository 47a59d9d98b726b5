/*
 * The process between the runner and one process box. It starts the box's command, freezes, stops and kills
 * it, and ends all remaining processes of the box with it. The kernel gives it all orphans of the box. No
 * process escapes by leaving the process group, even without a control group. The box init has a separate
 * session, so that it can still end the box after all other processes of the edge were killed. The end of its
 * channel to the runner is the order to kill.
 *
 * The command runs in a separate session and process group, with the rights of its user and no new ones. Its
 * stdin is a pipe that stays open and empty; stdout and stderr are another pipe; it has no other descriptor.
 * No signal is blocked or ignored. It has systemd's limits of descriptors (1,024, which it may raise to
 * 524,288) and no core files, and gets SIGKILL when the box init dies.
 */
#ifndef BOXEDGE_BOX_INIT_H
#define BOXEDGE_BOX_INIT_H

#include "ipc.h"
#include "privileges.h"

/* Messages of the channel (ipc.h). By default `value` is 0, without bytes. */
typedef enum box_init_message {
    /* To the box init. */
    BOX_INIT_STOP = 1, /* SIGTERM to the group, and thaws it; after grace_ms SIGKILL to all */
    BOX_INIT_FREEZE,
    BOX_INIT_THAW,
    /* From the box init. */
    BOX_INIT_STARTED, /* the command runs. value: its process id */
    BOX_INIT_FAILED, /* the command could not be run; bytes: a sentence without its end ("node: No such file")
                      */
    BOX_INIT_ENDED,  /* all processes of the box have ended. value: the command's status of waitpid. The last
                      message */
} box_init_message_t;

typedef struct box_init_spec {
    const char *id; /* of the box */
    char **argv;
    char **env;
    const char *directory;
    const privileges_t *privileges;
    uint32_t grace_ms;
    const char
        *terminal; /* becomes its controlling terminal and its 0, 1 and 2 in place of the pipes; NULL: none */
    bool as_caller; /* it is the caller's own: it keeps the caller's rights, root's too, umask and limits */
} box_init_spec_t;

typedef struct box_init {
    pid_t pid;
    int fd;        /* the runner's end of the channel, non-blocking */
    int output_fd; /* read end of the box's output, non-blocking */
} box_init_t;

/* After a box init was killed before its box: kills the processes in the box's control group, and
 * removes the group. Returns false if it must be tried again. Processes outside of any group are
 * orphans of the caller (children.h). */
MUST_USE bool box_init_clean_up(pid_t box_init, const char *id);

/* Forks a box init. `spec` is only read until this returns. Returns false with errno. The caller
 * reaps the box init, or ignores SIGCHLD. */
MUST_USE bool box_init_start(const box_init_spec_t *spec, box_init_t *out);

#endif
