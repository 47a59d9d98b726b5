/*
 * One JSON line per exchange. The log buffers lines in memory, and a thread of its own writes them, so that a
 * slow disk or pipe never blocks the loop. Lines that do not fit are dropped and counted.
 */
#ifndef BOXEDGE_ACCESS_LOG_H
#define BOXEDGE_ACCESS_LOG_H

#include "counters.h"
#include "exchange.h"

typedef struct access_log access_log_t;

/* Takes over `fd`, the file of the lines; -1: writes no lines. */
access_log_t *access_log_new(int fd, counters_t *counters);
/* Writes the buffered lines (waits at most a second) and ends. */
void access_log_free(access_log_t **log);
/* Switches to another descriptor after the buffered lines (the file was rotated). Takes over `fd`; -1: writes
 * no lines from then on. */
void access_log_reopen(access_log_t *log, int fd);
/* Adds the line of an exchange that ends as `how`. Makes no system call except an occasional wake-up of the
 * thread. Local clients (client_t.local) get no line. */
void access_log_exchange(access_log_t *log, const exchange_t *ex, exchange_end_t how);
/* Hook (pipeline.h): adds the line of an exchange that ends to its worker's log. */
void access_log_end(exchange_t *ex);

#endif
