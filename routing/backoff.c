/*
 * See backoff.h.
 */
#include "backoff.h"

#include <assert.h>
#include <stdbool.h>

uint32_t backoff_after_death(backoff_t *backoff, uint64_t started_ms, uint64_t now_ms)
{
    assert(now_ms != 0 && started_ms <= now_ms);
    bool third = backoff->before[1] != 0 && now_ms - backoff->before[1] < BACKOFF_WINDOW_MS;

    if (now_ms - started_ms >= BACKOFF_WINDOW_MS)
        backoff->delay_ms = 0; /* it lived for a while: forget earlier deaths */
    else if (backoff->delay_ms != 0)
        backoff->delay_ms = backoff->delay_ms * 2 < BACKOFF_LAST_MS ? backoff->delay_ms * 2 : BACKOFF_LAST_MS;
    else if (third)
        backoff->delay_ms = BACKOFF_FIRST_MS;
    backoff->before[1] = backoff->before[0];
    backoff->before[0] = now_ms;
    return backoff->delay_ms;
}
