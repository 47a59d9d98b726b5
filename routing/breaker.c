/* See breaker.h. */
#include "breaker.h"

#include <assert.h>

static void open_for(breaker_t *breaker, uint64_t now_ms, uint32_t ms)
{
    breaker->state = BREAKER_OPEN;
    breaker->failures = 0;
    breaker->open_ms = ms;
    breaker->open_until = now_ms + ms;
}

bool breaker_is_open(const breaker_t *breaker, uint64_t now_ms)
{
    return breaker->state == BREAKER_PROBING ||
           (breaker->state == BREAKER_OPEN && now_ms < breaker->open_until);
}

bool breaker_allows(breaker_t *breaker, uint64_t now_ms, bool *probe)
{
    *probe = false;
    if (breaker_is_open(breaker, now_ms))
        return false;
    if (breaker->state == BREAKER_OPEN) {
        breaker->state = BREAKER_PROBING;
        *probe = true;
    }
    return true;
}

void breaker_succeeded(breaker_t *breaker)
{
    *breaker = (breaker_t){.state = BREAKER_CLOSED};
}

void breaker_failed(breaker_t *breaker, uint64_t now_ms, bool probe)
{
    /* An earlier call may have succeeded and closed the breaker meanwhile; the probe then counts as
     * a normal call. */
    if (probe && breaker->state == BREAKER_PROBING) {
        uint32_t ms = breaker->open_ms * 2;
        open_for(breaker, now_ms, ms < BREAKER_LAST_MS ? ms : BREAKER_LAST_MS);
    } else if (breaker->state == BREAKER_CLOSED && ++breaker->failures == BREAKER_FAILURES) {
        open_for(breaker, now_ms, BREAKER_FIRST_MS);
    }
}

void breaker_given_up(breaker_t *breaker, uint64_t now_ms, bool probe)
{
    if (!probe || breaker->state != BREAKER_PROBING)
        return;
    assert(breaker->open_ms != 0);
    breaker->state = BREAKER_OPEN;
    breaker->open_until = now_ms;
}
