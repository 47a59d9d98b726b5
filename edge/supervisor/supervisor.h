/*
 * The process that has the rights, the listening sockets and the keys, and keeps the controller and
 * the workers running. It takes no byte from a client. Its parts:
 *
 *   supervisor.c         start, the loop, signals
 *   supervisor_drain.c   the end
 *   supervise_start.c    the start of children, and their channels
 *   supervise.c          their drain, deaths and messages, the watchdog
 *   store_watch.c        checks of the store while the edge serves
 *   queues.c             queues of workers that cannot accept
 *   reload.c             a new configuration, a new log file
 *   upgrade.c            a new binary: the old one's side; inherit.c: the new one's
 *   elders.c             older edges with requests or tunnels
 */
#ifndef BOXEDGE_SUPERVISOR_H
#define BOXEDGE_SUPERVISOR_H

#include "process.h"

/* The main functions of the children. Each runs in a child that the supervisor forked, and returns
 * its exit status (process.h lists the child's initial resources). */
typedef struct supervisor_children {
    int (*worker)(const worker_args_t *args);
    int (*controller)(const controller_args_t *args);
    int (*runner)(const runner_args_t *args);
} supervisor_children_t;

/* Runs the edge with the configuration at `conf_path` until it has drained. `argv` is the whole
 * command line, for starting a new binary; `children` must outlive the call. Returns the exit status:
 * 0 after a drain, 1 if it could not start. */
int supervisor_run(const char *conf_path, char **argv, const supervisor_children_t *children);

#endif
