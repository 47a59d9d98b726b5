/*
 * The logger's end of the edge's own log: lines of text to stderr, lines of JSON to stderr, or datagrams to
 * journald (systemd's native protocol). Every call may wait for the reader without a time limit: only the
 * logger calls (logger.h).
 */
#ifndef BOXEDGE_LOG_OUTPUT_H
#define BOXEDGE_LOG_OUTPUT_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "str.h"

/* systemd's socket for messages (systemd.journal-fields(7)). */
#define LOG_JOURNAL_SOCKET "/run/systemd/journal/socket"
/* Maximum length of a line of JSON, with its end: it goes into a pipe whole. */
#define LOG_JSON_MAX PIPE_BUF
/* Room for the message of a line of at most PIPE_BUF bytes to journald. */
#define LOG_JOURNAL_MAX ((size_t)PIPE_BUF + 512)

/* Whether `fd` is the stream to journald that the service manager names in `value` (JOURNAL_STREAM,
 * "device:inode"; NULL: none). */
bool log_is_journal(int fd, const char *value);
/* A socket connected to journald at `path`; -1: none. */
int log_journal_open(const char *path);

/* Writes the fields of a line, without its end, as journald takes them; returns their length. Fields that
 * journald adds name the logger's process. */
size_t log_journal_text(char out[LOG_JOURNAL_MAX], str_t line);
/* Writes a line, without its end, as one object and a line end; returns its length. A line that is no message
 * gets the present time. Longer text is cut at a character, and ends with an ellipsis. */
size_t log_json_line(char out[LOG_JSON_MAX], str_t line);

/* Writes whole lines to `fd` unchanged, at most PIPE_BUF bytes in one write. Returns the number of lost
 * lines. */
size_t log_write_lines(int fd, str_t lines);

#endif
