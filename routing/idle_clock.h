/*
 * Measures how long boxes are idle, and selects those to pause (docs/internals/wake.md). Without a loop:
 * times are parameters, monotonic ms.
 */
#ifndef BOXEDGE_IDLE_CLOCK_H
#define BOXEDGE_IDLE_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "str.h"

/* Workers report activity each second; a report may be this late. */
#define IDLE_CLOCK_LATE_MS 2000
/* Delay before the pause of a box that still runs is requested again. */
#define IDLE_CLOCK_AGAIN_MS 10000

typedef struct idle_clock idle_clock_t;

idle_clock_t *idle_clock_new(void);
void idle_clock_free(idle_clock_t **clock);

/*
 * Adds a running box (a valid id) that may pause. Its pause is due after `idle_ms` (not 0) without activity
 * plus IDLE_CLOCK_LATE_MS. A new box or generation counts as active now; else only idle_ms changes.
 */
void idle_clock_runs(idle_clock_t *clock, str_t id, uint64_t generation, uint32_t idle_ms, uint64_t now_ms);
/* Removes a box that stopped or may not pause. */
void idle_clock_stops(idle_clock_t *clock, str_t id);
/* Records activity. No-op for a box that does not run. */
void idle_clock_active(idle_clock_t *clock, str_t id, uint64_t now_ms);
/* Calls `pause` for each box that is due, in the order of ids; it may change the clock for that box only. */
void idle_clock_tick(idle_clock_t *clock, uint64_t now_ms, void (*pause)(void *owner, str_t id), void *owner);
/* Number of running boxes. */
size_t idle_clock_count(const idle_clock_t *clock);

#endif
