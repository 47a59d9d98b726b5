#include "idle_window.h"

void idle_window_open(idle_window_t *quiet, uint64_t now_ms)
{
    *quiet = (idle_window_t){.busy_ms = now_ms, .minute_ms = now_ms};
}

void idle_window_carry(idle_window_t *quiet, size_t bytes, uint64_t now_ms)
{
    if (now_ms - quiet->minute_ms >= IDLE_WINDOW_MINUTE_MS) {
        quiet->minute_ms = now_ms;
        quiet->bytes = 0;
    }
    if (bytes > IDLE_WINDOW_BYTES + 1 - quiet->bytes) /* no need to count further */
        bytes = IDLE_WINDOW_BYTES + 1 - quiet->bytes;
    quiet->bytes += (uint32_t)bytes;
    if (quiet->bytes > IDLE_WINDOW_BYTES)
        quiet->busy_ms = now_ms;
}

bool idle_window_holds(const idle_window_t *quiet, uint32_t idle_open_ms, uint64_t now_ms)
{
    return now_ms - quiet->busy_ms < idle_open_ms;
}
