#include "heartbeat.h"

#include <stdbool.h>
#include <stddef.h>

static heartbeat_length_t *find(heartbeats_t *beats, uint64_t length)
{
    heartbeat_length_t *oldest = &beats->lengths[0];
    for (size_t i = 0; i < HEARTBEAT_LENGTHS; i++) {
        heartbeat_length_t *at = &beats->lengths[i];
        if (at->last_ms != 0 && at->length == length)
            return at;
        if (at->last_ms < oldest->last_ms)
            oldest = at;
    }
    *oldest = (heartbeat_length_t){.length = length};
    return oldest;
}

/* Whether `gap` is a small multiple of the period: skipped heartbeats lie between. */
static bool is_due(uint64_t gap, uint32_t period)
{
    uint64_t slack = period / 8 + HEARTBEAT_SLACK_MS;
    for (uint64_t n = 1; n <= HEARTBEAT_PERIODS_MAX; n++)
        if (gap + slack >= n * period && gap <= n * period + slack)
            return true;
    return false;
}

heartbeat_t heartbeat_note(heartbeats_t *beats, uint64_t length, uint64_t now_ms)
{
    heartbeat_length_t *at = find(beats, length);
    uint64_t gap = now_ms - at->last_ms;
    bool first = at->last_ms == 0;
    at->last_ms = now_ms;
    if (first)
        return HEARTBEAT_NEW;
    uint32_t period = at->period_ms, now = gap < UINT32_MAX ? (uint32_t)gap : UINT32_MAX;
    if (period >= HEARTBEAT_PERIOD_MIN_MS && is_due(gap, period))
        return HEARTBEAT_REGULAR;
    at->period_ms = now != 0 ? now : 1;
    return period == 0 ? HEARTBEAT_NEW : HEARTBEAT_OTHER;
}
