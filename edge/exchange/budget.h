/*
 * What follows from how much memory is held (docs/design.md, "Memory"). Of limits.memory, for one worker:
 *
 *   below 1/2
 *     no bound
 *   from 1/2 on
 *     a client address or a box over its share (summed over all workers) holds at most BUDGET_FLOOR_BYTES in
 *     each direction of an exchange
 *   from 3/4 on
 *     it gets 503 for new requests; each open exchange counts BUDGET_AHEAD_BYTES more here, as its
 *     response is still to come
 *   from 7/8 on
 *     its new requests end without an answer, because answers take memory too
 *   from 4/4 on
 *     exchanges without progress end (relief.h); the share of a client address falls evenly, to
 *     nothing at 3/2: many addresses together cannot take the place of one more. An address between
 *     its fallen and its whole share gets 503
 *   from 5/4 on
 *     such an address gets no answer; a request without a share gets 503
 *   from 3/2 on
 *     no address gets an answer
 *
 * Bytes that the kernel holds count to 1/2 and 3/4, to relief, and to every share. They do not count from
 * 7/8 on: they refuse nothing to a client within its share.
 *
 * From 4/4 on, where all addresses together are bounded, what client connections keep beside requests
 * (context_t.connection_bytes) is left out: many addresses with a connection each would otherwise take the
 * place of one more. It is bounded by limits.connections, and idle connections go (budget_is_crowded).
 *
 * Requests without a share: those of trusted proxies that name no client, and all where
 * limits.memory_per_client is limits.memory or more.
 */
#ifndef BOXEDGE_BUDGET_H
#define BOXEDGE_BUDGET_H

#include "exchange.h"

/* Held in a direction of an exchange while memory is short. */
#define BUDGET_FLOOR_BYTES 4096

#define BUDGET_AHEAD_BYTES 8192

typedef struct budget_facts {
    uint64_t memory;      /* limits.memory */
    uint64_t share;       /* limits.memory_per_client, or an eighth of `memory` */
    uint64_t held;        /* by the worker itself */
    uint64_t kernel;      /* by the kernel, for the worker's connections that stand still (backlog.h) */
    uint64_t connections; /* of that, by client connections beside requests */
    uint64_t ahead;       /* about to be held as well */
    bool shared;          /* the client has a share */
    uint64_t client; /* by the client's address, or the client that a trusted proxy names, over all workers;
                        0 where it has no bound */
    uint64_t box;    /* by the box over all workers; 0 where it is not known */
} budget_facts_t;

typedef enum budget_answer {
    BUDGET_SERVE,
    BUDGET_SHED, /* 503 */
    BUDGET_DROP, /* end it without an answer */
} budget_answer_t;

budget_answer_t budget_rule(const budget_facts_t *facts);

/* Three quarters are reached: shares count for what is new. */
bool budget_is_tight(const context_t *context);
/* Bytes that windows of HTTP/2 may promise to peers: from three quarters on, none. */
uint64_t budget_credit(const context_t *context);
/* limits.memory_per_client, or what it is where that is 0. */
uint64_t budget_share(const conf_t *conf);
/* What the address of a connection holds over all workers; 0 where it has no bound: trusted proxies, the
 * health listener, the edge's own. */
uint64_t budget_client(const client_t *client);
/* What the box of an exchange holds over all workers, or the client that a trusted proxy names: the greater
 * of both. */
uint64_t budget_exchange(const exchange_t *ex);

/* Client connections keep half of limits.memory, requests aside: idle ones are to go before others come
 * (crowd.h). So idle connections alone never get requests refused. */
bool budget_is_crowded(const context_t *context);
/* Whether TLS is refused to a new connection: its address would get no answer to a request, or twice
 * limits.memory is held. */
bool budget_refuses_tls(const client_t *client);

/* Whether a connection may be closed for what its address holds. */
bool budget_may_close(const client_t *client);

/* A new exchange, in EXCHANGE_STEPS: answers it with 503, or ends it, where memory is short for it. True:
 * done. */
bool budget_refuses(exchange_t *ex);
/* An exchange ends because memory is short (relief.h): its access line says so. */
void budget_note_relief(exchange_t *ex);
#define BUDGET_RELIEF_REASON "Memory is short, and this client holds some without getting further."
/* Answers an exchange with 503 `overloaded`. */
void budget_shed(exchange_t *ex);
/* Whether the rule would refuse another exchange like this one. */
bool budget_is_short(const exchange_t *ex);
/* How much of `most` a direction of an exchange may hold now: all of it, or BUDGET_FLOOR_BYTES. */
size_t budget_bound(const exchange_t *ex, size_t most);

#endif
