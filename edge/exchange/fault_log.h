/*
 * Lines about faults of messages (fault.h) in the edge's own log, rate-limited separately for clients and for
 * apps.
 */
#ifndef BOXEDGE_FAULT_LOG_H
#define BOXEDGE_FAULT_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "fault.h"

typedef struct exchange exchange_t;
typedef struct client client_t;

/* Maximum log lines per FAULT_WINDOW_MS, for clients and for apps each. */
#define FAULT_LINES     10
#define FAULT_WINDOW_MS 10000

/* The rate limit of one process; initially all-zero. */
typedef struct fault_log {
    uint64_t window_ms; /* start of the window */
    unsigned lines;
    unsigned left_out;
} fault_log_t;

/* Whether a line may be written at `now_ms`; if so, *left_out is the number of lines dropped before it. */
bool fault_log_take(fault_log_t *log, uint64_t now_ms, unsigned *left_out);

/* Logs the fault, and keeps its reason for the exchange's answer. `of_app`: the origin's answer is at fault,
 * not the request. */
void fault_report(exchange_t *ex, const fault_t *fault, bool of_app);

/*
 * Logs, within the limit of `log`, why a whole connection of `client` ends: "<kind> of <address> <end>:
 * <reason><more>", and the bytes. Such a connection has no answer and no access line. `client` need not have
 * a connection yet.
 */
void fault_report_connection(const client_t *client, fault_log_t *log, const char *kind, const char *end,
                             const fault_t *fault, const char *more);

#endif
