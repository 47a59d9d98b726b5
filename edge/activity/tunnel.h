/*
 * What an exchange that became a WebSocket needs beyond passing bytes: where the box's frames end, so that
 * the edge can say goodbye (RFC 6455 section 7.4) between two of them.
 */
#ifndef BOXEDGE_TUNNEL_H
#define BOXEDGE_TUNNEL_H

#include "exchange.h"

/* Hooks (pipeline.h). The re-check: an exchange is let in for long by what is known now. */
MUST_USE bool tunnel_judge_head(exchange_t *ex);
/* The tunnel begins where the head says so: bytes of the box from here on are frames. */
void tunnel_response_head(exchange_t *ex);
/* The exchange was answered, was cut, or ends: stops the tunnel's timer. No-op without a tunnel. */
void tunnel_leave(exchange_t *ex);
/* The exchange ends. Does nothing where no tunnel was open. */
void tunnel_close(exchange_t *ex);
/*
 * Bytes of the box are about to go to the client; notes the frames. Where the tunnel waits to be closed,
 * sends `data` up to the end of the frame and a Close frame, and returns false: the exchange is done.
 */
MUST_USE bool tunnel_response_body(exchange_t *ex, str_t *data);
/* Bytes of the client are about to go to the box. */
void tunnel_request_body(exchange_t *ex, str_t data);
/*
 * The box's end of a tunnel has gone; `failure` NULL: it ended its direction. True: the tunnel goes on as any
 * stream does. False where no Close frame came from a process that the edge may just be stopping: the tunnel
 * waits TUNNEL_WORD_MS for that to be known (activity_look.c), and then ends as it would have, by the same
 * calls again.
 */
#define TUNNEL_WORD_MS 500
MUST_USE bool tunnel_origin_left(exchange_t *ex, const origin_failure_t *failure);
/* Ends a tunnel at once: with a Close frame (RFC 6455 section 7.4) where one may stand, else by cutting it.
 * `code` is the stable word in its access line. */
void tunnel_end(exchange_t *ex, const char *code, uint16_t close_code, str_t reason);

/* These end open tunnels of a worker, with Close code 1008 between two frames, else by cutting them. First,
 * those of a preview that were let in by a version below `below`. */
void tunnels_close_preview(context_t *context, str_t id, uint16_t port, uint64_t below);
/* Those whose box, preview or client is blocked now. */
void tunnels_close_blocked(context_t *context);
/* Those whose preview is not in the store any more as it was when they were let in. */
void tunnels_close_outdated(context_t *context);
/* Those whose preview has expired. */
void tunnels_close_expired(context_t *context);

#endif
