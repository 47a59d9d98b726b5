/*
 * The process that keeps the rights, the listening sockets and the keys, and keeps the controller and the
 * workers running. It takes no byte from a client. Its parts:
 *
 *   supervisor.c   start, the loop, signals, the end
 *   supervise.c    forking roles, their deaths, the watchdog
 *   reload.c       a new configuration, a new log file
 *   upgrade.c      a new binary
 */
#ifndef BOXEDGE_SUPERVISOR_H
#define BOXEDGE_SUPERVISOR_H

/* Runs the edge with the configuration at `conf_path` until it was drained. `argv` is the whole command
 * line, for starting a new binary. Returns the exit status: 0 after a drain, 1 where it could not start. */
int supervisor_run(const char *conf_path, char **argv);

#endif
