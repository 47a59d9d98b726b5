/*
 * A circuit breaker: after BREAKER_FAILURES failures in a row nobody calls for a second; then one call is let
 * through as a probe. If it fails too, nobody calls for twice as long, up to BREAKER_LAST_MS; a success lets
 * everybody call again.
 */
#ifndef BOXEDGE_BREAKER_H
#define BOXEDGE_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

#define BREAKER_FAILURES 5
#define BREAKER_FIRST_MS 1000u
#define BREAKER_LAST_MS  30000u

typedef enum breaker_state {
    BREAKER_CLOSED = 0, /* everybody calls */
    BREAKER_OPEN,       /* nobody does, until open_until */
    BREAKER_PROBING,    /* one call is under way */
} breaker_state_t;

/* Zero-filled: closed, and nothing has failed. */
typedef struct breaker {
    breaker_state_t state;
    unsigned failures;   /* in a row, while closed */
    uint32_t open_ms;    /* how long it was opened last */
    uint64_t open_until; /* monotonic ms */
} breaker_t;

/* Whether a call may be made now. Where it is the probe, `*probe` is set, and the call must end with one of
 * the functions below. */
bool breaker_allows(breaker_t *breaker, uint64_t now_ms, bool *probe);
/* The same question without taking the probe. */
bool breaker_is_open(const breaker_t *breaker, uint64_t now_ms);

/* How a call ended, and whether it was the probe. Calls that began before the breaker opened may end later:
 * their success closes it too, their failure says nothing new. */
void breaker_succeeded(breaker_t *breaker);
void breaker_failed(breaker_t *breaker, uint64_t now_ms, bool probe);
/* It was given up, so nothing is known: if it was the probe, the next call is. */
void breaker_given_up(breaker_t *breaker, uint64_t now_ms, bool probe);

#endif
