/*
 * Active checks of the servers of one upstream: GET of its health_path at each address of the balance, with
 * jitter so that the checks spread. 2xx and 3xx are good. `health_fall` bad checks in a row mark a server as
 * down in the shared balance, `health_rise` good ones as up, and the log records each change. A check that
 * fails for a reason of the edge's own (an unreadable file) leaves the server as it is; the log records that
 * once.
 */
#ifndef BOXEDGE_HEALTH_H
#define BOXEDGE_HEALTH_H

#include "balance.h"
#include "loop.h"
#include "random_id.h"

/* Maximum body of an answer in bytes; a longer one is a bad check. */
#define HEALTH_BODY_MAX 65536

typedef struct health health_t;

/* A server of the last health_set is missing from the balance, or was replaced: another process wrote to it.
 * The owner sets the servers once more. */
typedef void health_lost_t(void *owner, unsigned index);

/* For upstream `index` of `balance`. `balance` and `random` must outlive it. Idle until health_set. `lost`
 * may be NULL. */
health_t *health_new(loop_t *loop, balance_t *balance, unsigned index, random_source_t *random,
                     health_lost_t *lost, void *owner);
/* Cancels the checks under way and nulls. NULL is allowed. */
void health_free(health_t **health);
/*
 * Sets the configuration of the upstream, which must stay valid while in use; NULL: none. Call after each
 * balance_set too. Servers that stay keep their schedule, and a changed upstream counts from their next check
 * on. With health_path "" all servers are up.
 */
void health_set(health_t *health, const conf_upstream_t *conf);

/* The state of a server, and the checks in a row that contradict it. */
typedef struct health_count {
    bool up;
    uint32_t row;
} health_count_t;
/* Counts one check. Returns true if it changed `up`. */
bool health_counted(health_count_t *count, bool well, uint32_t rise, uint32_t fall);

/* Delays in ms from 16 random bits: before the first check, at most a second; between checks, the interval
 * plus or minus a tenth. */
uint32_t health_first_ms(uint32_t interval, uint16_t random);
uint32_t health_next_ms(uint32_t interval, uint16_t random);

#endif
