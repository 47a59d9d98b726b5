#include "wall_clock.h"

static void sample(wall_clock_t *clock, uint64_t now_ms, uint64_t wall_us)
{
    size_t at = clock->count++ % WALL_CLOCK_SAMPLES;
    clock->samples[at].at_ms = now_ms;
    clock->samples[at].wall_s = wall_us / 1000000;
}

int64_t wall_clock_note(wall_clock_t *clock, uint64_t now_ms, uint64_t wall_us)
{
    int64_t ahead_us = (int64_t)wall_us - (int64_t)(now_ms * 1000);
    int64_t jump_us = clock->count != 0 ? ahead_us - clock->ahead_us : 0;
    int64_t jump_s = (jump_us + (jump_us < 0 ? -500000 : 500000)) / 1000000; /* rounded */
    if (jump_s > -WALL_CLOCK_JUMP_S && jump_s < WALL_CLOCK_JUMP_S)
        jump_s = 0;
    clock->ahead_us = ahead_us;
    clock->jumps += jump_s != 0;
    size_t last = (clock->count + WALL_CLOCK_SAMPLES - 1) % WALL_CLOCK_SAMPLES;
    if (clock->count == 0 || jump_s != 0 || now_ms - clock->samples[last].at_ms >= WALL_CLOCK_SAMPLE_MS)
        sample(clock, now_ms, wall_us);
    return jump_s;
}

wall_span_t wall_clock_span(const wall_clock_t *clock, uint64_t now_ms)
{
    uint64_t kept = clock->count < WALL_CLOCK_SAMPLES ? clock->count : WALL_CLOCK_SAMPLES;
    wall_span_t span = {UINT64_MAX, 0};
    for (uint64_t i = 1; i <= kept; i++) {
        size_t at = (clock->count - i) % WALL_CLOCK_SAMPLES;
        uint64_t wall_s = clock->samples[at].wall_s;
        span.earliest = wall_s < span.earliest ? wall_s : span.earliest;
        span.latest = wall_s > span.latest ? wall_s : span.latest;
        if (now_ms - clock->samples[at].at_ms >= WALL_CLOCK_HOLD_MS)
            return span;
    }
    return WALL_SPAN_UNKNOWN;
}
