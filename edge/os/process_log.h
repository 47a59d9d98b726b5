/*
 * The edge's own messages on stderr.
 */
#ifndef BOXEDGE_PROCESS_LOG_H
#define BOXEDGE_PROCESS_LOG_H

#include <stdio.h>

/* Writes one line, "boxedge[process]: sentence" (without a process "boxedge: sentence"), in one write.
 * Never blocks: a line that does not fit into the pipe is counted as lost (logger.h). */
void process_log(const char *process, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Writes lines that a function prints into a FILE: process_lines_open, print to `out`,
 * process_lines_log. */
typedef struct process_lines {
    FILE *out;
    char *text;
    size_t len;
} process_lines_t;
void process_lines_open(process_lines_t *lines);
/* Writes the lines and frees them. */
void process_lines_log(process_lines_t *lines);

#endif
