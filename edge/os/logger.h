/*
 * The process that writes the edge's own messages to stderr, or to the journal behind it (log_output.h).
 *
 * The reader of stderr may stall: a stopped journald, an unread pipe, a full disk. A process that
 * writes to stderr would then hang in the kernel. Each process of the edge therefore writes to a
 * pipe that never blocks. Only the logger writes to the stderr that the edge was started with, and
 * it does nothing else. Other programs share the open file of stderr, and O_NONBLOCK would apply to
 * them too. The edge sets it on its own pipe only and leaves stderr unchanged.
 *
 * Lines that find the pipe full are lost and counted. The logger writes their number once it can
 * write again. A line is at most PIPE_BUF bytes, so lines of several processes never mix. Lines of
 * a process that died are in the pipe and arrive.
 *
 * The supervisor keeps both ends open, so the pipe outlives a killed logger and its successor
 * continues.
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
    uint64_t due_ms; /* earliest restart of a logger that died (CLOCK_MONOTONIC) */
} logger_t;

#define LOGGER_NONE ((logger_t){.read_fd = -1, .stderr_fd = -1})

/* Replaces descriptor 2 by the pipe and starts the logger. Call once, before the first other child.
 * On error returns false with errno and changes nothing. */
bool logger_start(logger_t *logger);
/* Records the logger's death: clears its pid, and delays logger_start_again by a second. */
void logger_died(logger_t *logger, uint64_t now_ms);
/* Forks a logger in place of a dead one, once it is due. Returns 0 in the child, which must forget
 * its secrets and call logger_run; otherwise not 0. */
pid_t logger_start_again(logger_t *logger, uint64_t now_ms);
/* The logger's main function: ends when the last writer is gone. */
_Noreturn void logger_run(const logger_t *logger);
/* Restores the edge's first stderr, and waits at most a second until all lines are written. */
void logger_finish(logger_t *logger);
/* In a child before exec: makes descriptor 2 the first stderr again. Returns a duplicate of the
 * pipe (close-on-exec), for a message if the exec fails; -1 without a pipe. */
int logger_leave(const logger_t *logger);

/* How the logger writes from now on: lines of text (to journald natively, if stderr is its stream), or lines
 * of JSON. No-op before logger_start. */
typedef enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON } log_format_t;
void logger_set_format(log_format_t format);

/* Counts a line that could not be written, from any process. No-op before logger_start. */
void logger_lost_line(void);
/* The number of lines lost so far in all processes of this edge. */
uint64_t logger_lost_lines(void);

/* Copies the last messages of this edge, whole lines with their times, into `out`, which has room for
 * MESSAGE_RING_BYTES (message_ring.h). Returns their length; 0 before logger_start. */
size_t logger_recent(char *out);

#endif
