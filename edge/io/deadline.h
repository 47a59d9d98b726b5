/*
 * A timer for any point of time. The loop's own timers are for few different durations (loop.h); waits that
 * libcurl asks for, that a server's Retry-After names or that have jitter can be of any length. A deadline
 * gets there in steps of powers of two, so that all of them together use a handful of durations; one costs
 * the logarithm of its length in wake-ups.
 */
#ifndef BOXEDGE_DEADLINE_H
#define BOXEDGE_DEADLINE_H

#include "loop.h"

/* Embedded; zero-filled is a valid one that is not set. */
typedef struct deadline {
    loop_timer_t timer;
    loop_t *loop;
    uint64_t at; /* ms, as loop_now */
    void (*passed)(struct deadline *deadline);
} deadline_t;

/* The longest step: a deadline further away takes several of it. */
#define DEADLINE_STEP_MAX_MS 32768u

/* Calls `passed` once at `at_ms` (loop_now's clock) or as soon as it can, never from within; replaces what
 * was set before. */
void deadline_set(loop_t *loop, deadline_t *deadline, uint64_t at_ms, void (*passed)(deadline_t *));
void deadline_clear(deadline_t *deadline);
bool deadline_is_set(const deadline_t *deadline);

#endif
