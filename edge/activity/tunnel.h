/*
 * The state of an exchange that became a WebSocket. It follows the box's frames, so that the edge can send a
 * Close frame (RFC 6455 section 7.4) between two of them.
 */
#ifndef BOXEDGE_TUNNEL_H
#define BOXEDGE_TUNNEL_H

#include "exchange.h"

/* Hooks (pipeline.h). Re-checks access before a long-lived tunnel opens. False: answered. */
MUST_USE bool tunnel_judge_head(exchange_t *ex);
/* Opens the tunnel that the head announces: from here on, the box's bytes are frames. No-op without one. */
void tunnel_response_head(exchange_t *ex);
/* The worker prepares for its end: closes the tunnel with code 1012 between two frames, at a time spread over
 * the drain period, or over the last minute before context_t.tunnels_until_ms. Called again, it follows the
 * new time. No-op without a tunnel, and if it closes already. */
void tunnel_drain(exchange_t *ex);
/* The exchange is answered, cut, or ends: stops the timer of a drain. No-op without a tunnel. */
void tunnel_leave(exchange_t *ex);
/* The exchange ends. No-op without a tunnel. */
void tunnel_close(exchange_t *ex);
/*
 * The box's bytes are about to go to the client: follows the frames. A tunnel that waits to close sends
 * `data` up to the end of the frame, then a Close frame. The result is then false: the exchange is done.
 */
MUST_USE bool tunnel_response_body(exchange_t *ex, str_t *data);
/* The client's bytes are about to go to the box. */
void tunnel_request_body(exchange_t *ex, str_t data);
/*
 * The box has left the tunnel; `failure` NULL: it ended its direction. True: the tunnel continues like any
 * stream. False: no Close frame came from a process that the edge may be stopping. The tunnel then waits
 * TUNNEL_HOLD_MS for that news (await_hold; activity_look.c), and ends by the same calls.
 */
#define TUNNEL_HOLD_MS 500
MUST_USE bool tunnel_origin_left(exchange_t *ex, const origin_failure_t *failure);
/* Ends a tunnel immediately: with a Close frame (RFC 6455 section 7.4) between two frames, otherwise by a
 * cut. `code` is the stable word in its access line. */
void tunnel_end(exchange_t *ex, const char *code, uint16_t close_code, str_t reason);

/* These end open tunnels of a worker, with Close code 1008 between two frames, otherwise by a cut. First,
 * tunnels of a preview that opened under a version below `below`. */
void tunnels_close_preview(context_t *context, str_t id, uint16_t port, uint64_t below);
/* Tunnels whose box, preview or client is blocked now. */
void tunnels_close_blocked(context_t *context);
/* Tunnels whose preview was removed or changed since they opened. */
void tunnels_close_outdated(context_t *context);
/* Tunnels of links that have ended. */
void tunnels_close_unlinked(context_t *context);
/* Tunnels whose preview or link has expired. */
void tunnels_close_expired(context_t *context);

/* Calls tunnel_drain for all. */
void tunnels_drain(context_t *context);
/* Cuts all that have no Close frame yet. */
void tunnels_cut(context_t *context);

#endif
