#include "wake_events.h"

#include <assert.h>
#include <stdio.h>

#include "access.h"
#include "arena.h"
#include "list.h"
#include "local_stream.h"
#include "log_json.h"
#include "signin.h"
#include "step.h"
#include "wake.h"
#include "wake_page.h"
#include "wake_reply.h"
#include "worker.h"

/* Interval of checks whether the stream may continue; and the checks per comment, which keeps proxies from
 * closing the stream. */
#define TICK_MS         1000
#define TICKS_A_COMMENT 10
/* Maximum bytes of an escaped sentence. */
#define SENTENCE_BYTES (6 * WAKE_SENTENCE_MAX)

/* Lives in the exchange's arena. */
typedef struct wake_events {
    exchange_t *ex;
    wake_waiter_t waiter;
    loop_timer_t timer;
    uint64_t began_ms;
    unsigned ticks;
} wake_events_t;

/* ---- events ---- */

/* Drops an event that the client has no room for, even the last one: the client then asks again. */
static void send_event(exchange_t *ex, const char *name, const char *data)
{
    char text[128 + SENTENCE_BYTES];
    int n = snprintf(text, sizeof(text), "event: %s\ndata: %s\n\n", name, data);
    assert(n > 0 && (size_t)n < sizeof(text));
    (void)local_stream_send(ex, str_make(text, (size_t)n));
}

static void send_elapsed(exchange_t *ex, const char *name, const char *stage, uint64_t elapsed_ms)
{
    char data[80];
    if (stage != NULL)
        (void)snprintf(data, sizeof(data), "{\"stage\":\"%s\",\"elapsed_ms\":%llu}", stage,
                       (unsigned long long)elapsed_ms);
    else
        (void)snprintf(data, sizeof(data), "{\"elapsed_ms\":%llu}", (unsigned long long)elapsed_ms);
    send_event(ex, name, data);
}

static void send_failed(exchange_t *ex, const char *sentence, unsigned retry_after)
{
    char data[64 + SENTENCE_BYTES], escaped[SENTENCE_BYTES + LOG_JSON_CUT_BYTES];
    log_json_text_t text = {.at = escaped, .limit = escaped + SENTENCE_BYTES};
    log_json_text(&text, str_from(sentence));
    (void)snprintf(data, sizeof(data), "{\"sentence\":\"%.*s\",\"retry_after\":%u}", (int)(text.at - escaped),
                   escaped, retry_after);
    send_event(ex, "failed", data);
}

/* ---- the stream ---- */

static void let_go(wake_events_t *events)
{
    worker_t *worker = worker_of(events->ex->context);
    wake_leave(&events->waiter);
    loop_timer_stop(&events->timer);
    assert(worker->wake_streams > 0);
    worker->wake_streams--;
}

static void on_left(void *arg)
{
    let_go(arg);
}

static void finish(wake_events_t *events)
{
    let_go(events);
    local_stream_end(events->ex);
}

static void on_stage(wake_waiter_t *waiter, wake_stage_t stage)
{
    wake_events_t *events = CONTAINER_OF(wake_events_t, waiter, waiter);
    send_elapsed(events->ex, "stage", wake_stage_name(stage), wake_elapsed_ms(waiter));
}

static void on_done(wake_waiter_t *waiter, wake_result_t result, const wake_answer_t *answer)
{
    wake_events_t *events = CONTAINER_OF(wake_events_t, waiter, waiter);
    if (result == WAKE_OK)
        send_elapsed(events->ex, "ready", NULL, (uint64_t)answer->resume_ms + answer->listen_ms);
    else if (result == WAKE_ASLEEP)
        send_event(events->ex, "asleep", "{}");
    else
        send_failed(events->ex, wake_reply_sentence(events->ex, result, answer),
                    wake_reply_retry_after(answer));
    finish(events);
}

static void on_tick(loop_timer_t *timer)
{
    wake_events_t *events = CONTAINER_OF(wake_events_t, timer, timer);
    exchange_t *ex = events->ex;
    worker_t *worker = worker_of(ex->context);
    if (!exchange_still_allowed(ex))
        return; /* it was cut, and on_left released the stream */
    if (worker->context.draining ||
        loop_now(worker->context.loop) - events->began_ms >=
            2 * (uint64_t)store_box_start_ms(&ex->box, worker->context.conf->wake.timeout)) {
        finish(events); /* an interested client asks again */
        return;
    }
    if (++events->ticks % TICKS_A_COMMENT == 0)
        (void)local_stream_send(ex, STR(":\n\n"));
    loop_timer_start(worker->context.loop, timer, TICK_MS, on_tick);
}

static wake_events_t *begin(exchange_t *ex)
{
    wake_events_t *events = arena_alloc(&ex->arena, sizeof(*events));
    *events = (wake_events_t){
        .ex = ex, .waiter = {.stage = on_stage, .done = on_done}, .began_ms = loop_now(ex->context->loop)};
    fields_t fields = {0};
    exchange_add_own_fields(ex, &fields);
    fields_add(&ex->arena, &fields, FIELD_OTHER, STR("x-accel-buffering"), STR("no"));
    worker_of(ex->context)->wake_streams++;
    ex->local_code = "wake_events";
    local_stream_begin(ex, STR("text/event-stream"), &fields, on_left, events);
    (void)local_stream_send(ex, STR("retry: 1000\n\n"));
    return events;
}

static void refuse_full(exchange_t *ex)
{
    exchange_reply_error(ex, 503, "too_many_waiting",
                         "Too many event streams wait for sleeping boxes; try again.", WAKE_RETRY_AFTER_S);
}

static void answer_get(exchange_t *ex)
{
    if (worker_of(ex->context)->wake_streams >= WAKE_EVENTS_MAX) {
        refuse_full(ex);
        return;
    }
    wake_events_t *events = begin(ex);
    if (wake_is_needless(ex, &ex->box)) {
        send_elapsed(ex, "ready", NULL, 0);
        finish(events);
    } else if (!wake_watch(worker_of(ex->context)->wake_client, &events->waiter, str_from(ex->preview->id),
                           ex->preview->port)) {
        send_failed(ex, "Too many requests wait for sleeping boxes; try again in a few seconds.",
                    WAKE_RETRY_AFTER_S);
        finish(events);
    } else {
        loop_timer_start(ex->context->loop, &events->timer, TICK_MS, on_tick);
    }
}

step_result_t step_wake_events(exchange_t *ex)
{
    if (!access_is_events_request(ex))
        return STEP_NEXT;
    if (ex->request.websocket) {
        exchange_reply_error(ex, 404, "not_found", RESERVED_NOTHING, 0);
    } else if (!str_eq(ex->request.method, STR("GET"))) {
        fields_t fields = {0};
        fields_add(&ex->arena, &fields, FIELD_OTHER, STR("allow"), STR("GET"));
        exchange_reply_error_with(ex, 405, "method_not_allowed", "Use GET.", &fields);
    } else {
        answer_get(ex);
    }
    return STEP_DONE;
}
