/*
 * Since when boxes are idle, and which of them are to be paused for it (docs/internals/wake.md). Knows no
 * loop: times are parameters, monotonic ms.
 */
#ifndef BOXEDGE_IDLE_CLOCK_H
#define BOXEDGE_IDLE_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "str.h"

/* What is in use is told each second; a telling may be late by the rest of this. */
#define IDLE_CLOCK_LATE_MS 2000
/* How long after a pause was asked for it is asked for again, where the box still runs. */
#define IDLE_CLOCK_AGAIN_MS 10000

typedef struct idle_clock idle_clock_t;

idle_clock_t *idle_clock_new(void);
void idle_clock_free(idle_clock_t **clock);

/*
 * The box (a valid id) runs, and is to be paused when it was idle for `idle_ms` (not 0), which is known
 * IDLE_CLOCK_LATE_MS later. Where it did not
 * run, or in another generation, it is active now; else only idle_ms is taken.
 */
void idle_clock_runs(idle_clock_t *clock, str_t id, uint64_t generation, uint32_t idle_ms, uint64_t now_ms);
/* It does not run, or is not to be paused. */
void idle_clock_stops(idle_clock_t *clock, str_t id);
/* Somebody uses it; nothing where it does not run. */
void idle_clock_active(idle_clock_t *clock, str_t id, uint64_t now_ms);
/* Calls `pause` for each box that is to be paused now; it may change the clock for that box only. */
void idle_clock_tick(idle_clock_t *clock, uint64_t now_ms, void (*pause)(void *owner, str_t id), void *owner);
/* Boxes that run. */
size_t idle_clock_count(const idle_clock_t *clock);

#endif
