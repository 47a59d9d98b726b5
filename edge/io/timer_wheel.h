/*
 * A hierarchical timing wheel (Varghese and Lauck, 1987): timers of any duration, exact to the millisecond.
 * Adding costs O(1), and each timer moves at most once per level. A timer leaves by unlinking itself, so the
 * wheel may mark an empty slot as occupied; it corrects the mark when it reaches the slot.
 *
 * The loop keeps its common durations in lists (loop.c) and uses the wheel for all others.
 */
#ifndef BOXEDGE_TIMER_WHEEL_H
#define BOXEDGE_TIMER_WHEEL_H

#include <stdint.h>

#include "list.h"

typedef struct loop_timer loop_timer_t;

#define TIMER_WHEEL_BITS   6
#define TIMER_WHEEL_SLOTS  (1 << TIMER_WHEEL_BITS)
#define TIMER_WHEEL_LEVELS 11 /* 66 bits: every due time has a slot */

typedef struct timer_wheel {
    uint64_t now;                          /* ms: everything due before it has been collected */
    uint64_t occupied[TIMER_WHEEL_LEVELS]; /* one bit per slot; set if the slot may hold a timer */
    list_t slots[TIMER_WHEEL_LEVELS][TIMER_WHEEL_SLOTS];
} timer_wheel_t;

/* `now` is on the clock of all later times, which must not go back. */
void timer_wheel_init(timer_wheel_t *wheel, uint64_t now);
/* Links `timer` by its `due`. An overdue timer is collected next. */
void timer_wheel_add(timer_wheel_t *wheel, loop_timer_t *timer);
/* A lower bound of all due times; UINT64_MAX if the wheel is empty. */
uint64_t timer_wheel_soonest(const timer_wheel_t *wheel);
/* Moves all timers that are due at `now` to the end of the list `due`, in the order of their due times. */
void timer_wheel_collect(timer_wheel_t *wheel, uint64_t now, list_t *due);

#endif
