#include "http2_window.h"

#include <assert.h>

/* A WINDOW_UPDATE goes out for a quarter of the window, or for this many bytes if that is less. */
#define GRANT_BYTES (256 * 1024)
/* The growth of a ramping window per byte taken: fourfold in a round trip. */
#define RAMP 3

uint32_t http2_round_trip_ms(uint64_t sent_ms, uint64_t now_ms)
{
    uint64_t passed = now_ms - sent_ms;
    return passed >= HTTP2_ROUND_TRIP_MAX_MS ? HTTP2_ROUND_TRIP_MAX_MS : (uint32_t)passed + 1;
}

void http2_window_init(http2_window_t *window)
{
    *window = (http2_window_t){.size = HTTP2_WINDOW_MIN, .before = HTTP2_WINDOW_MIN};
}

static uint64_t between(uint64_t low, uint64_t value, uint64_t high)
{
    return value < low ? low : value > high ? high : value;
}

/* Judges a round trip in which the reader took `bytes`, with `window->before` at its start. */
static void judge(http2_window_t *window, uint64_t bytes)
{
    window->ramps = bytes >= window->before / 2 && window->ran_dry;
    if (bytes >= window->before / 2)
        return;
    bool is_wide = bytes < window->before / 4;
    window->size =
        is_wide ? (uint32_t)between(HTTP2_WINDOW_MIN, window->before / 2, HTTP2_WINDOW_MAX) : window->before;
}

void http2_window_took(http2_window_t *window, size_t n, bool held, uint64_t now_ms, uint32_t round_trip_ms,
                       uint32_t most)
{
    if (n == 0 || round_trip_ms == 0)
        return;
    if (window->since_ms == 0)
        window->since_ms = now_ms;
    window->taken += n;
    uint64_t high = between(HTTP2_WINDOW_MIN, most, HTTP2_WINDOW_MAX);
    window->ran_dry |= !held;
    if (window->ran_dry && (window->ramps || window->taken >= window->before / 2))
        window->size = (uint32_t)between(HTTP2_WINDOW_MIN, window->size + RAMP * (uint64_t)n, high);
    uint64_t passed = now_ms - window->since_ms;
    if (passed < round_trip_ms)
        return;
    judge(window, window->taken * round_trip_ms / passed);
    window->taken = 0;
    window->since_ms = now_ms;
    window->before = window->size;
    window->ran_dry = false;
}

uint32_t http2_window_grant(const http2_window_t *window, uint32_t open, size_t held, uint64_t budget)
{
    uint64_t used = open + (uint64_t)held;
    uint64_t size = window->size;
    /* Bytes above the first window must fit the budget, which already includes open credit and held bytes. */
    uint64_t above = used > HTTP2_WINDOW_MIN ? used : HTTP2_WINDOW_MIN;
    if (size > above + budget)
        size = above + budget;
    if (size <= used)
        return 0;
    uint64_t worth = size / 4 < GRANT_BYTES ? size / 4 : GRANT_BYTES;
    return size - used >= worth ? (uint32_t)(size - used) : 0;
}

uint32_t http2_window_open(nghttp2_session *session, int32_t id)
{
    int32_t size = nghttp2_session_get_stream_effective_local_window_size(session, id);
    int32_t used = nghttp2_session_get_stream_effective_recv_data_length(session, id);
    return size > used && used >= 0 ? (uint32_t)(size - used) : 0;
}

static uint32_t counted_of(uint32_t open)
{
    return open > HTTP2_WINDOW_MIN ? open - HTTP2_WINDOW_MIN : 0;
}

static void count(http2_window_t *window, uint32_t open, account_t *account)
{
    uint32_t now = counted_of(open);
    account_move(account, window->counted, now);
    window->counted = now;
}

void http2_window_count(http2_window_t *window, nghttp2_session *session, int32_t id, account_t *account)
{
    count(window, http2_window_open(session, id), account);
}

void http2_window_renew(http2_window_t *window, nghttp2_session *session, int32_t id, size_t held,
                        uint64_t budget, account_t *account)
{
    uint32_t open = http2_window_open(session, id);
    assert(window->counted == counted_of(open)); /* else `budget` is too small by the credit that was used */
    uint32_t more = http2_window_grant(window, open, held, budget);
    if (more != 0)
        (void)nghttp2_submit_window_update(session, NGHTTP2_FLAG_NONE, id, (int32_t)more);
    count(window, open + more, account);
}

void http2_window_end(http2_window_t *window, account_t *account)
{
    count(window, 0, account);
}
