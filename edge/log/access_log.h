/*
 * One JSON line per exchange. The log buffers lines in memory, and a thread of its own writes them, so that a
 * slow disk or pipe never blocks the loop. Lines that do not fit are dropped and counted.
 */
#ifndef BOXEDGE_ACCESS_LOG_H
#define BOXEDGE_ACCESS_LOG_H

#include "counters.h"
#include "exchange.h"
#include "line_output.h"
#include "recent_lines.h"

typedef struct access_log access_log_t;

typedef struct access_log_style {
    line_style_t line;
    uint32_t flush_ms; /* maximum time that a line waits for others */
} access_log_style_t;

access_log_style_t access_log_style_of(const conf_t *conf);
/* Takes over `target`; without a descriptor writes no lines. */
access_log_t *access_log_new(line_target_t target, const access_log_style_t *style, counters_t *counters);
/* Writes the buffered lines (waits at most a second) and ends. */
void access_log_free(access_log_t **log);
/* Switches to another destination after the buffered lines; those that the old one does not take within half
 * a second go to the new one. Takes over `target`; without a descriptor writes no lines from then on. */
void access_log_reopen(access_log_t *log, line_target_t target);
/* Applies to the lines that wait, too. */
void access_log_restyle(access_log_t *log, const access_log_style_t *style);
/* Adds the line of an exchange that ends as `how`. Makes no system call except an occasional wake-up of the
 * thread. Local clients (client_t.local) get no line. */
void access_log_exchange(access_log_t *log, const exchange_t *ex, exchange_end_t how);
/* Keeps at most `bytes` of the latest lines in memory too (recent_lines.h). Call it once. */
void access_log_keep(access_log_t *log, size_t bytes);
/* Calls `each` for the kept lines and those that wait, the newest first, until it returns false. Adds their
 * number to *count. */
void access_log_recent(access_log_t *log, recent_line_t each, void *arg, uint64_t *count);
/* Hook (pipeline.h): adds the line of an exchange that ends to its worker's log. */
void access_log_end(exchange_t *ex);

#endif
