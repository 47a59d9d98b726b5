/*
 * The times of the wall clock within the last hour of monotonic time. A clock that jumps and comes back must
 * lose nothing: the wall clock hides expired previews immediately, but a deletion waits until the whole last
 * hour agrees.
 */
#ifndef BOXEDGE_WALL_CLOCK_H
#define BOXEDGE_WALL_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#define WALL_CLOCK_HOLD_MS 3600000u
/* Interval of samples. A jump is a sample too. */
#define WALL_CLOCK_SAMPLE_MS 60000u
#define WALL_CLOCK_SAMPLES   128
/* A smaller step is no jump: time services move a clock by less. */
#define WALL_CLOCK_JUMP_S 10

/* The earliest and the latest time of the last hour, in unix seconds. */
typedef struct wall_span {
    uint64_t earliest, latest;
} wall_span_t;

/* Before a whole hour is known: no time is before `earliest` or after `latest`. */
#define WALL_SPAN_UNKNOWN ((wall_span_t){0, UINT64_MAX})

/* Zero-filled is valid, without samples. */
typedef struct wall_clock {
    uint64_t jumps;
    uint64_t count;   /* of samples ever; the last WALL_CLOCK_SAMPLES are kept */
    int64_t ahead_us; /* of the wall clock over the monotonic one, when last seen */
    struct {
        uint64_t at_ms; /* monotonic */
        uint64_t wall_s;
    } samples[WALL_CLOCK_SAMPLES];
} wall_clock_t;

/* Takes both clocks, read at the same moment. Call it at least once a second. Returns the seconds by which
 * the wall clock has jumped since the last call, negative for back; 0: it has not. */
int64_t wall_clock_note(wall_clock_t *clock, uint64_t now_ms, uint64_t wall_us);

/* The span of the last hour. WALL_SPAN_UNKNOWN if the hour has too many jumps for WALL_CLOCK_SAMPLES. */
wall_span_t wall_clock_span(const wall_clock_t *clock, uint64_t now_ms);

#endif
