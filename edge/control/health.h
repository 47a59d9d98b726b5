/*
 * Active checks of the servers of one upstream: GET of its health_path at each address, again and again, with
 * jitter so that they are not asked in step. 2xx and 3xx say that a server is well. After `health_fall` bad
 * checks in a row it is down in the shared balance, after `health_rise` good ones it is up again, and the log
 * says so. A check that cannot be made for a reason of the edge's own (a file that it cannot read) says
 * nothing of the server, which stays as it is; the log says that once. Which servers there are is read from
 * the balance.
 */
#ifndef BOXEDGE_HEALTH_H
#define BOXEDGE_HEALTH_H

#include "balance.h"
#include "loop.h"
#include "random_id.h"

/* Bytes of an answer's body, at most: a longer one is a bad check. */
#define HEALTH_BODY_MAX 65536

typedef struct health health_t;

/* Of upstream `index` of `balance`, which outlives it, as `random` does. Idle until health_set. */
health_t *health_new(loop_t *loop, balance_t *balance, unsigned index, random_source_t *random);
/* Nulls. Checks that are under way say nothing any more. NULL is allowed. */
void health_free(health_t **health);
/*
 * The configuration of the upstream from now on, which outlives its use, or NULL: none. To be called after
 * each balance_set too: servers that stay are asked as before, whatever changed about the upstream counts
 * from their next check on. Where servers are not asked (health_path is ""), all are up.
 */
void health_set(health_t *health, const conf_upstream_t *conf);

/* Whether a server is up, and for how many checks in a row it has been said that it is not as it is. */
typedef struct health_count {
    bool up;
    uint32_t row;
} health_count_t;
/* One more check. Returns true where `up` changed. */
bool health_counted(health_count_t *count, bool well, uint32_t rise, uint32_t fall);

/* When a server is asked for the first time, at most a second from now, and after how long again: a tenth
 * more or less than the interval. With 16 random bits. In ms. */
uint32_t health_first_ms(uint32_t interval, uint16_t random);
uint32_t health_next_ms(uint32_t interval, uint16_t random);

#endif
