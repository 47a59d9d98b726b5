/*
 * Requests whose box refused or closed their connection. Why it did is asked of the controller, once for each
 * box, generation and port, and remembered for REFUSED_FRESH_MS; an exchange waits for it, a moment at most,
 * as for an origin, and then fails.
 */
#ifndef BOXEDGE_REFUSED_H
#define BOXEDGE_REFUSED_H

#include "channel.h"
#include "exchange.h"

#define REFUSED_FRESH_MS 2000
/* A controller that does not answer within it knows nothing. */
#define REFUSED_WAIT_MS 500

typedef struct refused refused_t;

refused_t *refused_new(worker_t *worker);
/* Nobody waits any more. */
void refused_free(refused_t **refused);
/* The channel to the controller from now on; NULL: it is down. */
void refused_set_channel(refused_t *refused, channel_t *channel);
/* PROCESS_LISTENS. */
void refused_message(refused_t *refused, const ipc_message_t *message);

/* The exchange has no origin: its box refused. It fails now or soon; ex->listening then says what listens. */
void refused_fail(exchange_t *ex);
/* Whether the exchange has failed, and only waits to say why. */
bool refused_waits(const exchange_t *ex);
/* The exchange has no origin any more: it failed. As exchange_origin_failed, but where the app closed the
 * connection without an answer and its log may say why, a moment later and with that line. */
void refused_end(exchange_t *ex, origin_failure_t failure);

#endif
