/*
 * Frees memory when it is short (budget.h). First go idle connections to origins, then idle client
 * connections if they keep too much (crowd.h). Then go exchanges and handshakes without progress for
 * EXCHANGE_STALL_MS, of boxes over their share first. Those of the client addresses that hold most follow,
 * each after the idle connections of its address. Their streams are reset. An HTTP/1 connection ends with its
 * exchange. An HTTP/2 connection ends if it takes nothing itself, or holds memory again after it lost streams
 * (http2_progress.h). Connections of trusted proxies stay, since they carry many clients. An exchange with
 * progress never ends.
 */
#ifndef BOXEDGE_RELIEF_H
#define BOXEDGE_RELIEF_H

typedef struct context context_t;

#define RELIEF_PERIOD_MS 250
/* The log reports the end of a shortage after this time without one. */
#define RELIEF_QUIET_MS 5000
/* Idle time after which a connection to an origin may be closed; the maximum closed per codec and turn. */
#define RELIEF_IDLE_MS   1000
#define RELIEF_IDLE_MOST 64
/* Maximum searches for idle client connections per turn. */
#define RELIEF_CROWDS 8
/* Maximum client addresses per turn. */
#define RELIEF_ADDRESSES 16

/* At the end of each turn of the loop; cheap if memory is not short. May end any exchange. */
void relief_turn(context_t *context);

#endif
