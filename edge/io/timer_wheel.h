/*
 * A hierarchical timing wheel (Varghese and Lauck, 1987): timers of any duration, exact to the millisecond.
 * Adding costs O(1), and each timer moves at most once per level on its way. A timer leaves by unlinking
 * itself, so the wheel may believe a slot to be occupied that is empty; it finds out when it gets there.
 *
 * The loop keeps its common durations in lists of their own (loop.c) and comes here for all others.
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
    uint64_t now;                          /* ms: everything that was due before it has been collected */
    uint64_t occupied[TIMER_WHEEL_LEVELS]; /* a bit a slot; set where a timer may be */
    list_t slots[TIMER_WHEEL_LEVELS][TIMER_WHEEL_SLOTS];
} timer_wheel_t;

/* `now` is the clock of all times given later, which never goes back. */
void timer_wheel_init(timer_wheel_t *wheel, uint64_t now);
/* Links `timer` by its `due`; one that is due already is collected next. */
void timer_wheel_add(timer_wheel_t *wheel, loop_timer_t *timer);
/* No timer is due before this time (a lower bound); UINT64_MAX where there are none. */
uint64_t timer_wheel_soonest(const timer_wheel_t *wheel);
/* Moves all timers that are due at `now` to the end of the list `due`, in the order of their due times. */
void timer_wheel_collect(timer_wheel_t *wheel, uint64_t now, list_t *due);

#endif
