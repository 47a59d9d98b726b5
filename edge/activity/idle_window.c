#include "idle_window.h"

void idle_window_open(idle_window_t *window, uint64_t now_ms)
{
    *window = (idle_window_t){.busy_ms = now_ms, .minute_ms = now_ms};
}

void idle_window_carry(idle_window_t *window, size_t bytes, uint64_t now_ms)
{
    if (now_ms - window->minute_ms >= IDLE_WINDOW_MINUTE_MS) {
        window->minute_ms = now_ms;
        window->bytes = 0;
    }
    if (bytes > IDLE_WINDOW_BYTES + 1 - window->bytes) /* no need to count further */
        bytes = IDLE_WINDOW_BYTES + 1 - window->bytes;
    window->bytes += (uint32_t)bytes;
    if (window->bytes > IDLE_WINDOW_BYTES)
        window->busy_ms = now_ms;
}

bool idle_window_holds(const idle_window_t *window, uint32_t idle_open_ms, uint64_t now_ms)
{
    return now_ms - window->busy_ms < idle_open_ms;
}
