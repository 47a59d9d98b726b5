/*
 * One JSON line for every exchange. Lines are put into a buffer in memory and written by a thread of the
 * log's own, so that a slow disk or pipe never blocks the loop; lines that do not fit are dropped and
 * counted.
 */
#ifndef BOXEDGE_ACCESS_LOG_H
#define BOXEDGE_ACCESS_LOG_H

#include "counters.h"
#include "exchange.h"

typedef struct access_log access_log_t;

/* `fd` is where lines go (owned from here on); -1: lines are not written. */
access_log_t *access_log_new(int fd, counters_t *counters);
/* Writes what is buffered (waits at most a second) and ends. */
void access_log_free(access_log_t **log);
/* Goes on with another descriptor, after what is buffered (the file was rotated). */
void access_log_reopen(access_log_t *log, int fd);
/* Adds the line of an exchange that ends, and how it ended. Makes no system call but, now and then, a wake-up
 * of the thread. Local clients (client_t.local) get no line. */
void access_log_exchange(access_log_t *log, const exchange_t *ex, exchange_end_t how);
/* Hook (pipeline.h): writes the line of an exchange that ends, to its worker's log. */
void access_log_end(exchange_t *ex);

#endif
