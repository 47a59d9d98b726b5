/*
 * The last words of a process that crashes: its signal, the build id of the program, a backtrace, and lines
 * of the process's own. They go to stderr like its other messages. The process then dies by its signal, as it
 * would without this.
 *
 * No secret is among them: the lines hold addresses of code and names of files, never the memory's contents.
 * Resolve an address of the program with `addr2line -fie boxedge ADDRESS`.
 */
#ifndef BOXEDGE_CRASH_H
#define BOXEDGE_CRASH_H

#include <stddef.h>
#include <stdint.h>

#define CRASH_LINE_MAX 2048

/* A line under construction. */
typedef struct crash_line {
    char text[CRASH_LINE_MAX];
    size_t len;
} crash_line_t;

/* Async-signal-safe. Begin a line; append to it (cut at CRASH_LINE_MAX); write it. */
void crash_line_begin(crash_line_t *line);
void crash_line_text(crash_line_t *line, const char *text);
void crash_line_number(crash_line_t *line, uint64_t number, unsigned base);
void crash_line_end(crash_line_t *line);

/* Adds the process's lines after the backtrace; in a signal handler, with memory in any state. */
typedef void (*crash_detail_t)(void *arg);

/*
 * Catches the signals of crashes from here on; `process` as in process_log, valid forever. Call it again in a
 * forked child, before any filter of system calls. A second crash within the last words ends the process.
 */
void crash_catch(const char *process);
/* The build id of the program in hexadecimal digits; "": it has none. */
const char *crash_build_id(void);
void crash_set_detail(crash_detail_t detail, void *arg);

#endif
