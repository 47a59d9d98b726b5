#include "quiet.h"

void quiet_open(quiet_t *quiet, uint64_t now_ms)
{
    *quiet = (quiet_t){.busy_ms = now_ms, .minute_ms = now_ms};
}

void quiet_carry(quiet_t *quiet, size_t bytes, uint64_t now_ms)
{
    if (now_ms - quiet->minute_ms >= QUIET_MINUTE_MS) {
        quiet->minute_ms = now_ms;
        quiet->bytes = 0;
    }
    if (bytes > QUIET_BYTES + 1 - quiet->bytes) /* no further than is looked at */
        bytes = QUIET_BYTES + 1 - quiet->bytes;
    quiet->bytes += (uint32_t)bytes;
    if (quiet->bytes > QUIET_BYTES)
        quiet->busy_ms = now_ms;
}

bool quiet_holds(const quiet_t *quiet, uint32_t idle_open_ms, uint64_t now_ms)
{
    return now_ms - quiet->busy_ms < idle_open_ms;
}
