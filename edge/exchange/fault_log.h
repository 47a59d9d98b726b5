/*
 * Faults of messages (fault.h) in the edge's own log: a few lines in a while for the faults of clients, and
 * as many for those of apps.
 */
#ifndef BOXEDGE_FAULT_LOG_H
#define BOXEDGE_FAULT_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "fault.h"

typedef struct exchange exchange_t;
typedef struct client client_t;

/* Lines in the log within FAULT_WINDOW_MS, for the faults of clients and for those of apps. */
#define FAULT_LINES     10
#define FAULT_WINDOW_MS 10000

/* For the log of one process, zero-filled at first. */
typedef struct fault_log {
    uint64_t window_ms; /* when it began */
    unsigned lines;
    unsigned left_out;
} fault_log_t;

/* True where a line may be written at `now_ms`; *left_out is how many were not since the one before. */
bool fault_log_take(fault_log_t *log, uint64_t now_ms, unsigned *left_out);

/* The exchange's answer will say the reason, and the log does now. `of_app`: the answer of its origin was
 * wrong, not the request. */
void fault_say(exchange_t *ex, const fault_t *fault, bool of_app);

/*
 * The log says, as often as `log` lets it, why a whole connection of `client` ends: "<kind> of <address>
 * <end>: <reason><more>", and the bytes. Such a connection has no answer and no access line. `client` need
 * have no connection yet.
 */
void fault_say_connection(const client_t *client, fault_log_t *log, const char *kind, const char *end,
                          const fault_t *fault, const char *more);

#endif
