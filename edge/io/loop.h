/*
 * The event loop of one process: libh2o's evloop for sockets. It adds timers on CLOCK_MONOTONIC, and work put
 * off to the end of the turn. A turn is: wait for sockets, their callbacks, expired timers,
 * deferred work.
 */
#ifndef BOXEDGE_LOOP_H
#define BOXEDGE_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "list.h"

typedef struct loop loop_t;

/*
 * A timer is embedded in its owner. All timers of one duration form a list in the order of their
 * start, so that starting, stopping and expiring cost O(1) each; durations beyond the first 64 in use share a
 * timing wheel, which costs a little more. A turn runs its expired timers in the order of their due times,
 * however late it is. Zero-filled is a valid stopped timer (loop_timer_start sets the rest).
 */
typedef struct loop_timer {
    list_t link;
    uint64_t due; /* ms, monotonic */
    void (*expired)(struct loop_timer *timer);
} loop_timer_t;

/* Work for the end of the turn; embedded. Zero-filled is valid and not queued. */
typedef struct loop_task {
    list_t link;
    void (*run)(struct loop_task *task);
} loop_task_t;

loop_t *loop_new(void);
/* Frees a loop whose sockets were closed and whose timers and tasks are stopped or never touched again. */
void loop_free(loop_t **loop);

/* One turn: waits at most `max_wait_ms`, less if a timer is due sooner. */
void loop_turn(loop_t *loop, int32_t max_wait_ms);

/* Monotonic milliseconds, read once a turn (after the wait). So a timer may come early by the time that
 * earlier callbacks of its turn took, and by the rounding to a millisecond. */
uint64_t loop_now(const loop_t *loop);
/* For tests: from here on the loop's clocks are `ms` further than the machine's, as if that time had gone by;
 * due timers run in the next turn. */
void loop_skip(loop_t *loop, uint64_t ms);
/* For tests: from here on the loop's clocks stand still but for loop_skip. */
void loop_hold(loop_t *loop);
/* Wall clock in microseconds since 1970, read once a turn: only for logs, dates and expiries. */
uint64_t loop_wall_us(const loop_t *loop);
/* Monotonic microseconds, read now: for durations in logs. */
uint64_t loop_precise_us(void);

/*
 * Starts (or starts again) a timer that calls `expired` once after `ms` unless stopped before.
 */
void loop_timer_start(loop_t *loop, loop_timer_t *timer, uint32_t ms, void (*expired)(loop_timer_t *));
void loop_timer_stop(loop_timer_t *timer);
bool loop_timer_running(const loop_timer_t *timer);

/*
 * Queues `task` for the end of this turn; queued twice is queued once. Tasks queued by a task run in the same
 * turn, so a task must not queue itself again without having got further. Outside a turn, the next one runs
 * it without waiting.
 */
void loop_defer(loop_t *loop, loop_task_t *task, void (*run)(loop_task_t *));
/* The same for the end of the next turn, which does not wait: for work that comes in portions. */
void loop_defer_next(loop_t *loop, loop_task_t *task, void (*run)(loop_task_t *));
void loop_undefer(loop_task_t *task);
bool loop_deferred(const loop_task_t *task);

/* The state that conn.c shares among the connections of a loop. Set once, with the function that frees it in
 * loop_free; NULL before. */
void *loop_shared(const loop_t *loop);
void loop_set_shared(loop_t *loop, void *shared, void (*free_shared)(void *shared));

#endif
