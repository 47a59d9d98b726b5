/*
 * A circuit breaker. After BREAKER_FAILURES failures in a row it refuses calls for a second, then
 * admits one call as a probe. If the probe fails, the next pause is twice as long, up to
 * BREAKER_LAST_MS. A success admits all calls again.
 */
#ifndef BOXEDGE_BREAKER_H
#define BOXEDGE_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

#define BREAKER_FAILURES 5
#define BREAKER_FIRST_MS 1000u
#define BREAKER_LAST_MS  30000u

typedef enum breaker_state {
    BREAKER_CLOSED = 0, /* all calls are admitted */
    BREAKER_OPEN,       /* no call is admitted before open_until */
    BREAKER_PROBING,    /* one call is under way */
} breaker_state_t;

/* Zero-filled: closed, without failures. */
typedef struct breaker {
    breaker_state_t state;
    unsigned failures;   /* in a row, while closed */
    uint32_t open_ms;    /* duration of the last pause */
    uint64_t open_until; /* monotonic ms */
} breaker_t;

/* Returns whether a call may be made now. If it is the probe, `*probe` is set, and the call must
 * end with one of the functions below. */
bool breaker_allows(breaker_t *breaker, uint64_t now_ms, bool *probe);
/* As breaker_allows, negated, but without taking the probe. */
bool breaker_is_open(const breaker_t *breaker, uint64_t now_ms);

/* Record the result of a call, and whether it was the probe. A call that began before the breaker
 * opened may end later: its success also closes the breaker, its failure changes nothing. */
void breaker_succeeded(breaker_t *breaker);
void breaker_failed(breaker_t *breaker, uint64_t now_ms, bool probe);
/* Records a call that was abandoned without a result. If it was the probe, the next call becomes
 * the probe. */
void breaker_given_up(breaker_t *breaker, uint64_t now_ms, bool probe);

#endif
