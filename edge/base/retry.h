/*
 * When a call that failed is made again: after a delay that doubles and has jitter, so that callers who
 * failed together do not come back together; or when the server said (Retry-After), if that is soon.
 */
#ifndef BOXEDGE_RETRY_H
#define BOXEDGE_RETRY_H

#include <stdbool.h>
#include <stdint.h>

#include "str.h"

/* The first delay, doubled for each further one up to the last; between half of it and all of it is waited.
 */
#define RETRY_FIRST_MS 200u
#define RETRY_LAST_MS  5000u
/* A server that asks for more than this, in seconds, is not called again. */
#define RETRY_AFTER_MAX 5u

/* How long to wait after the `failures`th failure (from 1); `random` are 16 random bits. False: not at all.
 */
MUST_USE bool retry_delay(unsigned failures, uint32_t retry_after, uint16_t random, uint32_t *ms);

/* Between which delays a box that comes up is looked at again: 250 ms, half as long again each time up to 2
 * s, and up to a fifth more or less by `random`. `polls`: how often it was looked at. */
#define POLL_FIRST_MS 250u
#define POLL_LAST_MS  2000u
uint32_t poll_delay(unsigned polls, uint16_t random);

#endif
