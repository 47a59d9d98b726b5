/*
 * A timer for any point in time. The loop's own timers suit few distinct durations (loop.h), but waits of
 * libcurl, of Retry-After and with jitter have any length. A deadline advances in steps of powers of two, so
 * all deadlines together use a handful of durations. Each costs a number of wake-ups logarithmic in its
 * length.
 */
#ifndef BOXEDGE_DEADLINE_H
#define BOXEDGE_DEADLINE_H

#include "loop.h"

/* Embedded. Zero-filled is valid and not set. */
typedef struct deadline {
    loop_timer_t timer;
    loop_t *loop;
    uint64_t at; /* ms on the clock of loop_now */
    void (*passed)(struct deadline *deadline);
} deadline_t;

/* The longest step. A more distant deadline takes several. */
#define DEADLINE_STEP_MAX_MS 32768u

/* Calls `passed` once, at `at_ms` (clock of loop_now) or as soon as possible after it, never from within this
 * call. Replaces an earlier setting. */
void deadline_set(loop_t *loop, deadline_t *deadline, uint64_t at_ms, void (*passed)(deadline_t *));
void deadline_clear(deadline_t *deadline);
bool deadline_is_set(const deadline_t *deadline);

#endif
