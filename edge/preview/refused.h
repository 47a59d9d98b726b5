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

typedef struct worker worker_t;
typedef struct refused refused_t;

refused_t *refused_new(worker_t *worker);
/* Nobody waits any more. */
void refused_free(refused_t **refused);
/* The channel to the controller from now on; NULL: it is down. */
void refused_set_channel(refused_t *refused, channel_t *channel);
/* PROCESS_LISTENS. */
void refused_message(refused_t *refused, const ipc_message_t *message);

/* Whether the exchange has failed, and only waits to say why. */
bool refused_waits(const exchange_t *ex);
/*
 * Hook (pipeline.h). The box refused the connection, or the app closed it without an answer and its log may
 * say why: false, and the exchange fails in this call or a moment later, with ex->listening and ex->detail as
 * far as they are known.
 */
MUST_USE bool refused_origin_left(exchange_t *ex, const origin_failure_t *failure);

#endif
