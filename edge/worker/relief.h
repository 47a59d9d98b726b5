/*
 * Takes memory back when it is short (budget.h): first from idle connections to origins, and from those of
 * clients where they keep too much (crowd.h). Then from exchanges and handshakes without progress for
 * EXCHANGE_STALL_MS, beginning with the client addresses that hold most, whose idle connections go before
 * them, and from boxes over their share. Their streams are reset; a connection over HTTP/1 ends with its
 * exchange, one over HTTP/2 where it takes nothing itself, or holds again after it lost streams
 * (http2_progress.h). Connections of trusted proxies, which carry many clients, stay. What makes progress is
 * never ended.
 */
#ifndef BOXEDGE_RELIEF_H
#define BOXEDGE_RELIEF_H

typedef struct context context_t;

#define RELIEF_PERIOD_MS 250
/* Idle time after which a connection to an origin may be closed; the maximum closed per codec and turn. */
#define RELIEF_IDLE_MS   1000
#define RELIEF_IDLE_MOST 64
/* Searches for idle client connections in one turn, at most. */
#define RELIEF_CROWDS 8
/* Client addresses in one turn, at most. */
#define RELIEF_ADDRESSES 16

/* At the end of each turn of the loop; cheap where memory is not short. May end any exchange. */
void relief_turn(context_t *context);

#endif
