/*
 * What follows from how much memory is held (docs/design.md, "Memory"). Of limits.memory, for one worker:
 *
 *   below 1/2           nobody is bounded
 *   from 1/2 on         a client address or a box that holds more than its share (over all workers) holds no
 *                       more than BUDGET_FLOOR_BYTES in each direction of what is under way
 *   from 3/4 on         it gets 503 for what is new; each exchange that is open counts BUDGET_AHEAD_BYTES
 * more here, since its response is to come from 7/8 on         it gets no answer at all, since answers take
 * memory too from 4/4 on         the holders go first (relief.h); a client within its share is served from
 * 5/4 on         all of this holds for everybody, and from 3/2 on nobody gets an answer
 */
#ifndef BOXEDGE_BUDGET_H
#define BOXEDGE_BUDGET_H

#include "exchange.h"

/* Held in a direction of an exchange while memory is short. */
#define BUDGET_FLOOR_BYTES 4096

#define BUDGET_AHEAD_BYTES 8192

typedef struct budget_facts {
    uint64_t memory; /* limits.memory */
    uint64_t share;  /* limits.memory_per_client, or an eighth of `memory` */
    uint64_t held;   /* by the worker */
    uint64_t ahead;  /* about to be held as well */
    uint64_t client; /* by the client's address over all workers; 0 where it has no bound */
    uint64_t box;    /* by the box over all workers; 0 where it is not known; or by the client that a proxy
                        names, where that is more */
} budget_facts_t;

typedef enum budget_answer {
    BUDGET_SERVE,
    BUDGET_SHED, /* 503 */
    BUDGET_DROP, /* end it without an answer */
} budget_answer_t;

budget_answer_t budget_rule(const budget_facts_t *facts);

/* Three quarters are reached: shares count for what is new. */
bool budget_is_tight(const worker_t *worker);
/* limits.memory_per_client, or what it is where that is 0. */
uint64_t budget_share(const conf_t *conf);
/* What the address of a connection holds over all workers; 0 where it has no bound: trusted proxies, the
 * health listener, the edge's own. */
uint64_t budget_client(const client_t *client);
/* What the box of an exchange holds over all workers, or the client that a trusted proxy names: the greater
 * of both. */
uint64_t budget_exchange(const exchange_t *ex);

/* Whether a connection may be closed for what its address holds. */
bool budget_may_close(const client_t *client);

/* A new exchange, in EXCHANGE_STEPS: answers it with 503, or ends it, where memory is short for it. True:
 * done. */
bool budget_refuses(exchange_t *ex);
/* Answers an exchange with 503 `overloaded`. */
void budget_shed(exchange_t *ex);
/* Whether the rule would refuse another exchange like this one. */
bool budget_is_short(const exchange_t *ex);
/* How much of `most` a direction of an exchange may hold now: all of it, or BUDGET_FLOOR_BYTES. */
size_t budget_bound(const exchange_t *ex, size_t most);

#endif
