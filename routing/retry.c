/* See retry.h. */
#include "retry.h"

#include <assert.h>

/* From `low` to `high`, both included. */
static uint32_t between(uint32_t low, uint32_t high, uint16_t random)
{
    return low + (uint32_t)((uint64_t)random * (high - low) / UINT16_MAX);
}

bool retry_delay(unsigned failures, uint32_t retry_after, uint16_t random, uint32_t *ms)
{
    assert(failures > 0);
    uint32_t most = RETRY_FIRST_MS;
    for (unsigned i = 1; i < failures && most < RETRY_LAST_MS; i++)
        most *= 2;
    most = most < RETRY_LAST_MS ? most : RETRY_LAST_MS;
    *ms = between(most / 2, most, random);
    if (retry_after == 0)
        return true;
    if (retry_after > RETRY_AFTER_MAX)
        return false;
    /* Never earlier than the server's Retry-After. */
    *ms += retry_after * 1000;
    return true;
}

uint32_t poll_delay(unsigned polls, uint16_t random)
{
    uint32_t ms = POLL_FIRST_MS;
    for (unsigned i = 0; i < polls && ms < POLL_LAST_MS; i++)
        ms += ms / 2;
    ms = ms < POLL_LAST_MS ? ms : POLL_LAST_MS;
    return between(ms - ms / 5, ms + ms / 5, random);
}
