/*
 * Answers of the demo app that take time: events, bytes, and a slow one.
 */
#include <assert.h>
#include <time.h>

#include "arena.h"
#include "context.h"
#include "demo_internal.h"
#include "list.h"
#include "local.h"
#include "step.h"

#define EVENT_MS 1000
/* /slow counts these, so that the loop needs one list of timers for all durations. */
#define TICK_MS 10
/* Maximum bytes of one call; no codec has room for more before it has written some. */
#define GO_BYTES (4 * EXCHANGE_BODY_BYTES)
/* The pattern of /bytes: a line of 64 characters. */
#define LINE_BYTES 64

/* An answer in progress, in the exchange's arena. */
typedef struct stream {
    exchange_t *ex;
    loop_timer_t timer;
    uint64_t left;  /* remaining bytes, or ticks to wait */
    uint64_t count; /* bytes or events so far; of /slow, its ms */
    bool ended;
} stream_t;

static void stream_cancel(exchange_t *ex)
{
    stream_t *stream = ex->origin;
    loop_timer_stop(&stream->timer);
}

static stream_t *stream_new(exchange_t *ex, const origin_ops_t *ops)
{
    assert(ex->origin_ops == NULL);
    stream_t *stream = arena_alloc(&ex->arena, sizeof *stream);
    *stream = (stream_t){.ex = ex};
    ex->origin_ops = ops;
    ex->origin = stream;
    exchange_to_origin(ex);
    return stream;
}

static void send_head(exchange_t *ex, str_t type, uint64_t length)
{
    bool head = str_eq(ex->request.method, STR("HEAD"));
    ex->response = (response_t){.status = 200, .content_length = length, .bodyless = head || length == 0};
    fields_add(&ex->arena, &ex->response.fields, FIELD_CONTENT_TYPE, STR("content-type"), type);
    fields_add(&ex->arena, &ex->response.fields, FIELD_OTHER, STR("cache-control"), STR("no-store"));
    exchange_response_head(ex);
}

/* ---- bytes ---- */

/* Sends as many bytes as fit. The text repeats, so that a client can check any piece of it. */
static void send_bytes(exchange_t *ex)
{
    static const char line[LINE_BYTES + 1] =
        "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.\n";
    char piece[4096];
    stream_t *stream = ex->origin;
    for (size_t i = 0; i < sizeof piece; i += LINE_BYTES)
        memcpy(piece + i, line, LINE_BYTES);
    for (size_t sent = 0, n; stream->left != 0 && sent < GO_BYTES; sent += n) {
        size_t room = exchange_response_body_room(ex);
        if (room == 0)
            break;
        size_t offset = (size_t)(stream->count % LINE_BYTES);
        n = sizeof piece - offset;
        n = n < room ? n : room;
        n = n < stream->left ? n : (size_t)stream->left;
        stream->left -= n;
        stream->count += n;
        exchange_response_body(ex, str_make(piece + offset, n));
    }
    if (stream->left == 0 && !stream->ended) {
        stream->ended = true;
        exchange_response_end(ex);
    }
    exchange_response_flush(ex);
}

static const origin_ops_t bytes_ops = {
    .room = local_discard_room,
    .send_body = local_discard_body,
    .send_end = local_do_nothing,
    .flush = local_do_nothing,
    .resume_response = send_bytes,
    .cancel = stream_cancel,
};

void demo_bytes(exchange_t *ex, uint64_t count, bool chunked)
{
    stream_t *stream = stream_new(ex, &bytes_ops);
    send_head(ex, STR("text/plain"), chunked ? LENGTH_UNKNOWN : count);
    stream->left = ex->response.bodyless ? 0 : count;
    send_bytes(ex);
}

/* ---- events ---- */

static void send_event(stream_t *stream)
{
    struct timespec now;
    struct tm tm;
    char text[128];
    char when[32];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &tm);
    stream->count++;
    int n = snprintf(text, sizeof text, "id: %llu\ndata: {\"time\":\"%s.%03ldZ\",\"count\":%llu}\n\n",
                     (unsigned long long)stream->count, when, now.tv_nsec / 1000000,
                     (unsigned long long)stream->count);
    assert(n > 0 && (size_t)n < sizeof text);
    /* A client that does not read misses events; they never pile up. */
    if (exchange_response_body_room(stream->ex) < (size_t)n)
        return;
    exchange_response_body(stream->ex, str_make(text, (size_t)n));
    exchange_response_flush(stream->ex);
}

static void event_due(loop_timer_t *timer)
{
    stream_t *stream = CONTAINER_OF(stream_t, timer, timer);
    loop_timer_start(stream->ex->context->loop, timer, EVENT_MS, event_due);
    send_event(stream);
}

static const origin_ops_t timed_ops = {
    .room = local_discard_room,
    .send_body = local_discard_body,
    .send_end = local_do_nothing,
    .flush = local_do_nothing,
    .resume_response = local_do_nothing,
    .cancel = stream_cancel,
};

void demo_events(exchange_t *ex)
{
    stream_t *stream = stream_new(ex, &timed_ops);
    send_head(ex, STR("text/event-stream"), LENGTH_UNKNOWN);
    if (ex->response.bodyless) {
        exchange_response_end(ex);
        exchange_response_flush(ex);
        return;
    }
    loop_timer_start(ex->context->loop, &stream->timer, EVENT_MS, event_due);
    send_event(stream);
}

/* ---- slow ---- */

static void slow_done(stream_t *stream)
{
    exchange_t *ex = stream->ex;
    str_t text = str_format(&ex->arena, "Here after %llu ms.\n", (unsigned long long)stream->count);
    ex->origin_ops = NULL;
    ex->origin = NULL;
    exchange_reply(ex, 200, STR("text/plain; charset=utf-8"), NULL, text);
}

static void tick(loop_timer_t *timer)
{
    stream_t *stream = CONTAINER_OF(stream_t, timer, timer);
    if (--stream->left == 0)
        slow_done(stream);
    else
        loop_timer_start(stream->ex->context->loop, timer, TICK_MS, tick);
}

void demo_slow(exchange_t *ex, uint32_t ms)
{
    stream_t *stream = stream_new(ex, &timed_ops);
    stream->count = ms;
    stream->left = ms / TICK_MS + 1;
    loop_timer_start(ex->context->loop, &stream->timer, TICK_MS, tick);
}
