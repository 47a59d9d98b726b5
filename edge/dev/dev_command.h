/*
 * The command of `boxedge dev`, as a process box: below a box init (box_init.h), which ends all its processes
 * when this process ends, however it ends. With a terminal it gets a terminal of its own, so that it shows
 * colours and takes keys; else pipes.
 */
#ifndef BOXEDGE_DEV_COMMAND_H
#define BOXEDGE_DEV_COMMAND_H

#include <termios.h>

#include "box_init.h"

typedef enum dev_command_state {
    DEV_COMMAND_STARTS,
    DEV_COMMAND_RUNS,
    DEV_COMMAND_ENDS, /* was asked to stop */
    DEV_COMMAND_ENDED,
} dev_command_state_t;

typedef struct dev_command {
    dev_command_state_t state;
    box_init_t init;
    int terminal_fd; /* master of its terminal; -1: pipes */
    int slave_fd;    /* keeps the terminal open until the end */
    int output_fd;   /* its output; -1: closed */
    bool failed;     /* it could not be run: `why` */
    char why[512];
    int status;      /* of waitpid, once it has ended */
    bool fresh_line; /* the last byte of its output ended a line */
} dev_command_t;

/* Starts it in the current directory. Returns false after a sentence on stderr. */
MUST_USE bool dev_command_start(dev_command_t *command, const char *id, char **argv, char **env,
                                bool terminal);
/* SIGTERM, and 5 s later SIGKILL, to all its processes. */
void dev_command_stop(dev_command_t *command);
/* SIGKILL at once. */
void dev_command_kill(dev_command_t *command);
/* Takes messages of its init. */
void dev_command_take(dev_command_t *command);
/* Copies the output that is there to stdout. */
void dev_command_show(dev_command_t *command);
/* Passes what was typed on to its terminal. Returns false at the end of the input. */
MUST_USE bool dev_command_type(dev_command_t *command);
/* The size of the terminal has changed. */
void dev_command_resize(const dev_command_t *command);
void dev_command_fini(dev_command_t *command);

#endif
