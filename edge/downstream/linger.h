/*
 * The rest of a request that was answered before its end. A client that is reset while it sends loses the
 * answer (RFC 9112 section 9.6, RFC 9113 section 8.1). So the edge keeps reading for a while and discards the
 * bytes; it holds none of them.
 *
 * One linger_t belongs to one request and is embedded in the codec's state. Limits: LINGER_IDLE_MS without a
 * byte, LINGER_WHOLE_MS and LINGER_BYTES in all, and a rate that all requests of one client address share.
 */
#ifndef BOXEDGE_LINGER_H
#define BOXEDGE_LINGER_H

#include "client.h"
#include "exchange.h"
#include "loop.h"

#define LINGER_IDLE_MS  5000
#define LINGER_WHOLE_MS 30000
#define LINGER_BYTES    (256u * 1024 * 1024)
/* The rate of one client address (/64 for IPv6) in a worker: a burst of this many bytes, then one unit each
 * LINGER_UNIT_MS, which is 32 MiB a second. A proxy that names no client has no such limit. */
#define LINGER_BURST_BYTES (64u * 1024 * 1024)
#define LINGER_UNIT_BYTES  65536
#define LINGER_UNIT_MS     2
/* How long reading stops for a client over its rate. */
#define LINGER_PAUSE_MS 100

typedef struct lingering linger_t;

typedef struct linger_handlers {
    /* A limit was reached: give the request up. The linger has already ended. */
    void (*over)(linger_t *linger);
    /* After LINGER_PAUSED: read on. */
    void (*resume)(linger_t *linger);
} linger_handlers_t;

struct lingering {
    const client_t *client;
    remote_t remote; /* whose rate applies */
    const linger_handlers_t *handlers;
    loop_timer_t timer; /* for an idle client, or one over its rate */
    loop_timer_t whole;
    uint32_t bytes;  /* discarded so far */
    uint32_t unpaid; /* part of them not yet charged to the client's rate */
};

typedef enum linger_result {
    LINGER_READ_ON,
    LINGER_PAUSED, /* over the client's rate: do not read until `resume` */
    LINGER_OVER,   /* a limit was reached: give the request up */
} linger_result_t;

/* The rates of client addresses, shared by all lingers of a worker. */
typedef struct linger_rates linger_rates_t;
linger_rates_t *linger_rates_new(void);
void linger_rates_free(linger_rates_t **rates);

/*
 * Whether to read the rest of an answered request. False if the edge has no capacity for the client
 * (`overloaded`, `locked`, too many waiting), and if the client was too slow (408).
 */
bool linger_wanted(const exchange_t *ex);

/* `linger` must be zero-filled; `remote` is that of the request's exchange. No function here calls a handler
 * from within. */
void linger_begin(linger_t *linger, const client_t *client, const remote_t *remote,
                  const linger_handlers_t *handlers);
/* n bytes arrived and were discarded. */
MUST_USE linger_result_t linger_take(linger_t *linger, size_t n);
/* No-op if it has ended or never begun. */
void linger_end(linger_t *linger);

#endif
