/*
 * A message as its process writes it, and the logger and people read it:
 *
 *   2026-11-30T13:47:08.123Z error process_died boxedge: worker 0 (process 812) died: signal 9
 *   2026-11-30T13:47:08.410Z warning system_calls_open boxedge[worker 0]: its system calls are ...
 *
 * The supervisor's messages name no process.
 */
#ifndef BOXEDGE_LOG_ENTRY_H
#define BOXEDGE_LOG_ENTRY_H

#include <stdint.h>

#include "log_codes.h"
#include "str.h"

/* "2026-11-30T13:47:08.123Z" (RFC 3339), without a NUL. */
#define LOG_TIME_BYTES 24
/* Room for the beginning of a line, with the longest code and a process name of 32 bytes. */
#define LOG_HEAD_MAX 128

typedef struct log_entry {
    str_t time;
    log_level_t level;
    str_t code;
    str_t process; /* "supervisor" if the line has none */
    str_t text;
} log_entry_t;

/* Async-signal-safe: writes the time `wall_ms` (since 1970), or now. */
void log_time_at(char out[LOG_TIME_BYTES], uint64_t wall_ms);
void log_time_now(char out[LOG_TIME_BYTES]);
/* Async-signal-safe: writes the beginning of a line, up to its sentence. `process` NULL: the supervisor.
 * Returns its length. */
size_t log_head(char out[LOG_HEAD_MAX], log_code_t code, const char *process);

/* Reads a line without its end. The entry has slices of it. False: it is no message. */
bool log_entry_parse(str_t line, log_entry_t *entry);

str_t log_level_text(log_level_t level);
log_level_t log_code_level(log_code_t code);
str_t log_code_text(log_code_t code);

#endif
