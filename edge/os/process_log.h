/*
 * The edge's own messages on stderr.
 */
#ifndef BOXEDGE_PROCESS_LOG_H
#define BOXEDGE_PROCESS_LOG_H

#include <stdio.h>

#include "log_codes.h"

/* Writes one line (log_entry.h) in one write: its time, the level of `code`, the code, the process (NULL: the
 * supervisor) and the sentence, in which line ends become spaces. Never blocks: a line that does not fit into
 * the pipe is counted as lost (logger.h). */
void process_log(log_code_t code, const char *process, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Writes lines that a function prints into a FILE, each as a message of the supervisor: process_lines_open,
 * print to `out`, process_lines_log. */
typedef struct process_lines {
    FILE *out;
    char *text;
    size_t len;
} process_lines_t;
void process_lines_open(process_lines_t *lines);
/* Writes the lines and frees them. */
void process_lines_log(process_lines_t *lines, log_code_t code);
/* Writes the lines of `text`. */
void process_log_lines(log_code_t code, const char *text);

#endif
