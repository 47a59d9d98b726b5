#include "rate.h"

#include <assert.h>

bool rate_take(uint64_t *tat, uint64_t now_ms, uint32_t interval_ms, uint32_t burst)
{
    assert(interval_ms != 0 && burst != 0);
    uint64_t from = *tat > now_ms ? *tat : now_ms;
    if (from - now_ms > (uint64_t)interval_ms * (burst - 1))
        return false;
    *tat = from + interval_ms;
    return true;
}
