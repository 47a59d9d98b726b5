/*
 * The edge's own messages (stderr), written by a process of their own.
 *
 * The reader of stderr may stall: a stopped journald, a pipe that nobody reads, a full disk. A process that
 * writes to it would then hang in the kernel. So each process of the edge writes to a pipe that never blocks,
 * and only the logger, which does nothing else, writes to the stderr that the edge was started with. The flag
 * O_NONBLOCK belongs to an open file, which others share: the pipe is the edge's own, stderr is left as it
 * is.
 *
 * Lines that find the pipe full are lost and counted; the logger says how many once it can write again. A
 * line is at most PIPE_BUF bytes, so lines of several processes never mix. Lines of a process that died are
 * in the pipe and arrive.
 *
 * The supervisor keeps both ends open: the pipe outlives a logger that was killed, and its successor goes on.
 */
#ifndef BOXEDGE_LOGGER_H
#define BOXEDGE_LOGGER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct logger {
    pid_t pid;       /* 0: none */
    int read_fd;     /* of the pipe; -1: messages go straight to stderr */
    int stderr_fd;   /* the stderr that the edge was started with; -1: likewise */
    uint64_t due_ms; /* a logger that died is not started again before this (CLOCK_MONOTONIC) */
} logger_t;

#define LOGGER_NONE ((logger_t){.read_fd = -1, .stderr_fd = -1})

/* Puts the pipe in the place of descriptor 2 and starts the logger. Called once, before the first other
 * child. False with errno, and nothing is changed. */
bool logger_start(logger_t *logger);
/* The logger died: clears its pid, and has logger_start_again wait a second. */
void logger_died(logger_t *logger, uint64_t now_ms);
/* Forks a logger in place of one that died, where it is due. Returns 0 in the child, which must forget its
 * secrets and call logger_run; else not 0. */
pid_t logger_start_again(logger_t *logger, uint64_t now_ms);
/* The logger's own life: ends when the last writer is gone. */
_Noreturn void logger_run(const logger_t *logger);
/* Puts the edge's first stderr back, and waits at most a second until all lines are written. */
void logger_finish(logger_t *logger);
/* In a child that is about to exec: descriptor 2 is the first stderr again. Returns a duplicate of the pipe
 * (close-on-exec), for a message should the exec fail; -1 where there is none. */
int logger_leave(const logger_t *logger);

/* A line could not be written: counted, from any process. Does nothing before logger_start. */
void logger_lost_line(void);
/* Lines that were lost so far, in all processes of this edge. */
uint64_t logger_lost_lines(void);

#endif
