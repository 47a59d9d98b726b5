/*
 * Requests whose box refused or closed their connection. The worker asks the controller for the reason, once
 * per box, generation and port, and keeps the answer for REFUSED_FRESH_MS. An exchange waits for it at most
 * REFUSED_WAIT_MS (await_hold), and then fails.
 */
#ifndef BOXEDGE_REFUSED_H
#define BOXEDGE_REFUSED_H

#include "channel.h"
#include "exchange.h"

#define REFUSED_FRESH_MS 2000
/* Without an answer in this time, the reason is unknown. */
#define REFUSED_WAIT_MS 500

typedef struct worker worker_t;
typedef struct refused refused_t;

refused_t *refused_new(worker_t *worker);
/* No exchange waits (asserted). */
void refused_free(refused_t **refused);
/* The channel to the controller from now on. NULL: the controller is down. */
void refused_set_channel(refused_t *refused, channel_t *channel);
/* Handles PROCESS_BOX_PORTS. */
void refused_message(refused_t *refused, const ipc_message_t *message);

/* Whether the exchange has failed and only waits for the reason. */
bool refused_waits(const exchange_t *ex);
/*
 * Hook (pipeline.h). False: the box refused the connection, or closed it without an answer and its log may
 * have the reason. The exchange then fails, in this call or within REFUSED_WAIT_MS, with ex->detail if the
 * reason is known.
 */
MUST_USE bool refused_origin_left(exchange_t *ex, const origin_failure_t *failure);

#endif
