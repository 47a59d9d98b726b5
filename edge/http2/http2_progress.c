#include "http2_progress.h"

void http2_progress_init(http2_progress_t *progress, uint64_t now)
{
    *progress = (http2_progress_t){.moved_ms = now, .busy_ms = now, .rest_ms = now};
}

void http2_progress_busy(http2_progress_t *progress, uint64_t now)
{
    if (now - progress->rest_ms >= HTTP2_PROGRESS_REST_MS)
        progress->busy_ms = now;
}

void http2_progress_rest(http2_progress_t *progress, uint64_t now)
{
    progress->rest_ms = now;
}

void http2_progress_answered(http2_progress_t *progress, uint64_t now)
{
    progress->moved_ms = now;
    progress->bytes = 0;
    progress->taken = false;
}

void http2_progress_moved(http2_progress_t *progress, size_t bytes, uint64_t now)
{
    if (bytes < HTTP2_PROGRESS_BYTES - progress->bytes)
        progress->bytes += (uint32_t)bytes;
    else
        http2_progress_answered(progress, now);
}

void http2_progress_taken(http2_progress_t *progress, uint64_t now)
{
    if (progress->taken)
        return;
    progress->taken = true;
    progress->taken_ms = now;
}

bool http2_progress_is_stuck(const http2_progress_t *progress, uint64_t before)
{
    return progress->moved_ms <= before && progress->busy_ms <= before;
}

bool http2_progress_is_over(const http2_progress_t *progress, uint64_t before)
{
    return progress->taken && progress->taken_ms <= before;
}
