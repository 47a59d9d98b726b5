/*
 * The consequences of held memory (docs/internals/limits.md, "Memory"). Fractions are of limits.memory, for
 * one worker:
 *
 *   below 1/2
 *     no bound
 *   from 1/2 on
 *     a client address or a box over its share (summed over all workers) holds at most BUDGET_FLOOR_BYTES in
 *     each direction of an exchange
 *   from 3/4 on
 *     its new requests get 503; each open exchange counts BUDGET_AHEAD_BYTES more here, for its coming
 *     response
 *   from 7/8 on
 *     its new requests end without an answer, because answers take memory too
 *   from 4/4 on
 *     exchanges without progress end (relief.h); the share of a client address falls linearly, to
 *     nothing at 3/2, so that many addresses together cannot displace one more. An address between
 *     its fallen and its whole share gets 503
 *   from 5/4 on
 *     such an address gets no answer; a request without a share gets 503
 *   from 3/2 on
 *     no address gets an answer
 *
 * Bytes that the kernel holds count to 1/2 and 3/4, to relief, and to every share. They do not count from
 * 7/8 on, so they never cause a refusal to a client within its share.
 *
 * From 4/4 on, all addresses together are bounded. There, the memory of client connections beside requests
 * (context_t.connection_bytes) does not count: otherwise many addresses with a connection each would
 * displace one more. limits.connections bounds it, and idle connections close (budget_is_crowded).
 *
 * Requests without a share: those of trusted proxies that name no client, and all if
 * limits.memory_per_client is limits.memory or more.
 */
#ifndef BOXEDGE_BUDGET_H
#define BOXEDGE_BUDGET_H

#include "exchange.h"

/* Maximum bytes in one direction of an exchange over its share while memory is short. */
#define BUDGET_FLOOR_BYTES 4096

#define BUDGET_AHEAD_BYTES 8192

typedef struct budget_facts {
    uint64_t memory;      /* limits.memory */
    uint64_t share;       /* limits.memory_per_client, or an eighth of `memory` */
    uint64_t held;        /* by the worker itself, with its client connections */
    uint64_t kernel;      /* by the kernel, for the worker's stalled connections (backlog.h) */
    uint64_t connections; /* part of `held`: client connections beside requests */
    uint64_t ahead;       /* expected for open exchanges */
    bool shared;          /* the client has a share */
    uint64_t client; /* held over all workers by the client's address, or by the client that a trusted proxy
                        names; 0 if it has no bound */
    uint64_t box;    /* held over all workers by the box; 0 if the box is not known */
} budget_facts_t;

typedef enum budget_answer {
    BUDGET_SERVE,
    BUDGET_SHED, /* 503 */
    BUDGET_DROP, /* end the request without an answer */
} budget_answer_t;

budget_answer_t budget_rule(const budget_facts_t *facts);

/* Whether three quarters are reached: shares then count for new requests. */
bool budget_is_tight(const context_t *context);
/* Bytes that HTTP/2 windows may promise to peers: none from three quarters on. */
uint64_t budget_credit(const context_t *context);
/* limits.memory_per_client, or its default if that is 0. */
uint64_t budget_share(const conf_t *conf);
/* Bytes that the address of a connection holds over all workers; 0 if it has no bound: trusted proxies, the
 * health listener, local sockets. */
uint64_t budget_client(const client_t *client);
/* Bytes held over all workers by the exchange's box, or by the client that a trusted proxy names: the greater
 * of both. */
uint64_t budget_exchange(const exchange_t *ex);

/* Whether client connections hold half of limits.memory beside requests: idle ones close before new ones are
 * accepted (crowd.h). So idle connections alone never cause refused requests. */
bool budget_is_crowded(const context_t *context);
/* Whether a new connection is refused TLS: its address would get no answer to a request, or the worker holds
 * twice limits.memory. */
bool budget_refuses_tls(const client_t *client);

/* Whether a connection may be closed because of the memory of its address. */
bool budget_may_close(const client_t *client);

/* Answers a new exchange (in EXCHANGE_STEPS) with 503, or ends it, if memory is short for it. True if it
 * did. */
bool budget_refuses(exchange_t *ex);
/* Records in the access line that the exchange ends because memory is short (relief.h). */
void budget_note_relief(exchange_t *ex);
#define BUDGET_RELIEF_REASON "Memory is short, and this client holds some without making progress."
/* Answers an exchange with 503 `overloaded`. */
void budget_shed(exchange_t *ex);
/* Whether the rule would refuse another exchange like this one. */
bool budget_is_short(const exchange_t *ex);
/* The bytes of `most` that a direction of an exchange may hold now: all, or BUDGET_FLOOR_BYTES. */
size_t budget_bound(const exchange_t *ex, size_t most);

#endif
