/*
 * The prices. The bucket holds 20,000 tokens and gains 2,000 a second.
 *
 *   reset             20   1,000 in a burst, 100 a second forever. A browser that leaves a page cancels at
 * most its concurrent streams (128) together; dragging a map cancels some hundreds a second for some seconds.
 *   SETTINGS          20   a client sends one; some send a second when memory is short.
 *   PING               6   3,333 in a burst. gRPC clients probe the bandwidth with one a round trip while
 * DATA comes; DATA and completed responses pay for them. WINDOW_UPDATE      2   a careless client sends two
 * for every DATA frame that it gets. Each DATA frame sent earns 6, so a download of any speed never empties
 * the bucket. empty DATA        10   useless unless it ends the stream, which is free; padding alone costs 4.
 * CONTINUATION       4   a head of 32 KiB needs two. PRIORITY, unknown  4   old browsers send a handful at
 * the start and one per request. GOAWAY           100   one is enough for a connection. oversize head     40
 * its decoding is work that ends in 431.
 *
 * A completed response earns 8, less than a reset costs. So a client with 10,000 requests a second may cancel
 * a third of them, and 100,000 resets empty the bucket even if every other response was completed.
 * HEADERS and DATA with bytes are free: they are the work itself, which other limits bound.
 *
 * Origins pay the same prices. Each request to an origin pays for its reset and the frames around it, and
 * DATA to the origin pays for its window updates, so an origin that refuses every request is not cut off.
 */
#include "http2_guard.h"

#include <assert.h>

#define PREFACE_LEN 24

/* RFC 9113 section 6. */
enum {
    FRAME_DATA = 0,
    FRAME_HEADERS = 1,
    FRAME_PRIORITY = 2,
    FRAME_RST_STREAM = 3,
    FRAME_SETTINGS = 4,
    FRAME_PING = 6,
    FRAME_GOAWAY = 7,
    FRAME_WINDOW_UPDATE = 8,
    FRAME_CONTINUATION = 9,
};
enum { FLAG_END_STREAM = 0x1, FLAG_END_HEADERS = 0x4, FLAG_PADDED = 0x8 };

enum {
    PRICE_RESET = 20,
    PRICE_SETTINGS = 20,
    PRICE_PING = 6,
    PRICE_WINDOW_UPDATE = 2,
    PRICE_EMPTY_DATA = 10,
    PRICE_PADDING = 4,
    PRICE_CONTINUATION = 4,
    PRICE_OTHER = 4,
    PRICE_GOAWAY = 100,
    PRICE_OVERSIZE = 40,
    EARN_DATA = 6,
    EARN_COMPLETED = 8,
    EARN_REQUESTED = PRICE_RESET + PRICE_PING + PRICE_WINDOW_UPDATE,
};

void http2_guard_init(http2_guard_t *guard, uint64_t now)
{
    *guard = (http2_guard_t){.now = now, .tokens = HTTP2_GUARD_BURST, .preface_left = PREFACE_LEN};
}

static void refill(http2_guard_t *guard, uint64_t now)
{
    uint64_t passed = now > guard->now ? now - guard->now : 0;
    uint64_t most = HTTP2_GUARD_BURST / HTTP2_GUARD_TOKENS_PER_MS;
    guard->now = now;
    guard->tokens += (int32_t)(passed < most ? passed : most) * HTTP2_GUARD_TOKENS_PER_MS;
    if (guard->tokens > HTTP2_GUARD_BURST)
        guard->tokens = HTTP2_GUARD_BURST;
}

static http2_guard_result_t charge(http2_guard_t *guard, int32_t price)
{
    if (guard->shared)
        return HTTP2_GUARD_OK;
    guard->tokens -= price;
    if (guard->tokens > 0)
        return HTTP2_GUARD_OK;
    guard->tokens = 0;
    return HTTP2_GUARD_CALM;
}

/* DATA: free if it has bytes or ends the stream. */
static int32_t price_of_data(uint32_t len, uint8_t flags)
{
    if ((flags & FLAG_END_STREAM) != 0)
        return 0;
    if (len == 0)
        return PRICE_EMPTY_DATA;
    /* A padded frame this short may be all padding. */
    return (flags & FLAG_PADDED) != 0 && len <= 256 ? PRICE_PADDING : 0;
}

static int32_t price_of(uint8_t type, uint32_t len, uint8_t flags)
{
    switch (type) {
    case FRAME_DATA:
        return price_of_data(len, flags);
    case FRAME_HEADERS:
        return 0;
    case FRAME_RST_STREAM:
        return PRICE_RESET;
    case FRAME_SETTINGS:
        return PRICE_SETTINGS;
    case FRAME_PING:
        return PRICE_PING;
    case FRAME_GOAWAY:
        return PRICE_GOAWAY;
    case FRAME_WINDOW_UPDATE:
        return PRICE_WINDOW_UPDATE;
    case FRAME_CONTINUATION:
        return PRICE_CONTINUATION;
    default:
        return PRICE_OTHER;
    }
}

uint32_t http2_guard_stream(const http2_guard_t *guard)
{
    const uint8_t *h = guard->header;
    return ((uint32_t)h[5] << 24 | (uint32_t)h[6] << 16 | (uint32_t)h[7] << 8 | h[8]) & 0x7fffffff;
}

/* Handles a complete frame header. */
static http2_guard_result_t begin_frame(http2_guard_t *guard)
{
    const uint8_t *h = guard->header;
    uint32_t len = (uint32_t)h[0] << 16 | (uint32_t)h[1] << 8 | h[2];
    uint8_t type = h[3], flags = h[4];
    guard->payload_left = len;
    if (type == FRAME_HEADERS || type == FRAME_CONTINUATION) {
        guard->blocks += type == FRAME_HEADERS;
        guard->block_bytes = type == FRAME_HEADERS ? len : guard->block_bytes + len;
        guard->block_open = (flags & FLAG_END_HEADERS) == 0;
        if (guard->block_bytes > HTTP2_GUARD_BLOCK_BYTES)
            return HTTP2_GUARD_LONG_BLOCK;
    }
    if (type == FRAME_PRIORITY) {
        guard->parent = guard->parent_len = 0;
        if (http2_guard_stream(guard) == 0)
            return HTTP2_GUARD_BAD_PRIORITY;
    }
    http2_guard_result_t result = charge(guard, price_of(type, len, flags));
    if (result == HTTP2_GUARD_OK && (type == FRAME_HEADERS || type == FRAME_DATA))
        return HTTP2_GUARD_STREAM;
    return result;
}

/* Reads the next bytes of a PRIORITY frame; the first four name the stream on which it depends. */
static http2_guard_result_t take_priority(http2_guard_t *guard, const char *data, size_t n)
{
    for (size_t i = 0; i < n && guard->parent_len < 4; i++, guard->parent_len++)
        guard->parent = guard->parent << 8 | (uint8_t)data[i];
    if (guard->parent_len == 4 && (guard->parent & 0x7fffffff) == http2_guard_stream(guard))
        return HTTP2_GUARD_BAD_PRIORITY;
    return HTTP2_GUARD_OK;
}

/* Skips bytes outside frame headers. */
static http2_guard_result_t skip(http2_guard_t *guard, uint32_t *left, const char *data, size_t n,
                                 size_t *step)
{
    *step = *left < n ? *left : n;
    *left -= (uint32_t)*step;
    if (left == &guard->payload_left && guard->header[3] == FRAME_PRIORITY)
        return take_priority(guard, data, *step);
    return HTTP2_GUARD_OK;
}

static http2_guard_result_t take_header(http2_guard_t *guard, const char *data, size_t n, size_t *step)
{
    if (guard->header_len == sizeof(guard->header))
        guard->header_len = 0; /* the previous payload has ended */
    size_t want = sizeof(guard->header) - guard->header_len;
    *step = want < n ? want : n;
    memcpy(guard->header + guard->header_len, data, *step);
    guard->header_len = (uint8_t)(guard->header_len + *step);
    return guard->header_len == sizeof(guard->header) ? begin_frame(guard) : HTTP2_GUARD_OK;
}

http2_guard_result_t http2_guard_scan(http2_guard_t *guard, const char *data, size_t n, uint64_t now,
                                      size_t *taken)
{
    refill(guard, now);
    http2_guard_result_t result = HTTP2_GUARD_OK;
    for (*taken = 0; *taken < n && result == HTTP2_GUARD_OK;) {
        uint32_t *left = guard->preface_left != 0 ? &guard->preface_left : &guard->payload_left;
        size_t step;
        if (*left != 0)
            result = skip(guard, left, data + *taken, n - *taken, &step);
        else
            result = take_header(guard, data + *taken, n - *taken, &step);
        *taken += step;
    }
    return result;
}

http2_guard_result_t http2_guard_note(http2_guard_t *guard, http2_guard_event_t event, uint64_t now)
{
    refill(guard, now);
    switch (event) {
    case HTTP2_GUARD_RESET:
        return charge(guard, PRICE_RESET);
    case HTTP2_GUARD_OVERSIZE:
        return charge(guard, PRICE_OVERSIZE);
    case HTTP2_GUARD_DATA_SENT:
        guard->tokens += EARN_DATA;
        break;
    case HTTP2_GUARD_COMPLETED:
        guard->tokens += EARN_COMPLETED;
        break;
    case HTTP2_GUARD_REQUESTED:
        guard->tokens += EARN_REQUESTED;
        break;
    }
    if (guard->tokens > HTTP2_GUARD_BURST)
        guard->tokens = HTTP2_GUARD_BURST;
    return HTTP2_GUARD_OK;
}

bool http2_guard_in_block(const http2_guard_t *guard)
{
    if (guard->block_open)
        return true;
    /* The last frame of the block has begun; its payload has not ended. */
    uint8_t type = guard->header[3];
    return guard->header_len == sizeof(guard->header) && guard->payload_left != 0 &&
           (type == FRAME_HEADERS || type == FRAME_CONTINUATION);
}
