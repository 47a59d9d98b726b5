/*
 * The rest of a request that was answered before its end. A client that is reset while it sends loses the
 * answer (RFC 9112 section 9.6, RFC 9113 section 8.1), so the edge goes on reading for a while and throws
 * away what it reads. Nothing is held meanwhile.
 *
 * One linger_t belongs to one request, embedded in the codec's own. Bounds: LINGER_IDLE_MS without a byte,
 * LINGER_WHOLE_MS and LINGER_BYTES in all, and a rate that all requests of one client address share.
 */
#ifndef BOXEDGE_LINGER_H
#define BOXEDGE_LINGER_H

#include "client.h"
#include "exchange.h"
#include "loop.h"

#define LINGER_IDLE_MS  5000
#define LINGER_WHOLE_MS 30000
#define LINGER_BYTES    (256u * 1024 * 1024)
/* The rate of one client address (/64 for IPv6) in a worker: this many bytes at once, then a unit each
 * LINGER_UNIT_MS, which is 32 MiB a second. A proxy that names no client has none. */
#define LINGER_BURST_BYTES (64u * 1024 * 1024)
#define LINGER_UNIT_BYTES  65536
#define LINGER_UNIT_MS     2
/* How long a client over its rate is not read before the next try. */
#define LINGER_PAUSE_MS 100

typedef struct lingering linger_t;

typedef struct linger_handlers {
    /* A bound was reached: give the request up. The linger is ended already. */
    void (*over)(linger_t *linger);
    /* After LINGER_PAUSED: read on. */
    void (*resume)(linger_t *linger);
} linger_handlers_t;

struct lingering {
    const client_t *client;
    remote_t remote; /* whose rate it takes from */
    const linger_handlers_t *handlers;
    loop_timer_t timer; /* the client is idle, or over its rate */
    loop_timer_t whole;
    uint32_t bytes;  /* thrown away so far */
    uint32_t unpaid; /* of them, not yet taken from the client's rate */
};

typedef enum linger_result {
    LINGER_READ_ON,
    LINGER_PAUSED, /* the client is over its rate: do not read until `resume` */
    LINGER_OVER,   /* a bound was reached: give the request up */
} linger_result_t;

/* What all lingers of a worker share: the rates of client addresses. */
typedef struct linger_rates linger_rates_t;
linger_rates_t *linger_rates_new(void);
void linger_rates_free(linger_rates_t **rates);

/*
 * Whether the rest of an answered request is read at all. Not where the edge has no time for this client
 * (`overloaded`, `locked`, too many that wait), nor where the client was too slow (408).
 */
bool linger_wanted(const exchange_t *ex);

/* `linger` is zero-filled; `remote` is that of the exchange whose request it is. Neither handler is called
 * from within a call of the codec's. */
void linger_begin(linger_t *linger, const client_t *client, const remote_t *remote,
                  const linger_handlers_t *handlers);
/* n bytes came and were thrown away. */
MUST_USE linger_result_t linger_take(linger_t *linger, size_t n);
/* No-op where it has ended, or never began. */
void linger_end(linger_t *linger);

#endif
