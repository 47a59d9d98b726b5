/*
 * The delay before a failed call is repeated. It doubles and has jitter, so that callers that
 * failed together do not return together. A short Retry-After of the server prolongs it.
 */
#ifndef BOXEDGE_RETRY_H
#define BOXEDGE_RETRY_H

#include <stdbool.h>
#include <stdint.h>

#include "str.h"

/* The first delay; each further one doubles, up to the last. The wait is between half the delay and
 * all of it. */
#define RETRY_FIRST_MS 200u
#define RETRY_LAST_MS  5000u
/* Longest Retry-After, in seconds; a server that asks for more is not called again. */
#define RETRY_AFTER_MAX 5u

/* Sets the wait after the `failures`th failure (from 1); `random` is 16 random bits. Returns false
 * if the call must not be repeated. */
MUST_USE bool retry_delay(unsigned failures, uint32_t retry_after, uint16_t random, uint32_t *ms);

/* The delay between checks of a box that is starting: 250 ms, growing by half up to 2 s, plus or
 * minus up to a fifth by `random`. `polls`: the number of earlier checks. */
#define POLL_FIRST_MS 250u
#define POLL_LAST_MS  2000u
uint32_t poll_delay(unsigned polls, uint16_t random);

#endif
