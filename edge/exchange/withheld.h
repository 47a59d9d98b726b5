/*
 * The beginning of an answer that the edge keeps back until a rule has judged it. A hook that sees the head
 * (judge_head of pipeline.h) begins it. Until the verdict the state stays EXCHANGE_ORIGIN, and the client
 * gets nothing; afterwards the answer passes as if nothing had happened. Bytes, time and answers are bounded:
 * the hook names the bytes, and after WITHHELD_MS the answer passes unjudged.
 */
#ifndef BOXEDGE_WITHHELD_H
#define BOXEDGE_WITHHELD_H

#include "exchange.h"

#define WITHHELD_MS 1000

typedef enum withheld_verdict {
    WITHHELD_MORE,   /* only while bytes may follow: not if `whole`, and not at the bound */
    WITHHELD_PASSES, /* the client gets the answer */
    WITHHELD_TAKEN,  /* the rule has answered the exchange, or sent its request again (withheld_give_up) */
} withheld_verdict_t;

/* `begin` is the body so far; `whole`: it is complete. The slice ends with an answer or withheld_give_up. */
typedef withheld_verdict_t (*withheld_judge_t)(exchange_t *ex, str_t begin, bool whole);

/* Keeps back ex->response, whose fields move to the arena, and at most `most` bytes of its body. The answer
 * has a body (asserted). */
void withheld_begin(exchange_t *ex, size_t most, withheld_judge_t judge);
/* For a judge: forgets the answer and leaves its origin. The request may then go to an origin again. */
void withheld_give_up(exchange_t *ex);

/* ---- for exchange.c ---- */

/* Forgets it without a verdict. No-op without one. */
void withheld_drop(exchange_t *ex);
/* As exchange_response_body_room and exchange_response_body, while ex->withheld is set. */
size_t withheld_room(const exchange_t *ex);
void withheld_body(exchange_t *ex, str_t data);
/* The body is complete. True: all of it has passed, and its end follows. */
MUST_USE bool withheld_end(exchange_t *ex);
/* The client has room. */
void withheld_room_grew(exchange_t *ex);
/* The origin failed: the answer passes as far as it came. */
void withheld_cut(exchange_t *ex);

#endif
